/**
 * One chat channel over a gRPC stream: handshake, login, then sealed batches; knows nothing of what stanzas mean.
 *
 * Source: interop_api/v1/chat.proto; CHN-01 to CHN-12.
 */

import "../protocol/texts.js";

import { randomBytes } from "node:crypto";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport as GrpcTransport } from "@connectrpc/connect";

import { deferred, timerMs, unlessAborted, within } from "../asynchrony.js";
import { ConnectionEnded, endedBy, refusalFromLoginFailure, refusalFromProto, TimeoutError } from "../errors.js";
import {
  ChatService,
  type ConnectRequestSchema,
  type ConnectResponse,
  type LoginPayload,
  LoginPayloadSchema,
} from "../gen/interop_api/v1/chat_pb.js";
import { BatchSchema, type LoginSuccess, type Stanza, StanzaSchema } from "../gen/interop_api/v1/stanza_pb.js";
import { decodeChain, verifyChain } from "../protocol/certificates.js";
import {
  type ClientFinish,
  InitiatorHandshake,
  type Transport as NoiseTransport,
  RemoteProtocolError,
} from "../protocol/noise.js";
import { PRIVATE_KEY_BYTES } from "../protocol/sizes.js";
import { refusalFromCall } from "./calls.js";
import { Outbox } from "./outbox.js";

/** Longest wait for a login; the observed connect timeout (CHN-01). */
export const HANDSHAKE_SECONDS = 20;
/** Longest wait for the server to end the stream after this end has closed it. */
export const CLOSE_SECONDS = 2;
/** CHN-12; for a server that names no limit. */
export const DEFAULT_KEEPALIVE_SECONDS = 30;
/** CHN-12; for a server that names no limit. */
export const DEFAULT_SILENT_SECONDS = 180;
/** Id of the pings that a channel sends by itself; pings that the application sends have other ids. */
export const KEEPALIVE_PING_ID = 0n;

/** The channel pings after this share of the allowed time, so that pings arrive in time even on a slow network. */
const KEEPALIVE_SHARE = 2 / 3;

/** The key that a channel proves, and the root that it requires. */
export interface ChannelKeys {
  /** The client's static key, 32 bytes (CHN-07). */
  readonly authPrivateKey: Uint8Array;
  /** The root that must certify the server's static key, 32 bytes (CHN-04). */
  readonly rootPublicKey: Uint8Array;
}

/** The stream before the login, as its two halves. */
interface Stream {
  readonly finish: (message: ClientFinish) => void;
  readonly receive: () => Promise<ConnectResponse | undefined>;
}

/** What an open channel works with. */
interface ChannelParts {
  readonly outbox: Outbox;
  readonly noise: NoiseTransport;
  readonly stream: Stream;
  /** Ends the stream at once. */
  readonly call: AbortController;
  /** Fulfilled when this end of the stream has ended. */
  readonly written: Promise<void>;
}

/**
 * An open channel. Made by `open`; ends with `close`, or when the server ends it.
 *
 * Any number of callers may call `send`, one `receive`.
 */
export class ChatChannel {
  /** The server's answer to the login: JID, session token, limits. */
  readonly login: LoginSuccess;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #ended = deferred<void>();
  #first: readonly Stanza[];
  #isClosing = false;
  #isSilent = false;
  #isReceiving = false;
  #heardAt = performance.now();

  private constructor(
    private readonly parts: ChannelParts,
    stanzas: readonly Stanza[],
    login: LoginSuccess,
  ) {
    this.login = login;
    this.#first = stanzas;
    const interval = (login.limits?.keepaliveSeconds || DEFAULT_KEEPALIVE_SECONDS) * KEEPALIVE_SHARE;
    this.#keepAlive = setInterval(() => this.#ping(), timerMs(interval));
  }

  /**
   * Connects, verifies the server, proves the auth key and logs in.
   *
   * @param grpc Makes the call.
   * @param keys The key that it proves, and the root that it requires.
   * @param payload The login.
   * @param signal Gives up what is not open yet: the server must not take it for a later login.
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server ended the handshake, or cannot be reached.
   * @throws CertificateError The root does not certify the server.
   * @throws RemoteProtocolError The server broke the protocol, or an attacker changed what it sent.
   * @throws TimeoutError No login within `HANDSHAKE_SECONDS`.
   * @throws Error The reason of the signal.
   */
  static async open(
    grpc: GrpcTransport,
    keys: ChannelKeys,
    payload: LoginPayload,
    signal: AbortSignal,
  ): Promise<ChatChannel> {
    const call = new AbortController();
    const finished = deferred<ClientFinish>();
    const loggedIn = deferred<{ readonly noise: NoiseTransport; readonly outbox: Outbox }>();
    const written = deferred<void>();
    const handshake = new InitiatorHandshake(keys.authPrivateKey, new Uint8Array(randomBytes(PRIVATE_KEY_BYTES)));

    async function* requests(): AsyncGenerator<MessageInitShape<typeof ConnectRequestSchema>> {
      try {
        const hello = { case: "clientHello", value: { ephemeral: handshake.clientHello() } } as const;
        yield { frame: { case: "handshake", value: { message: hello } } };
        const finish = { case: "clientFinish", value: await finished.promise } as const;
        yield { frame: { case: "handshake", value: { message: finish } } };
        const { noise, outbox } = await loggedIn.promise;
        for (let batch = await outbox.nextBatch(); batch !== undefined; batch = await outbox.nextBatch()) {
          yield { frame: { case: "sealed", value: noise.encrypt(batch) } };
        }
      } finally {
        written.resolve();
      }
    }

    const responses = createClient(ChatService, grpc)
      .connect(requests(), { signal: call.signal })
      [Symbol.asyncIterator]();
    const stream: Stream = {
      finish: finished.resolve,
      receive: async () => {
        const next = await responses.next();
        return next.done ? undefined : next.value;
      },
    };
    try {
      const opening = logIn(stream, handshake, keys, payload);
      const { noise, stanzas } = await within(HANDSHAKE_SECONDS, "the login", unlessAborted(signal, opening));
      const [first, ...rest] = stanzas;
      const login = (first as Stanza).kind.value as LoginSuccess;
      const outbox = new Outbox(login.limits);
      loggedIn.resolve({ noise, outbox });
      return new ChatChannel({ outbox, noise, stream, call, written: written.promise }, rest, login);
    } catch (error) {
      finished.reject(new ConnectionEnded("CLOSED"));
      loggedIn.reject(new ConnectionEnded("CLOSED"));
      call.abort();
      throw isOwn(error) ? error : refusalFromCall(error);
    }
  }

  /**
   * Queues stanzas for sending, in order; waits only while the outbox is full.
   *
   * @throws ConnectionEnded The channel has ended.
   * @throws RangeError A stanza alone is longer than a frame may be.
   */
  async send(...stanzas: readonly Stanza[]): Promise<void> {
    await this.parts.outbox.add(...stanzas);
  }

  /**
   * Yields the stanzas of each frame. Ends when this end closes the channel.
   *
   * @throws ConnectionEnded The server ended the channel, or it broke.
   * @throws RemoteProtocolError A frame did not authenticate, or is not a batch.
   */
  async *receive(): AsyncGenerator<readonly Stanza[], void, undefined> {
    this.#isReceiving = true;
    try {
      if (this.#first.length > 0) {
        yield this.#first;
      }
      for (let stanzas = await this.#nextStanzas(); stanzas !== undefined; stanzas = await this.#nextStanzas()) {
        const last = stanzas.at(-1)?.kind;
        if (last?.case !== "streamError") {
          yield stanzas;
          continue;
        }
        if (stanzas.length > 1) {
          yield stanzas.slice(0, -1);
        }
        throw endedBy(refusalFromProto(last.value.error));
      }
    } catch (error) {
      this.parts.outbox.end(
        error instanceof RemoteProtocolError ? new ConnectionEnded(error.reason) : (error as Error),
      );
      throw error;
    } finally {
      this.#isReceiving = false;
      clearInterval(this.#keepAlive);
    }
  }

  /** Sends the waiting stanzas, ends the stream and frees its resources. Idempotent; never throws. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#keepAlive);
    this.parts.outbox.end(new ConnectionEnded("CLOSED"));
    try {
      await within(CLOSE_SECONDS, "the end of the stream", this.#drained());
    } catch {
      // The server does not end the stream: this end drops it.
    } finally {
      this.parts.call.abort();
    }
  }

  /** Drops the stream as a crash would: what waits is not sent. `close` frees its resources. */
  abort(): void {
    this.#isClosing = true;
    clearInterval(this.#keepAlive);
    this.parts.outbox.end(new ConnectionEnded("CLOSED"));
    this.parts.call.abort();
  }

  /** Waits until all is written and the server has ended the stream. */
  async #drained(): Promise<void> {
    await this.parts.written;
    if (this.#isReceiving) {
      await this.#ended.promise;
    }
    while ((await this.#nextStanzas()) !== undefined) {
      // What comes now comes again in the next connection.
    }
  }

  async #nextStanzas(): Promise<readonly Stanza[] | undefined> {
    let response: ConnectResponse | undefined;
    try {
      response = await this.parts.stream.receive();
    } catch (error) {
      this.#ended.resolve();
      if (this.#isClosing) {
        return undefined;
      }
      if (this.#isSilent) {
        throw new ConnectionEnded("CONNECTION_SILENT", "Nothing came from the server; reconnect.");
      }
      throw endedBy(refusalFromCall(error));
    }
    if (response !== undefined) {
      this.#heardAt = performance.now();
      return openFrame(response, this.parts.noise);
    }
    this.#ended.resolve();
    if (this.#isClosing) {
      return undefined;
    }
    throw new ConnectionEnded("OK", "The server ended the stream; reconnect.");
  }

  #ping(): void {
    const silence = (this.login.limits?.silentSeconds || DEFAULT_SILENT_SECONDS) * 1000;
    if (performance.now() - this.#heardAt > silence) {
      this.#isSilent = true;
      this.parts.call.abort();
      return;
    }
    const ping = create(StanzaSchema, { kind: { case: "ping", value: { id: KEEPALIVE_PING_ID } } });
    this.parts.outbox.add(ping).catch(() => undefined); // the channel has ended
  }
}

async function logIn(
  stream: Stream,
  handshake: InitiatorHandshake,
  keys: ChannelKeys,
  payload: LoginPayload,
): Promise<{ readonly noise: NoiseTransport; readonly stanzas: readonly Stanza[] }> {
  const { frame } = await read(stream);
  const answer = frame.case === "handshake" ? frame.value.message : undefined;
  if (answer?.case !== "serverHello") {
    throw new RemoteProtocolError("HANDSHAKE_MALFORMED", "the server did not answer with ServerHello");
  }
  const chain = handshake.readServerHello(answer.value);
  // Before ClientFinish: no login, and so no token, reaches a server that is not certified.
  verifyChain(decodeChain(chain), keys.rootPublicKey, handshake.remoteStatic, Math.floor(Date.now() / 1000));
  stream.finish(handshake.clientFinish(toBinary(LoginPayloadSchema, payload)));
  const noise = handshake.split();
  const stanzas = openFrame(await read(stream), noise);
  const first = stanzas[0]?.kind;
  if (first?.case === "loginFailure") {
    throw refusalFromLoginFailure(first.value);
  }
  if (first?.case !== "loginSuccess") {
    throw new RemoteProtocolError("FRAME_MALFORMED", "the first stanza is not the outcome of the login");
  }
  return { noise, stanzas };
}

async function read(stream: Stream): Promise<ConnectResponse> {
  const response = await stream.receive();
  if (response === undefined) {
    throw new ConnectionEnded("OK", "The server ended the stream before the login.");
  }
  return response;
}

function openFrame(response: ConnectResponse, noise: NoiseTransport): readonly Stanza[] {
  if (response.frame.case !== "sealed") {
    throw new RemoteProtocolError("FRAME_MALFORMED", "only sealed frames are allowed after the handshake");
  }
  const batch = noise.decrypt(response.frame.value);
  let stanzas: readonly Stanza[];
  try {
    stanzas = fromBinary(BatchSchema, batch).stanzas;
  } catch {
    throw new RemoteProtocolError("FRAME_MALFORMED", "a frame is not a batch");
  }
  if (stanzas.length === 0) {
    throw new RemoteProtocolError("FRAME_MALFORMED", "a batch holds no stanza");
  }
  return stanzas;
}

/** Says whether an error is one of this client's own, and no failure of the call. */
function isOwn(error: unknown): boolean {
  const own = ["ServerRefusal", "LoginRefused", "CertificateError", "RemoteProtocolError", "ConnectionEnded"];
  return error instanceof TimeoutError || (error instanceof Error && own.includes(error.name));
}
