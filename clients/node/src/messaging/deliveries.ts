/**
 * The events of deliveries that are not encrypted, and the facts of a message beside its ciphertext; knows no session.
 */

import {
  InboxMode,
  MessageRequestState,
  type Message as MessageStanza,
  type Notification,
  type OfflinePreview as PreviewStanza,
  type Receipt,
  ReceiptType,
  type RetryReceipt,
} from "../gen/interop_api/v1/stanza_pb.js";
import { hide } from "../protocol/hidden.js";
import type {
  Event,
  Evidence,
  Incoming,
  MediaRetryRequested,
  OfflinePreview,
  ReceiptReceived,
  RetryRequested,
} from "./events.js";

const INBOX_MODES: Readonly<Partial<Record<InboxMode, Incoming["inboxMode"]>>> = {
  [InboxMode.SEPARATE]: "SEPARATE",
  [InboxMode.COMBINED]: "COMBINED",
};
const REQUEST_STATES: Readonly<Partial<Record<MessageRequestState, Incoming["requestState"]>>> = {
  [MessageRequestState.REQUESTED]: "REQUESTED",
  [MessageRequestState.ACCEPTED]: "ACCEPTED",
  [MessageRequestState.DECLINED]: "DECLINED",
};

/** Returns what proves a message in a report; shows neither the message nor its secret. */
export function evidenceOf(plaintext: Uint8Array, messageSecret: Uint8Array): Evidence {
  return hide({ plaintext, messageSecret }, "plaintext", "messageSecret");
}

/** Returns what a stanza says of its message. */
export function incomingOf(message: MessageStanza, offline: boolean, evidence: Evidence | undefined): Incoming {
  return {
    sender: message.fromJid,
    id: message.id,
    timestampMs: Number(message.timestampMs),
    inboxMode: INBOX_MODES[message.inboxMode] ?? "",
    requestState: REQUEST_STATES[message.requestState] ?? "",
    offline,
    retryCount: message.retryCount,
    evidence,
  };
}

/** Returns the event of a notification; undefined for one that is newer than this client. */
export function notificationEvent({ event, timestampMs }: Notification): Event | undefined {
  switch (event.case) {
    case "prekeysLow":
      return { kind: "PreKeysLow", count: event.value.count, kemCount: event.value.kemCount };
    case "identityChanged":
      return { kind: "IdentityChanged", jid: event.value.jid };
    case "reachabilityPing": {
      const { integrator, partnerName, displayName } = event.value;
      return { kind: "ReachabilityPing", integrator, partnerName, displayName, timestampMs: Number(timestampMs) };
    }
    case "trustedContact":
      return { kind: "TrustedContact", jid: event.value.jid, expiresAtMs: Number(event.value.expiresAtMs) };
    case "digestRequested":
      return { kind: "DigestRequested" };
    case "challengeCode":
      return { kind: "ChallengeCode", challengeId: event.value.challengeId, digits: event.value.digits };
    case undefined:
      return undefined;
  }
}

/** Returns the event of a receipt. */
export function receiptEvent(receipt: Receipt): ReceiptReceived {
  const { fromJid: sender, type, messageIds, timestampMs } = receipt;
  const isRead = type === ReceiptType.READ;
  return { kind: "ReceiptReceived", sender, isRead, messageIds, timestampMs: Number(timestampMs) };
}

/** Returns the event of a request to send a message, or its file, again. */
export function retryEvent(receipt: RetryReceipt): RetryRequested | MediaRetryRequested {
  const { fromJid: sender, messageId, retryCount, reason, mediaStatus } = receipt;
  return mediaStatus === undefined
    ? { kind: "RetryRequested", sender, messageId, retryCount, reason }
    : { kind: "MediaRetryRequested", sender, messageId, retryCount, status: mediaStatus };
}

/** Returns the event of what waits. */
export function previewEvent(preview: PreviewStanza): OfflinePreview {
  const { messages, receipts, notifications, retryReceipts } = preview;
  return { kind: "OfflinePreview", messages, receipts, notifications, retryReceipts };
}
