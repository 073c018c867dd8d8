/**
 * The protocol between a client and its partner's proxy over a WebSocket; opens no WebSocket, and reads no stanza.
 *
 * WhatsApp does not see this protocol and does not define it: each partner has its own (PRX-01). This is the sample's.
 *
 * 1. The client sends a text frame, `Hello`.
 * 2. The proxy logs in to WhatsApp and sends a batch whose first stanza is `login_success` without its session token:
 * the proxy keeps the token, because it makes the unary calls. 3. Both sides send binary frames: a type byte, then -
 * 0x01, both ways: a serialised `Batch`; - 0x02, client → proxy, a unary call: call id (u32), length of the method's
 * name (u16), the name, the request; - 0x03, proxy → client, its answer: call id (u32), gRPC status code (u8), the
 * response; when the code is not 0, the `google.rpc.Status` of `grpc-status-details-bin`, or one of the code and
 * message alone. Numbers are big-endian. 4. When the connection to WhatsApp ends or is refused, the proxy sends a text
 * frame, `Ended`, with the reason, and then closes the WebSocket. When the client closes, the proxy ends its connection
 * to WhatsApp at once (PRX-04).
 *
 * The proxy does not encrypt messages: the clients encrypt the content of a batch (PRX-06). Blobs do not go through the
 * proxy: clients move them over HTTP.
 */

/** Room for the largest response that gRPC accepts by default, 4 MiB, and a header. */
export const MAX_FRAME_BYTES = (4 << 20) + 1024;
/** Each side sends a WebSocket ping this often, so that it notices when the other is gone. */
export const HEARTBEAT_SECONDS = 20;

const BATCH = 1;
const REQUEST = 2;
const RESPONSE = 3;
const REQUEST_HEADER_BYTES = 7;
const RESPONSE_HEADER_BYTES = 6;

/** A frame breaks the protocol above. */
export class FrameMalformed extends Error {
  override readonly name = "FrameMalformed";
}

/** The user who connects. */
export interface Hello {
  /** User-visible identifier: 1 to 256 printable characters. */
  readonly user: string;
  /** A token that the partner issued to the user: the proxy verifies it and logs in to WhatsApp with it. */
  readonly token: string;
  /** JID that the user's enlistment returned. */
  readonly jid: string;
  /** Whether the user sends and receives read receipts. */
  readonly readReceipts: boolean;
  /** Optional parts of WhatsApp's protocol that the client knows, by number: the proxy names these at login. */
  readonly capabilities: readonly number[];
}

/** Why the connection to WhatsApp ended, or was refused. */
export interface Ended {
  /** Name of the reason: WhatsApp's, or one of the proxy's that begins with `PROXY_`. */
  readonly reason: string;
  /** What to do about it, for people. */
  readonly advice: string;
  /** The requirement that was broken; may be empty. */
  readonly requirement: string;
  /** Milliseconds after which a retry can succeed; undefined when a retry cannot help. */
  readonly retryAfterMs: number | undefined;
  /** The failure code when WhatsApp refused the login (CHN-10). */
  readonly loginCode: number | undefined;
  /** For a temporary ban: seconds until it ends. */
  readonly expiresAfterSeconds: number | undefined;
  /** Names the refusal in the simulator's journal; may be empty. */
  readonly requestId: string;
  /** For a temporary ban: the cause. */
  readonly subCode: number | undefined;
  /** What to do about it, for programs: the name of the server's `Recovery`; empty when it did not give one. */
  readonly recovery: string;
}

/** A binary frame from the proxy. */
export type ProxyFrame =
  | { readonly kind: "batch"; readonly batch: Uint8Array }
  | {
      readonly kind: "response";
      readonly callId: number;
      /** gRPC status code, 0 for success. */
      readonly code: number;
      /** The response, or a `google.rpc.Status`. */
      readonly body: Uint8Array;
    };

/** Returns the text frame of a hello. */
export function encodeHello(hello: Hello): string {
  const { user, token, jid, readReceipts: read_receipts, capabilities } = hello;
  return JSON.stringify({ user, token, jid, read_receipts, capabilities });
}

/** Returns the binary frame of some stanzas. */
export function encodeBatch(batch: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(BATCH), batch]);
}

/**
 * Returns the binary frame of a unary call.
 *
 * @param callId Chosen by the client, unique among the calls that wait for an answer.
 * @param method Full name, such as `/interop_api.v1.PreKeyService/TakePreKeyBundles`.
 * @param request The request, serialised.
 */
export function encodeRequest(callId: number, method: string, request: Uint8Array): Uint8Array {
  const name = Buffer.from(method);
  const header = Buffer.alloc(REQUEST_HEADER_BYTES);
  header.writeUInt8(REQUEST, 0);
  header.writeUInt32BE(callId, 1);
  header.writeUInt16BE(name.length, 5);
  return Buffer.concat([header, name, request]);
}

/**
 * Reads a binary frame of the proxy.
 *
 * @throws FrameMalformed The bytes are not such a frame.
 */
export function decodeFrame(frame: Buffer): ProxyFrame {
  if (frame[0] === BATCH) {
    return { kind: "batch", batch: new Uint8Array(frame.subarray(1)) };
  }
  if (frame[0] === RESPONSE && frame.length >= RESPONSE_HEADER_BYTES) {
    const body = new Uint8Array(frame.subarray(RESPONSE_HEADER_BYTES));
    return { kind: "response", callId: frame.readUInt32BE(1), code: frame.readUInt8(5), body };
  }
  throw new FrameMalformed("the frame is truncated, or of a type that a proxy does not send");
}

/**
 * Reads the text frame that says why the connection has ended.
 *
 * @throws FrameMalformed The text is not such a frame.
 */
export function decodeEnded(frame: string): Ended {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(frame) as Readonly<Record<string, unknown>>;
  } catch {
    throw new FrameMalformed("a text frame must be JSON");
  }
  const text = (name: string): string => {
    const value = fields?.[name];
    if (typeof value !== "string") {
      throw new FrameMalformed(`\`${name}\` must be a text`);
    }
    return value;
  };
  const number = (name: string): number | undefined => {
    const value = fields[name] ?? undefined;
    if (value !== undefined && typeof value !== "number") {
      throw new FrameMalformed(`\`${name}\` must be a number`);
    }
    return value;
  };
  return {
    reason: text("reason"),
    advice: text("advice"),
    requirement: text("requirement"),
    retryAfterMs: number("retry_after_ms"),
    loginCode: number("login_code"),
    expiresAfterSeconds: number("expires_after_seconds"),
    requestId: text("request_id"),
    subCode: number("sub_code"),
    recovery: text("recovery"),
  };
}
