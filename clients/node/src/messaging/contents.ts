/**
 * Writes and reads contents as the `Message` of content.proto; knows no encryption and no wire.
 *
 * Source: interop_api/e2ee/v1/content.proto; MSG-12.
 */

import { randomBytes } from "node:crypto";

import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { sentenceOf } from "../errors.js";
import {
  type Message as Content,
  MessageSchema as ContentSchema,
  type ContextInfoSchema,
  MessageContextInfoSchema,
  type ProtocolMessage,
  ProtocolMessageType,
} from "../gen/interop_api/e2ee/v1/content_pb.js";
import type { ReportedMessageSchema } from "../gen/interop_api/v1/integrity_pb.js";
import { MessageType } from "../gen/interop_api/v1/stanza_pb.js";
import { type EncryptedMedia, MEDIA_KEY_BYTES, MediaType } from "../media/crypto.js";
import { harmlessName, wholeCharacters } from "../media/fileNames.js";
import type { MediaReference } from "../media/reference.js";
import { MESSAGE_SECRET_BYTES } from "../protocol/franking.js";
import { hide } from "../protocol/hidden.js";
import { SHA256_BYTES } from "../protocol/sizes.js";
import { isUnicode } from "../protocol/texts.js";
import { contentFields, MAX_QUOTE_BYTES, serializeMessage, unsupportedKind } from "../signal/content.js";
import { InvalidContent } from "../signal/errors.js";
import type { Incoming, Message } from "./events.js";

const NONE = new Uint8Array();
/** Longer than the path of any blob that is uploaded. */
const LONGEST_PATH = "/".repeat(512);

/** Returns the content of a text, as an answer to a message or on its own. */
export function textContent(text: string, replyTo?: Message): Content {
  if (replyTo === undefined) {
    return create(ContentSchema, { conversation: text });
  }
  const contextInfo: MessageInitShape<typeof ContextInfoSchema> = { stanzaId: replyTo.id, participant: replyTo.sender };
  if (replyTo.kind === "TextReceived") {
    contextInfo.quotedMessage = { conversation: wholeCharacters(replyTo.text, MAX_QUOTE_BYTES) };
  }
  return create(ContentSchema, { extendedTextMessage: { text, contextInfo } });
}

/**
 * Returns the content of a reaction; an empty emoji removes a reaction.
 *
 * @param peer JID of the other side of the chat.
 * @param messageId Id of the message reacted to.
 * @param emoji The reaction.
 * @param isOwnMessage Whether the user who reacts sent that message.
 */
export function reactionContent(peer: string, messageId: string, emoji: string, isOwnMessage = false): Content {
  const key = { remoteJid: peer, fromMe: isOwnMessage, id: messageId };
  return create(ContentSchema, { reactionMessage: { key, text: emoji } });
}

/** Returns the content of a media message. */
export function mediaContent(reference: MediaReference): Content {
  const media = {
    mimetype: reference.mimetype,
    mediaKey: reference.mediaKey,
    directPath: reference.directPath,
    ...digestsOf(reference.encrypted),
  };
  const caption = reference.name ? { caption: reference.name } : {};
  switch (reference.mediaType) {
    case MediaType.IMAGE:
      return create(ContentSchema, { imageMessage: { ...media, ...caption } });
    case MediaType.VIDEO:
      return create(ContentSchema, { videoMessage: { ...media, ...caption } });
    case MediaType.AUDIO:
      return create(ContentSchema, { audioMessage: media });
    case MediaType.DOCUMENT:
      return create(ContentSchema, {
        documentMessage: { ...media, ...(reference.name ? { fileName: reference.name } : {}) },
      });
  }
}

/**
 * Checks what is said of a file, before it is uploaded.
 *
 * @throws InvalidContent The MIME type or the name is not text that can be sent, or too long.
 */
export function checkDescription(mimetype: string, name: string): void {
  if (!isUnicode(mimetype + name)) {
    throw new InvalidContent("the name, caption or MIME type of a file is not Unicode text");
  }
  const digest = new Uint8Array(SHA256_BYTES);
  const encrypted = { plaintextSha256: digest, plaintextLength: Number.MAX_SAFE_INTEGER, ciphertextSha256: digest };
  const reference = { mediaKey: digest, directPath: LONGEST_PATH, encrypted, mimetype, name };
  serializeMessage(mediaContent({ mediaType: MediaType.IMAGE, ...reference }));
}

/** Returns the content of a media message with another blob, for a file that was uploaded again (MED-08). */
export function withBlob(
  content: Content,
  encrypted: EncryptedMedia,
  mediaKey: Uint8Array,
  directPath: string,
): Content {
  const again = clone(ContentSchema, content);
  Object.assign(mediaOf(again) ?? {}, { mediaKey, directPath, ...digestsOf(encrypted) });
  return again;
}

/** Returns the media type of a content; undefined when it is not a media message. */
export function mediaTypeOf(content: Content): MediaType | undefined {
  if (content.imageMessage) {
    return MediaType.IMAGE;
  }
  if (content.documentMessage) {
    return MediaType.DOCUMENT;
  }
  if (content.audioMessage) {
    return MediaType.AUDIO;
  }
  return content.videoMessage ? MediaType.VIDEO : undefined;
}

/**
 * Returns the content that edits one of the sender's texts.
 *
 * @param peer JID of the other side of the chat.
 * @param messageId Id of the message.
 * @param text The new text.
 * @param atMs When the sender edited it, on their own clock: milliseconds since the UNIX epoch.
 */
export function editContent(peer: string, messageId: string, text: string, atMs: number): Content {
  return create(ContentSchema, {
    protocolMessage: {
      key: { remoteJid: peer, fromMe: true, id: messageId },
      type: ProtocolMessageType.MESSAGE_EDIT,
      editedMessage: { conversation: text },
      timestampMs: BigInt(atMs),
    },
  });
}

/** Returns the content that deletes one of the sender's messages on both sides. */
export function deletionContent(peer: string, messageId: string): Content {
  const key = { remoteJid: peer, fromMe: true, id: messageId };
  return create(ContentSchema, { protocolMessage: { key, type: ProtocolMessageType.REVOKE } });
}

/**
 * Returns a content with a message secret, the key of its reporting token (ABU-04); adds one if it has none.
 *
 * @throws InvalidContent A value in it is not of its kind, such as a text with half of a surrogate pair.
 */
export function withMessageSecret(content: Content): Content {
  const sent = cloned(content);
  sent.messageContextInfo ??= create(MessageContextInfoSchema);
  if (!sent.messageContextInfo.messageSecret?.length) {
    sent.messageContextInfo.messageSecret = new Uint8Array(randomBytes(MESSAGE_SECRET_BYTES));
  }
  return sent;
}

function cloned(content: Content): Content {
  try {
    return clone(ContentSchema, content);
  } catch (error) {
    // In which each value is held to its kind: a text may not be one of Unicode.
    throw new InvalidContent(`what is to be sent is no content: ${sentenceOf(error)}`);
  }
}

/** Returns the message secret of a content; empty when it has none. */
export function messageSecretOf(content: Content): Uint8Array {
  return content.messageContextInfo?.messageSecret ?? NONE;
}

/** Returns a message for a report, with its plaintext if the recipient reveals it and can prove it (ABU-04). */
export function reportedMessage(message: Incoming, reveal: boolean): MessageInitShape<typeof ReportedMessageSchema> {
  const { id: messageId, evidence } = message;
  return reveal && evidence ? { messageId, ...evidence } : { messageId };
}

/** Returns the type of a content, which is all that the server may know of it. */
export function messageType(content: Content): MessageType {
  if (content.reactionMessage) {
    return MessageType.REACTION;
  }
  return mediaTypeOf(content) === undefined ? MessageType.TEXT : MessageType.MEDIA;
}

/**
 * Returns the event of a received content.
 *
 * @param content The decrypted content, with exactly one field set, or an unsupported one.
 * @param facts The facts from the stanza.
 * @throws InvalidContent A media message lacks the key, digests or path of its blob; an edit or deletion names no
 *   message; or an edit has no new text.
 */
export function messageEvent(content: Content, facts: Incoming): Message {
  const unsupported = unsupportedKind(content);
  if (unsupported !== undefined) {
    return { ...facts, kind: "Unsupported", content: unsupported };
  }
  if (content.protocolMessage) {
    return changeEvent(content.protocolMessage, facts);
  }
  if (content.conversation !== undefined) {
    return { ...facts, kind: "TextReceived", text: content.conversation, replyTo: undefined };
  }
  if (content.extendedTextMessage) {
    const { text = "", contextInfo } = content.extendedTextMessage;
    return { ...facts, kind: "TextReceived", text, replyTo: contextInfo?.stanzaId || undefined };
  }
  if (content.reactionMessage) {
    const { key, text = "" } = content.reactionMessage;
    return { ...facts, kind: "ReactionReceived", targetId: key?.id ?? "", emoji: text };
  }
  return { ...facts, kind: "MediaReceived", media: mediaReference(content) };
}

function changeEvent(change: ProtocolMessage, facts: Incoming): Message {
  const targetId = change.key?.id ?? "";
  if (!targetId) {
    throw new InvalidContent("a change names no message");
  }
  if (!change.key?.fromMe) {
    return { ...facts, kind: "ChangeRefused", targetId, reason: "NOT_OWN" };
  }
  if (change.type === ProtocolMessageType.REVOKE) {
    return { ...facts, kind: "DeletionReceived", targetId };
  }
  const edited = change.editedMessage;
  if (edited?.conversation === undefined || contentFields(edited).length !== 1) {
    throw new InvalidContent("an edit holds no new text");
  }
  return { ...facts, kind: "EditReceived", targetId, text: edited.conversation };
}

function mediaReference(content: Content): MediaReference {
  const mediaType = mediaTypeOf(content);
  const media = mediaOf(content);
  const { mediaKey = NONE, fileSha256 = NONE, fileEncSha256 = NONE, directPath = "" } = media ?? {};
  if (
    mediaType === undefined ||
    mediaKey.length !== MEDIA_KEY_BYTES ||
    fileSha256.length !== SHA256_BYTES ||
    fileEncSha256.length !== SHA256_BYTES ||
    !directPath.startsWith("/")
  ) {
    throw new InvalidContent("a media message lacks the key, a digest or the path of its blob");
  }
  const fileName = content.documentMessage?.fileName;
  const reference: MediaReference = {
    mediaType,
    directPath,
    mediaKey,
    encrypted: {
      plaintextSha256: fileSha256,
      plaintextLength: Number(media?.fileLength ?? 0n),
      ciphertextSha256: fileEncSha256,
    },
    mimetype: media?.mimetype ?? "",
    name: fileName ? harmlessName(fileName) : (content.imageMessage?.caption ?? content.videoMessage?.caption ?? ""),
  };
  return hide(reference, "mediaKey");
}

function mediaOf(content: Content) {
  return content.imageMessage ?? content.documentMessage ?? content.audioMessage ?? content.videoMessage;
}

function digestsOf(encrypted: EncryptedMedia) {
  return {
    fileSha256: encrypted.plaintextSha256,
    fileLength: BigInt(encrypted.plaintextLength),
    fileEncSha256: encrypted.ciphertextSha256,
  };
}
