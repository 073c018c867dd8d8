/**
 * Reaches the server through the partner's proxy; holds no auth key, speaks no Noise.
 *
 * Blobs do not go through the proxy: clients move them over HTTP, to and from their own partner's media server and the
 * simulator's.
 *
 * Source: PRX-01 to PRX-05; the protocol with the proxy: `proxyFrames`.
 */

import { isIPv4, isIPv6 } from "node:net";

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";

import { unlessAborted } from "../asynchrony.js";
import { ConnectionEnded, ServerRefusal } from "../errors.js";
import type { LoginSuccess, Stanza } from "../gen/interop_api/v1/stanza_pb.js";
import { encoded } from "./calls.js";
import { CAPABILITIES } from "./login.js";
import { ProxyConnection } from "./proxyConnection.js";
import { notWanted, type Transport } from "./transport.js";

/** The user who connects through the proxy. */
export interface ProxyLogin {
  /** User-visible identifier. */
  readonly user: string;
  /** JID that the enlistment returned. */
  readonly jid: string;
  /** Gets a token from the partner: tokens are short-lived, so each connection asks for a new one. */
  readonly getToken: () => Promise<string>;
  /** Whether the user sends and receives read receipts. Yes by default. */
  readonly readReceipts?: boolean;
  /** Optional parts of the protocol that the client knows. */
  readonly capabilities?: readonly number[];
}

/** A client behind its partner's proxy: one WebSocket for chat and calls. */
export class ProxyTransport implements Transport {
  readonly blobs = undefined;
  readonly ca = "";
  readonly #headers: Readonly<Record<string, string>>;
  /** Aborted when the connection that is under way is not wanted any more. */
  #connecting: AbortController | undefined;
  #connection: ProxyConnection | undefined;

  /**
   * @param url The proxy's WebSocket, such as `http://127.0.0.1:8080/proxy`.
   * @param login The user who connects.
   * @param clientIp Sent as `Forwarded: for=` (RFC 7239). A real proxy gets it from its load balancer, which alone
   *   knows the client's address. Empty: the proxy uses the address that the WebSocket comes from.
   * @throws RangeError `clientIp` is no address.
   */
  constructor(
    private readonly url: string,
    private readonly login: ProxyLogin,
    clientIp = "",
  ) {
    this.#headers = clientIp ? { forwarded: `for=${forwardedNode(clientIp)}` } : {};
  }

  /**
   * Opens the chat channel, after closing any open one. See Transport.
   *
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server or the proxy ended the handshake, or cannot be reached.
   * @throws TimeoutError The login took too long.
   * @throws ConnectionEnded CLOSED: `close`, or another `connect`, was called meanwhile.
   */
  async connect(): Promise<LoginSuccess> {
    const closing = this.close();
    this.#connecting = new AbortController();
    const { signal } = this.#connecting;
    await closing;
    signal.throwIfAborted();
    const { user, jid, getToken, readReceipts = true, capabilities = CAPABILITIES } = this.login;
    const hello = { user, token: await unlessAborted(signal, getToken()), jid, readReceipts, capabilities };
    const connection = await ProxyConnection.open(this.url, this.#headers, hello, signal).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : error;
    });
    if (signal.aborted) {
      await connection.close();
      throw signal.reason;
    }
    this.#connection = connection;
    return connection.login;
  }

  /** Queues stanzas for sending. See Transport. */
  async send(...stanzas: readonly Stanza[]): Promise<void> {
    await this.#open.send(...stanzas);
  }

  /** Yields the stanzas of each frame. See Transport. */
  receive(): AsyncIterable<readonly Stanza[]> {
    return this.#open.receive();
  }

  /** Makes a unary call. See Transport. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Promise<MessageShape<O>> {
    if (this.#connection === undefined) {
      const advice = "Connect first: the proxy calls in the session only.";
      throw new ServerRefusal("PROXY_NOT_CONNECTED", { advice });
    }
    const name = `/${method.parent.typeName}/${method.name}`;
    const response = await this.#connection.call(name, encoded(method.input, create(method.input, request)));
    try {
      return fromBinary(method.output, response);
    } catch {
      throw new ServerRefusal("PROXY_FRAME_MALFORMED", { advice: "The response is not such a message." });
    }
  }

  /** Drops the channel. See Transport. */
  abort(): void {
    this.#connection?.abort();
  }

  /** Ends the channel and frees its resources. See Transport. */
  async close(): Promise<void> {
    this.#connecting?.abort(notWanted());
    const connection = this.#connection;
    this.#connection = undefined;
    await connection?.close();
  }

  get #open(): ProxyConnection {
    if (this.#connection === undefined) {
      throw new ConnectionEnded("CLOSED", "Connect first.");
    }
    return this.#connection;
  }
}

function forwardedNode(clientIp: string): string {
  if (isIPv6(clientIp)) {
    return `"[${clientIp}]"`;
  }
  if (isIPv4(clientIp)) {
    return clientIp;
  }
  throw new RangeError("the client's address is no IP address");
}
