/**
 * The plaintext of a session: the `Message` protobuf with its padding; knows no keys.
 *
 * Source: `interop_api/e2ee/v1/content.proto`; MSG-12.
 */

import "../protocol/texts.js";

import { fromBinary, isFieldSet, toBinary } from "@bufbuild/protobuf";

import { type Message, MessageSchema, ProtocolMessageType } from "../gen/interop_api/e2ee/v1/content_pb.js";
import { concat, type Entropy, randomBytes } from "../protocol/primitives.js";
import { InvalidContent, UnsupportedContent } from "./errors.js";

/** Longest padding, in bytes. */
export const MAX_PADDING_BYTES = 16;
/** Observed field of `Message`; not in content.proto, since third-party chats do not support stickers. */
export const STICKER_FIELD = 26;
/** Likewise, for a disappearing message. */
export const EPHEMERAL_FIELD = 40;
/** Longest text, in bytes of UTF-8. */
export const MAX_TEXT_BYTES = 65_536;
/** Longest quote of a text, in bytes of UTF-8: the longest answer to the longest text still fits (MSG-11). */
export const MAX_QUOTE_BYTES = 16_384;
/**
 * Longest content, serialised. Padded, and in the first message of a session, it still fits into a ciphertext (MSG-11):
 * so what was sent in a session can be sent again in a new one.
 */
export const MAX_CONTENT_BYTES = 97_280;

const CONTEXT_FIELD = MessageSchema.field.messageContextInfo.number;
const KINDS: ReadonlyMap<number, string> = new Map([
  [STICKER_FIELD, "STICKER"],
  [EPHEMERAL_FIELD, "DISAPPEARING_MESSAGES"],
]);
const CHANGES: ReadonlyMap<ProtocolMessageType, string> = new Map([
  [ProtocolMessageType.EPHEMERAL_SETTING, "DISAPPEARING_MESSAGES"],
]);
const SUPPORTED_CHANGES: readonly ProtocolMessageType[] = [
  ProtocolMessageType.REVOKE,
  ProtocolMessageType.MESSAGE_EDIT,
];

/**
 * Appends padding that hides the exact length of a plaintext.
 *
 * @param plaintext Any bytes.
 * @param length How many bytes of padding to append, 1 to 16; each holds this number.
 * @throws RangeError: The length is out of range.
 */
export function pad(plaintext: Uint8Array, length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > MAX_PADDING_BYTES) {
    throw new RangeError(`${length} is not 1 to ${MAX_PADDING_BYTES} bytes of padding`);
  }
  return concat(plaintext, new Uint8Array(length).fill(length));
}

/**
 * Removes the padding.
 *
 * @throws InvalidContent: There is no padding, or its bytes differ.
 */
export function unpad(padded: Uint8Array): Uint8Array {
  const length = padded.at(-1) ?? 0;
  const padding = padded.subarray(padded.length - length);
  const isPadded = length >= 1 && length <= MAX_PADDING_BYTES && padding.length === length;
  if (!isPadded || padding.some((byte) => byte !== length)) {
    throw new InvalidContent("the plaintext is not padded with 1 to 16 bytes that hold their number");
  }
  return padded.slice(0, -length);
}

/** Appends 1 to 16 bytes of padding. */
export function padAtRandom(plaintext: Uint8Array, entropy: Entropy = randomBytes): Uint8Array {
  const [random = 0] = entropy(1);
  return pad(plaintext, 1 + (random % MAX_PADDING_BYTES));
}

/**
 * Returns a message as a plaintext without padding, as a reporting token covers it.
 *
 * @throws UnsupportedContent: The message has a content that third-party chats do not support (MSG-12).
 * @throws InvalidContent: The message does not have exactly one content field, or a text or the whole is too long.
 */
export function serializeMessage(message: Message): Uint8Array {
  const unsupported = unsupportedKind(message) ?? unknownFields(message)[0];
  if (unsupported !== undefined) {
    throw new UnsupportedContent(`third-party chats do not support this: ${unsupported}`);
  }
  check(message);
  const serialized = toBinary(MessageSchema, message);
  if (serialized.length > MAX_CONTENT_BYTES) {
    throw new InvalidContent(`a content has more than ${MAX_CONTENT_BYTES} bytes`);
  }
  return serialized;
}

/**
 * Returns a message as the padded plaintext for a session.
 *
 * @throws InvalidContent: As `serializeMessage`.
 */
export function encodeMessage(message: Message, entropy: Entropy = randomBytes): Uint8Array {
  return padAtRandom(serializeMessage(message), entropy);
}

/**
 * Reads a message from the padded plaintext of a session.
 *
 * @throws InvalidContent: The padding is broken; or as `parseMessage`.
 */
export function decodeMessage(plaintext: Uint8Array): Message {
  return parseMessage(unpad(plaintext));
}

/**
 * Reads a message from a plaintext without padding.
 *
 * @throws InvalidContent: The plaintext is not a `Message`, does not have exactly one content field, or has a text that is
 *   too long. A content that third-party chats do not support does not throw.
 */
export function parseMessage(plaintext: Uint8Array): Message {
  let message: Message;
  try {
    message = fromBinary(MessageSchema, plaintext);
  } catch {
    throw new InvalidContent("the plaintext is not a Message");
  }
  if (unsupportedKind(message) === undefined) {
    check(message);
  }
  return message;
}

/** Returns the kind of a content that third-party chats do not support; undefined for any other content (MSG-12). */
export function unsupportedKind(message: Message): string | undefined {
  const change = message.protocolMessage;
  if (change !== undefined) {
    if (change.type === undefined) {
      return "PROTOCOL_MESSAGE_WITHOUT_TYPE"; // what is absent is not REVOKE, although that is 0: nothing is deleted
    }
    if (!SUPPORTED_CHANGES.includes(change.type)) {
      return CHANGES.get(change.type) ?? `PROTOCOL_MESSAGE_${change.type}`;
    }
  }
  if (contentFields(message).length > 0) {
    return undefined; // unknown fields beside a content come from a newer release, and are ignored
  }
  const [unknown] = unknownFields(message);
  return unknown === undefined ? undefined : (KINDS.get(unknown) ?? `FIELD_${unknown}`);
}

/** Returns the names, as in the proto, of the content fields that are set: all but `message_context_info`. */
export function contentFields(message: Message): string[] {
  return MessageSchema.fields
    .filter((field) => field.number !== CONTEXT_FIELD && isFieldSet(message, field))
    .map((field) => field.name);
}

function unknownFields(message: Message): number[] {
  return (message.$unknown ?? []).map((field) => field.no);
}

function check(message: Message): void {
  const fields = contentFields(message);
  if (fields.length !== 1) {
    throw new InvalidContent(`a message has exactly one content field, not [${fields.join(", ")}]`);
  }
  const texts = [
    message.conversation,
    message.extendedTextMessage?.text,
    message.protocolMessage?.editedMessage?.conversation,
  ];
  if (texts.some((text) => Buffer.byteLength(text ?? "") > MAX_TEXT_BYTES)) {
    throw new InvalidContent(`a text has more than ${MAX_TEXT_BYTES} bytes`);
  }
  const others = [message.extendedTextMessage?.contextInfo?.quotedMessage?.conversation, message.reactionMessage?.text];
  if ([...texts, ...others].some((text) => /\p{Cs}/u.test(text ?? ""))) {
    throw new InvalidContent("a text is not Unicode: half of a surrogate pair stands alone");
  }
}
