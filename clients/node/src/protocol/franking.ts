/**
 * Reporting tokens: how a recipient can prove to the server what a sender wrote; knows no message format.
 *
 * The sender puts a random secret into each message and sends, beside the ciphertext, a token that commits to all of it.
 * The server keeps the token and cannot read anything from it. A recipient who reports the message reveals its plaintext
 * and secret, and the server checks both against the token. So no sender can be accused of a message that they did not
 * write, and a message stays deniable until its recipient reports it. Source: ABU-04; threat T18.
 */

import { concat, equalBytes, hmacSha256 } from "./primitives.js";

/** Length of a message secret in bytes; as observed (WIRE). */
export const MESSAGE_SECRET_BYTES = 32;
/** Length of a reporting token in bytes; as observed (WIRE). */
export const REPORTING_TOKEN_BYTES = 16;

const LABEL = Buffer.from("interopsim reporting token 1");
const LENGTH_BYTES = 4;

/** What a reporting token covers, besides the label. */
export interface Reportable {
  /** JID of the sender, as text. */
  readonly senderJid: string;
  /** JID of the recipient, as text. */
  readonly recipientJid: string;
  /** Id of the message. */
  readonly messageId: string;
  /** The serialised `Message` of content.proto, without padding; it includes the secret. */
  readonly plaintext: Uint8Array;
}

/**
 * Returns the token that commits to a message: HMAC-SHA256 under the message secret, its first 16 bytes.
 *
 * It covers a label, both JIDs, the id and the plaintext, each after its own length in 4 bytes, big-endian. The
 * construction is the simulator's own: the real one is not public.
 *
 * @param messageSecret 32 bytes, new for every message.
 * @param covered What it commits to.
 */
export function reportingToken(messageSecret: Uint8Array, covered: Reportable): Uint8Array {
  const texts = [covered.senderJid, covered.recipientJid, covered.messageId].map((text) => Buffer.from(text));
  const parts = [LABEL, ...texts, covered.plaintext].map((part) => concat(lengthOf(part), part));
  return hmacSha256(messageSecret, ...parts).slice(0, REPORTING_TOKEN_BYTES);
}

/** Says whether a token commits to a message; see `reportingToken`. False for a secret of the wrong length. */
export function isReportingToken(token: Uint8Array, messageSecret: Uint8Array, covered: Reportable): boolean {
  return messageSecret.length === MESSAGE_SECRET_BYTES && equalBytes(token, reportingToken(messageSecret, covered));
}

function lengthOf(part: Uint8Array): Uint8Array {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(part.length);
  return length;
}
