/** One WebSocket to a partner's proxy after its login: separates batches from answers to calls; makes no login. */

import "../protocol/texts.js";

import { fromBinary } from "@bufbuild/protobuf";
import { type ClientOptions, type RawData, WebSocket } from "ws";

import { Change, type Deferred, deferred, within } from "../asynchrony.js";
import {
  ConnectionEnded,
  endedBy,
  LoginRefused,
  recoveryNamed,
  ServerRefusal,
  sentenceOf,
  TimeoutError,
} from "../errors.js";
import { BatchSchema, type LoginSuccess, type Stanza } from "../gen/interop_api/v1/stanza_pb.js";
import { Outbox } from "./outbox.js";
import {
  decodeEnded,
  decodeFrame,
  type Ended,
  encodeBatch,
  encodeHello,
  encodeRequest,
  FrameMalformed,
  HEARTBEAT_SECONDS,
  type Hello,
  MAX_FRAME_BYTES,
  type ProxyFrame,
} from "./proxyFrames.js";
import { refusalFromStatus } from "./status.js";

/** Longest wait for the outcome of a login: longer than the proxy waits for WhatsApp. */
export const LOGIN_SECONDS = 30;
/** Longest wait for the answer of a unary call: longer than the proxy waits for WhatsApp. */
export const CALL_SECONDS = 35;
/** Longest wait for the proxy to confirm that the WebSocket closes. */
export const CLOSE_SECONDS = 2;
/** How many frames may wait for `receive`; beyond that, the client reads from the proxy only while a call waits. */
export const MAX_WAITING_FRAMES = 64;

/** A frame as it came. */
interface Frame {
  readonly data: RawData;
  readonly isBinary: boolean;
}

type Response = Extract<ProxyFrame, { readonly kind: "response" }>;

/** One open connection. Made by `open`; ends with `close`, or when the proxy ends it. */
export class ProxyConnection {
  /** The server's answer to the login, without the session's token. */
  readonly login: LoginSuccess;
  readonly #waiting: (readonly Stanza[])[];
  readonly #calls = new Map<number, Deferred<Response>>();
  readonly #changed = new Change();
  readonly #outbox: Outbox;
  readonly #written: Promise<void>;
  readonly #heartbeat: NodeJS.Timeout;
  #isAlive = true;
  #lastCallId = 0;
  #end: ConnectionEnded | undefined;
  #isClosing = false;

  private constructor(
    private readonly socket: WebSocket,
    [login, ...early]: readonly Frame[],
  ) {
    const [first, ...rest] = batchOf(login);
    if (first?.kind.case !== "loginSuccess") {
      throw new FrameMalformed("the first stanza is not the success of a login");
    }
    this.login = first.kind.value;
    this.#waiting = rest.length > 0 ? [rest] : [];
    this.#outbox = new Outbox(this.login.limits);
    socket.removeAllListeners("message");
    socket.on("message", (data, isBinary) => this.#read({ data, isBinary }));
    socket.on("pong", () => {
      this.#isAlive = true;
    });
    socket.on("close", () => {
      this.#finish(new ConnectionEnded("BROKEN", "The proxy ended the connection without a reason; reconnect."));
    });
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_SECONDS * 1000);
    this.#written = this.#write();
    for (const frame of early) {
      this.#read(frame);
    }
  }

  /**
   * Connects and logs in.
   *
   * @param url As of `ProxyTransport`.
   * @param headers Of the WebSocket's first request.
   * @param hello The user who connects.
   * @param signal Gives up what is not open yet.
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server or the proxy ended the handshake, or cannot be reached.
   * @throws TimeoutError The login took too long.
   */
  static async open(
    url: string,
    headers: Readonly<Record<string, string>>,
    hello: Hello,
    signal: AbortSignal,
  ): Promise<ProxyConnection> {
    // No redirect is followed: the hello holds a token, which is for one place.
    const address = url.replace(/^http/u, "ws");
    const options = { headers, maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false, followRedirects: false };
    const socket = socketTo(address, options);
    socket.on("error", () => undefined); // `close` follows
    const giveUp = () => socket.terminate();
    signal.addEventListener("abort", giveUp);
    try {
      const answer = logIn(socket, hello);
      return new ProxyConnection(socket, await within(LOGIN_SECONDS, "the login", answer));
    } catch (error) {
      socket.terminate();
      if (error instanceof ServerRefusal || error instanceof TimeoutError) {
        throw error;
      }
      throw new ServerRefusal("PROXY_FRAME_MALFORMED", { advice: sentenceOf(error) });
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  /** Queues stanzas for sending. See Transport. */
  async send(...stanzas: readonly Stanza[]): Promise<void> {
    await this.#outbox.add(...stanzas);
  }

  /** Yields the stanzas of each frame. See Transport. */
  async *receive(): AsyncGenerator<readonly Stanza[], void, undefined> {
    while (true) {
      await this.#changed.until(() => this.#waiting.length > 0 || this.#end !== undefined);
      const stanzas = this.#waiting.shift();
      if (stanzas === undefined) {
        break;
      }
      this.#regulate();
      yield stanzas;
    }
    if (this.#end !== undefined && !this.#isClosing) {
      throw this.#end;
    }
  }

  /**
   * Makes a unary call, and returns the response, serialised.
   *
   * @param method Full name.
   * @param request The request, serialised.
   * @throws ServerRefusal The call was refused or failed.
   */
  async call(method: string, request: Uint8Array): Promise<Uint8Array> {
    this.#lastCallId = (this.#lastCallId + 1) >>> 0;
    const callId = this.#lastCallId;
    const answer = deferred<Response>();
    this.#calls.set(callId, answer);
    try {
      if (this.#end !== undefined) {
        throw this.#end;
      }
      this.#regulate();
      this.socket.send(encodeRequest(callId, method, request));
      const { code, body } = await within(CALL_SECONDS, "the proxy's answer", answer.promise);
      if (code === 0) {
        return body;
      }
      throw refusalOf(code, body);
    } catch (error) {
      if (error instanceof ConnectionEnded) {
        throw sessionDead();
      }
      if (error instanceof TimeoutError) {
        throw new ServerRefusal("DEADLINE_EXCEEDED", { advice: "The proxy did not answer in time." });
      }
      throw error;
    } finally {
      this.#calls.delete(callId);
      this.#regulate();
    }
  }

  /** Drops the connection. See Transport. */
  abort(): void {
    this.#isClosing = true;
    this.#outbox.end(new ConnectionEnded("CLOSED"));
    this.socket.terminate();
  }

  /** Sends what waits, and ends the connection. See Transport. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#outbox.end(new ConnectionEnded("CLOSED"));
    await within(CLOSE_SECONDS, "the end of writing", this.#written).catch(() => undefined);
    if (this.socket.readyState !== WebSocket.CLOSED) {
      const closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
      this.socket.resume();
      this.socket.close();
      await within(CLOSE_SECONDS, "the end of the WebSocket", closed).catch(() => undefined);
      this.socket.terminate();
    }
    this.#finish(new ConnectionEnded("CLOSED"));
  }

  async #write(): Promise<void> {
    for (let batch = await this.#outbox.nextBatch(); batch !== undefined; batch = await this.#outbox.nextBatch()) {
      const frame = encodeBatch(batch);
      // A broken socket also closes, and that says why.
      await new Promise<void>((resolve) => this.socket.send(frame, () => resolve()));
    }
  }

  #read({ data, isBinary }: Frame): void {
    try {
      const frame = bufferOf(data);
      if (!isBinary) {
        this.#finish(endedBy(refusalOfEnded(decodeEnded(frame.toString()))));
        return;
      }
      const decoded = decodeFrame(frame);
      if (decoded.kind === "response") {
        this.#calls.get(decoded.callId)?.resolve(decoded);
        return;
      }
      this.#waiting.push(fromBinary(BatchSchema, decoded.batch).stanzas);
      this.#changed.notify();
      this.#regulate();
    } catch (error) {
      this.#finish(new ConnectionEnded("PROXY_FRAME_MALFORMED", sentenceOf(error)));
      this.socket.terminate();
    }
  }

  /** Who empties the queue may be waiting for a call whose answer comes after what fills it: then reading goes on. */
  #regulate(): void {
    if (this.socket.readyState !== WebSocket.OPEN) {
      return;
    }
    if (this.#waiting.length >= MAX_WAITING_FRAMES && this.#calls.size === 0) {
      this.socket.pause();
    } else if (this.socket.isPaused) {
      this.socket.resume();
    }
  }

  #beat(): void {
    if (!this.#isAlive && !this.socket.isPaused) {
      this.socket.terminate();
      return;
    }
    this.#isAlive = false;
    this.socket.ping();
  }

  #finish(end: ConnectionEnded): void {
    clearInterval(this.#heartbeat);
    this.#end ??= end;
    this.#outbox.end(this.#end);
    for (const answer of this.#calls.values()) {
      answer.reject(this.#end);
    }
    this.#changed.notify();
  }
}

function socketTo(address: string, options: ClientOptions): WebSocket {
  try {
    return new WebSocket(address, options);
  } catch {
    throw new ServerRefusal("UNAVAILABLE", { advice: "The proxy cannot be reached: its URL names no host." });
  }
}

/**
 * Sends the hello, and returns the frames that come: the first of them is the answer. Those that come right after it
 * are added until somebody else listens, so that none is lost.
 */
function logIn(socket: WebSocket, hello: Hello): Promise<readonly Frame[]> {
  const frames: Frame[] = [];
  return new Promise((resolve, reject) => {
    socket.once("open", () => socket.send(encodeHello(hello)));
    socket.on("message", (data, isBinary) => {
      frames.push({ data, isBinary });
      resolve(frames);
    });
    socket.once("close", () => {
      reject(new ServerRefusal("UNAVAILABLE", { advice: "The proxy cannot be reached, or closed the connection." }));
    });
  });
}

/**
 * Returns the stanzas of the frame that answers a hello.
 *
 * @throws ServerRefusal It says that there is no login.
 */
function batchOf(frame: Frame | undefined): readonly Stanza[] {
  const data = bufferOf(frame?.data ?? Buffer.alloc(0));
  if (frame?.isBinary === false) {
    throw refusalOfEnded(decodeEnded(data.toString()));
  }
  const decoded = decodeFrame(data);
  if (decoded.kind !== "batch") {
    throw new FrameMalformed("the first frame is not a batch");
  }
  return fromBinary(BatchSchema, decoded.batch).stanzas;
}

function bufferOf(data: RawData): Buffer {
  if (Array.isArray(data)) {
    return Buffer.concat(data);
  }
  return Buffer.isBuffer(data) ? data : Buffer.from(data);
}

/** The server's refusal of calls in an ended session; made here, since the proxy can no longer ask the server. */
function sessionDead(): ServerRefusal {
  return new ServerRefusal("SESSION_DEAD", {
    requirement: "CHN-01",
    advice: "The connection of this session has ended: connect again.",
    retryAfterMs: 1_000,
    code: 401,
    recovery: "RECONNECT",
  });
}

function refusalOfEnded(ended: Ended): ServerRefusal {
  const { reason, advice, requirement, requestId, retryAfterMs, loginCode } = ended;
  const recovery = recoveryNamed(ended.recovery);
  const facts = { advice, requirement, requestId, retryAfterMs, recovery, code: loginCode ?? 0 };
  const refusal = new ServerRefusal(reason, facts);
  return loginCode === undefined ? refusal : new LoginRefused(refusal, ended.expiresAfterSeconds, ended.subCode);
}

function refusalOf(code: number, body: Uint8Array): ServerRefusal {
  try {
    return refusalFromStatus(code, body);
  } catch {
    return new ServerRefusal("PROXY_FRAME_MALFORMED", { advice: "The proxy's answer to a refused call is no Status." });
  }
}
