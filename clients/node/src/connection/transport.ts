/** How a client reaches the server: chat channel and unary calls together; knows nothing of messages and sessions. */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";

import { unlessAborted } from "../asynchrony.js";
import { ConnectionEnded } from "../errors.js";
import type { LoginPayload } from "../gen/interop_api/v1/chat_pb.js";
import {
  type DownloadRequestSchema,
  type DownloadResponse,
  MediaService,
  type UploadRequestSchema,
  type UploadResponse,
} from "../gen/interop_api/v1/media_pb.js";
import type { LoginSuccess, Stanza } from "../gen/interop_api/v1/stanza_pb.js";
import type { ServerAddress } from "../protocol/endpoint.js";
import { refusalFromCall, unaryCall } from "./calls.js";
import { type ChannelKeys, ChatChannel } from "./channel.js";
import { type OpenedConnection, openConnectionTo } from "./opening.js";

/** Longest wait for one upload or download. */
export const TRANSFER_SECONDS = 3600;

/** Makes the payload of a new login: tokens are short-lived, so each connection asks for a new one. */
export type LoginFactory = () => Promise<LoginPayload>;

/** Reaches the server for a client. */
export interface Transport {
  /**
   * Opens the chat channel, after closing any open one.
   *
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server ended the handshake, or cannot be reached.
   * @throws ConnectionEnded CLOSED: `close`, or another `connect`, was called meanwhile.
   */
  connect(): Promise<LoginSuccess>;

  /**
   * Queues stanzas for sending, in order; waits only while too many are waiting to be sent.
   *
   * @throws ConnectionEnded There is no open channel.
   */
  send(...stanzas: readonly Stanza[]): Promise<void>;

  /**
   * Yields the stanzas of each frame. Ends when this end closes the channel.
   *
   * @throws ConnectionEnded The server ended the channel, or it broke.
   */
  receive(): AsyncIterable<readonly Stanza[]>;

  /**
   * Makes a unary call, in the session of the open channel if there is one.
   *
   * @param method Such as `PreKeyService.method.takePreKeyBundles`.
   * @param request The request.
   * @throws ServerRefusal The call was refused or failed.
   * @throws ConnectionEnded CLOSED: this client was closed meanwhile; the call may have been done.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>>;

  /** Drops the channel as a crash would: what waits is not sent. `close` frees its resources. Never throws. */
  abort(): void;

  /** Ends the channel and frees its resources. Idempotent; never throws. */
  close(): Promise<void>;

  /** Moves blobs over gRPC; undefined where there is no such way, as behind a proxy. */
  readonly blobs: BlobStreams | undefined;

  /** The certificate to trust for TLS, as PEM; empty for no TLS, or where none is known of, as behind a proxy. */
  readonly ca: string;
}

/** Moves blobs over gRPC. */
export interface BlobStreams {
  /**
   * Uploads one blob. See MediaService.Upload.
   *
   * @throws ServerRefusal The upload was refused or failed.
   * @throws ConnectionEnded CLOSED: this client was closed meanwhile.
   */
  upload(requests: AsyncIterable<MessageInitShape<typeof UploadRequestSchema>>): Promise<UploadResponse>;

  /**
   * Downloads one blob. See MediaService.Download.
   *
   * @throws ServerRefusal The download was refused or failed.
   * @throws ConnectionEnded CLOSED: this client was closed meanwhile.
   */
  download(request: MessageInitShape<typeof DownloadRequestSchema>): AsyncIterable<DownloadResponse>;
}

/**
 * A client that connects itself: one gRPC connection for chat, calls and blobs.
 *
 * Without a chat channel, as before `connect`, after `close`, or when the login was refused, the connection goes with the
 * last call on it: nobody may come to close it.
 */
export class DirectTransport implements Transport, BlobStreams {
  readonly ca: string;
  readonly blobs: BlobStreams = this;
  readonly #keys: ChannelKeys;
  #opened: OpenedConnection | undefined;
  /** How many calls and logins are under way on it. */
  #uses = 0;
  /** Aborted when the connection that is under way is not wanted any more. */
  #connecting: AbortController | undefined;
  #chat: ChatChannel | undefined;

  /**
   * @param server Its address, and the root to trust.
   * @param authPrivateKey The client's static key, 32 bytes.
   * @param login Makes the payload of each login.
   */
  constructor(
    private readonly server: ServerAddress,
    authPrivateKey: Uint8Array,
    private readonly login: LoginFactory,
  ) {
    this.ca = server.ca;
    this.#keys = { authPrivateKey, rootPublicKey: server.rootPublicKey };
  }

  /**
   * Opens the chat channel, after closing any open one.
   *
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server ended the handshake, or cannot be reached.
   * @throws CertificateError The root does not certify the server.
   * @throws RemoteProtocolError The server broke the protocol.
   * @throws TimeoutError The login took too long.
   * @throws ConnectionEnded CLOSED: `close`, or another `connect`, was called meanwhile.
   */
  async connect(): Promise<LoginSuccess> {
    this.#connecting?.abort(notWanted());
    this.#connecting = new AbortController();
    const { signal } = this.#connecting;
    const before = this.#chat;
    this.#chat = undefined;
    await before?.close();
    signal.throwIfAborted();
    const payload = await unlessAborted(signal, this.login());
    return this.#reach(async ({ grpc }) => {
      const chat = await ChatChannel.open(grpc, this.#keys, payload, signal);
      if (signal.aborted) {
        await chat.close();
        throw signal.reason;
      }
      this.#chat = chat;
      return chat.login;
    });
  }

  /** Queues stanzas for sending. See Transport. */
  async send(...stanzas: readonly Stanza[]): Promise<void> {
    await this.#openChat.send(...stanzas);
  }

  /** Yields the stanzas of each frame. See Transport. */
  receive(): AsyncIterable<readonly Stanza[]> {
    return this.#openChat.receive();
  }

  /** Makes a unary call. See Transport. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    return this.#reach((opened) => unaryCall(opened, method, request, this.#headers));
  }

  /** Uploads one blob. See BlobStreams. */
  upload(requests: AsyncIterable<MessageInitShape<typeof UploadRequestSchema>>): Promise<UploadResponse> {
    return this.#reach(async ({ grpc, closed }) => {
      try {
        const options = { ...this.#transfer, signal: closed };
        return await unlessAborted(closed, createClient(MediaService, grpc).upload(requests, options));
      } catch (error) {
        throw closed.aborted ? closed.reason : refusalFromCall(error);
      }
    });
  }

  /** Downloads one blob. See BlobStreams. */
  async *download(request: MessageInitShape<typeof DownloadRequestSchema>): AsyncGenerator<DownloadResponse> {
    const { grpc, closed } = this.#begin();
    const call = new AbortController();
    const options = { ...this.#transfer, signal: call.signal };
    const responses = createClient(MediaService, grpc).download(request, options)[Symbol.asyncIterator]();
    const next = () =>
      unlessAborted(closed, responses.next()).catch((error: unknown) => {
        throw closed.aborted ? closed.reason : refusalFromCall(error);
      });
    try {
      for (let response = await next(); !response.done; response = await next()) {
        yield response.value;
      }
    } finally {
      call.abort(); // when its reader stops early
      this.#end();
    }
  }

  /** Drops the channel. See Transport. */
  abort(): void {
    this.#chat?.abort();
  }

  /** Ends the channel and frees its resources. See Transport. */
  async close(): Promise<void> {
    this.#connecting?.abort(notWanted());
    const [chat, opened] = [this.#chat, this.#opened];
    this.#chat = undefined;
    this.#opened = undefined;
    await chat?.close();
    opened?.close();
  }

  async #reach<T>(work: (opened: OpenedConnection) => Promise<T>): Promise<T> {
    const opened = this.#begin();
    try {
      return await work(opened);
    } finally {
      this.#end();
    }
  }

  #begin(): OpenedConnection {
    this.#opened ??= openConnectionTo(this.server.grpc, this.ca);
    this.#uses += 1;
    return this.#opened;
  }

  #end(): void {
    this.#uses -= 1;
    if (this.#uses === 0 && this.#chat === undefined) {
      this.#opened?.close();
      this.#opened = undefined;
    }
  }

  get #openChat(): ChatChannel {
    if (this.#chat === undefined) {
      throw new ConnectionEnded("CLOSED", "Connect first.");
    }
    return this.#chat;
  }

  get #headers(): Readonly<Record<string, string>> {
    return this.#chat === undefined ? {} : { authorization: `Bearer ${this.#chat.login.sessionToken}` };
  }

  get #transfer(): { readonly headers: Readonly<Record<string, string>>; readonly timeoutMs: number } {
    return { headers: this.#headers, timeoutMs: TRANSFER_SECONDS * 1000 };
  }
}

/** The end of a connection that was given up before it was open. */
export function notWanted(): ConnectionEnded {
  return new ConnectionEnded("CLOSED", "The client was closed, or connected anew, while it connected.");
}
