/** The events that a client gives to the application, each with its `kind`; knows no wire format. */

import type { Recovery } from "../errors.js";
import type { MediaReference } from "../media/reference.js";

/** Proves to the server what a message says, when its recipient reports it (ABU-04). */
export interface Evidence {
  /** The decrypted message, without padding. */
  readonly plaintext: Uint8Array;
  /** 32 bytes, part of the plaintext. */
  readonly messageSecret: Uint8Array;
}

/** The facts of every message. */
export interface Incoming {
  /** JID of the sender. */
  readonly sender: string;
  /** Id of the message, unique per sender. */
  readonly id: string;
  /** When the server accepted it: milliseconds since the UNIX epoch. */
  readonly timestampMs: number;
  /** How a WhatsApp user wants to see it; empty for a third-party user (OPT-05). */
  readonly inboxMode: "SEPARATE" | "COMBINED" | "";
  /**
   * For a WhatsApp user: `REQUESTED` while the sender waits for an answer to their first message, `ACCEPTED`, or
   * `DECLINED`; empty for a third-party user (OPT-14).
   */
  readonly requestState: "REQUESTED" | "ACCEPTED" | "DECLINED" | "";
  /** Whether it waited on the server for this connection. */
  readonly offline: boolean;
  /** 0 for a first sending; otherwise the number of this client's request that it answers (RCP-04). */
  readonly retryCount: number;
  /**
   * Proves to the server what the message says. Undefined when the sender gave no reporting token or a wrong one: a
   * report can then name the message, but not reveal its content.
   */
  readonly evidence: Evidence | undefined;
}

/** A peer sent a text. */
export interface TextReceived extends Incoming {
  readonly kind: "TextReceived";
  /** The text. */
  readonly text: string;
  /** Id of the message that it answers. */
  readonly replyTo: string | undefined;
}

/** A peer sent a file, which the application has to download. */
export interface MediaReceived extends Incoming {
  readonly kind: "MediaReceived";
  /** The path and the key of its blob. */
  readonly media: MediaReference;
}

/** A peer reacted to a message. */
export interface ReactionReceived extends Incoming {
  readonly kind: "ReactionReceived";
  /** Id of that message. */
  readonly targetId: string;
  /** The reaction; empty when the peer removed it. */
  readonly emoji: string;
}

/** A peer edited one of their texts, within twenty minutes (MSG-12). */
export interface EditReceived extends Incoming {
  readonly kind: "EditReceived";
  /** Id of the edited message. */
  readonly targetId: string;
  /** The new text. */
  readonly text: string;
}

/**
 * A peer deleted one of their messages on both sides (MSG-12). When it overtakes the message, it comes after it, and
 * may come before it too.
 */
export interface DeletionReceived extends Incoming {
  readonly kind: "DeletionReceived";
  /** Id of that message. */
  readonly targetId: string;
}

/** A peer tried to edit or delete a message and may not: leave the message as it is (MSG-12). */
export interface ChangeRefused extends Incoming {
  readonly kind: "ChangeRefused";
  /** Id of the message. */
  readonly targetId: string;
  /**
   * `NOT_OWN`: the change itself says that the peer did not send the message; `SUPERSEDED`: a newer edit came before
   * this one; `TOO_LATE`: for an edit, twenty minutes have passed, or the message is not among the newest that came
   * within that time. If the message itself has not come, the edit follows should it still come.
   */
  readonly reason: "NOT_OWN" | "SUPERSEDED" | "TOO_LATE";
}

/** A peer sent a content that third-party chats do not support: show that it cannot be shown (MSG-12). */
export interface Unsupported extends Incoming {
  readonly kind: "Unsupported";
  /** `STICKER`, `DISAPPEARING_MESSAGES`, `PROTOCOL_MESSAGE_{type}`, or `FIELD_{number}` for a field unknown here. */
  readonly content: string;
}

/** A message that a peer sent. */
export type Message =
  | TextReceived
  | MediaReceived
  | ReactionReceived
  | EditReceived
  | DeletionReceived
  | ChangeRefused
  | Unsupported;

/** Why a message that is newer than this client is not opened. */
export const UNKNOWN_TYPE = "UNKNOWN_TYPE";

/**
 * A message came that the client cannot decrypt, and that it would not help to ask for again. The client has told the
 * server, which will not deliver it again.
 */
export interface Undecryptable {
  readonly kind: "Undecryptable";
  /** JID of the sender. */
  readonly sender: string;
  /** Id of the message. */
  readonly id: string;
  /**
   * Name of the error in `signal/errors`, such as `NoSession`; or `UNKNOWN_TYPE` when the message, or its ciphertext,
   * is of a type that is newer than this client.
   */
  readonly reason: string;
}

/**
 * A message came that the client cannot decrypt yet. The client has asked its sender to send it again under the same
 * id; `Undecryptable` follows when that has failed five times (RCP-03, RCP-04).
 */
export interface MessageAwaited {
  readonly kind: "MessageAwaited";
  /** JID of the sender. */
  readonly sender: string;
  /** Id of the message. */
  readonly id: string;
  /** How often the client has asked for it, this time included. */
  readonly retryCount: number;
  /** Name of the error in `signal/errors`, such as `NoSession`. */
  readonly reason: string;
}

/**
 * A message came under another identity key than the peer's known one, and no notification of the change has come.
 *
 * It waits on the server, unacked, for the user's decision: `acceptIdentity` opens it, `refuseIdentity` drops it. It is
 * told again in every connection until then.
 */
export interface MessageHeld {
  readonly kind: "MessageHeld";
  /** JID of the sender. */
  readonly sender: string;
  /** Id of the message. */
  readonly id: string;
  /** The key that the sender presents, 32 bytes, to compare with theirs in person. */
  readonly identityKey: Uint8Array;
}

/**
 * A recipient could not decrypt a message that this user sent. The client sends it again by itself: `MessageResent` or
 * `RetryUnanswered` follows (RCP-03).
 */
export interface RetryRequested {
  readonly kind: "RetryRequested";
  /** JID of the recipient of the message, who asks for it. */
  readonly sender: string;
  /** Id of the message. */
  readonly messageId: string;
  /** How often the recipient has asked, this time included. */
  readonly retryCount: number;
  /** `RetryReason` of stanza.proto. */
  readonly reason: number;
}

/** The client sent a message again on the recipient's request. Not a delivery: `onEvent` does not see it. */
export interface MessageResent {
  readonly kind: "MessageResent";
  /** JID of the recipient. */
  readonly toJid: string;
  /** Id of the message. */
  readonly id: string;
  /** Of the request that this answers. */
  readonly retryCount: number;
  /** When the server accepted it: milliseconds since the UNIX epoch. */
  readonly timestampMs: number;
}

/**
 * The client could not send a message again that its recipient asked for. Not a delivery: `onEvent` does not see it.
 */
export interface RetryUnanswered {
  readonly kind: "RetryUnanswered";
  /** JID of the recipient. */
  readonly toJid: string;
  /** Id of the message. */
  readonly id: string;
  /**
   * `CONTENT_UNKNOWN` when neither client nor application still has its content, see `ClientOptions.findSent`; the
   * reason of the server's refusal; or the name of an error in `signal/errors`.
   */
  readonly reason: string;
}

/**
 * A recipient could not download the file of a message, since its blob is gone: `resendMedia` uploads the file and
 * sends the message again (MED-08).
 */
export interface MediaRetryRequested {
  readonly kind: "MediaRetryRequested";
  /** JID of the recipient of the message, who asks for it. */
  readonly sender: string;
  /** Id of the message. */
  readonly messageId: string;
  /** How often the recipient has asked, this time included. */
  readonly retryCount: number;
  /** The status of the recipient's download: 404 or 410. */
  readonly status: number;
}

/**
 * A peer is typing to this user (MSG-13). Not a delivery: `onEvent` does not see it, and the client drops it while too
 * many events wait.
 */
export interface Typing {
  readonly kind: "Typing";
  /** JID of the peer. */
  readonly sender: string;
  /** What the peer does. */
  readonly state: "COMPOSING" | "RECORDING" | "PAUSED";
  /** Forget it after so many seconds, or when a message from the peer comes. */
  readonly expiresAfterSeconds: number;
}

/** The recipient's device has messages, or the recipient has read them. May come twice for the same message. */
export interface ReceiptReceived {
  readonly kind: "ReceiptReceived";
  /** JID of the recipient of the messages, who sent the receipt. */
  readonly sender: string;
  /** Whether the recipient has read them; otherwise their device has received them. */
  readonly isRead: boolean;
  /** Ids of the messages. */
  readonly messageIds: readonly string[];
  /** When the server accepted the receipt: milliseconds since the UNIX epoch. */
  readonly timestampMs: number;
}

/** A peer has a new identity key: warn the user. The next message goes to the new key (KEY-17). */
export interface IdentityChanged {
  readonly kind: "IdentityChanged";
  /** The peer. */
  readonly jid: string;
}

/** The server has few one-time prekeys of this account left (KEY-09). */
export interface PreKeysLow {
  readonly kind: "PreKeysLow";
  /** How many are left. */
  readonly count: number;
  /** How many one-time KEM prekeys are left; undefined when the account has published none (KEY-15). */
  readonly kemCount: number | undefined;
}

/** The code that answers a challenge (ABU-06). */
export interface ChallengeCode {
  readonly kind: "ChallengeCode";
  /** The challenge that it answers. */
  readonly challengeId: string;
  /** 6 digits. */
  readonly digits: string;
}

/** A third-party user would like to write to this WhatsApp user, who has not opted in for their partner (OPT-10). */
export interface ReachabilityPing {
  readonly kind: "ReachabilityPing";
  /** The partner of the third-party user. */
  readonly integrator: number;
  /** The partner's name. */
  readonly partnerName: string;
  /** The name that the third-party user gives themselves; not verified. */
  readonly displayName: string;
  /** When the third-party user sent it: milliseconds since the UNIX epoch. */
  readonly timestampMs: number;
}

/** A WhatsApp user wrote back or accepted the message request (OPT-14). */
export interface TrustedContact {
  readonly kind: "TrustedContact";
  /** The WhatsApp user. */
  readonly jid: string;
  /** When the mark ends unless it is renewed: milliseconds since the UNIX epoch. */
  readonly expiresAtMs: number;
}

/**
 * The server asks the client to compare keys. The client does so by itself; `PreKeysCompared` follows (KEY-10). It is told
 * again in every connection until then.
 */
export interface DigestRequested {
  readonly kind: "DigestRequested";
}

/**
 * A peer's bundle lacks a KEM prekey, although the peer is known to have published some (KEY-16).
 *
 * The peer has stopped publishing KEM prekeys, or an attacker withholds them. Not a delivery: `onEvent` does not see
 * it.
 */
export interface PqDowngrade {
  readonly kind: "PqDowngrade";
  /** The peer. */
  readonly jid: string;
}

/**
 * The client compared its keys with the server's, which had asked for it. Not a delivery: `onEvent` does not see it.
 */
export interface PreKeysCompared {
  readonly kind: "PreKeysCompared";
  /** Whether they were the same; otherwise the client has published all anew. */
  readonly wereIntact: boolean;
}

/** How many deliveries waited while the client was offline; they follow without a request (MSG-08). */
export interface OfflinePreview {
  readonly kind: "OfflinePreview";
  readonly messages: number;
  readonly receipts: number;
  readonly notifications: number;
  readonly retryReceipts: number;
}

/** All waiting deliveries have come. */
export interface OfflineEnd {
  readonly kind: "OfflineEnd";
  /** How many deliveries waited. */
  readonly count: number;
}

/** The server refused a stanza other than a message. Not told while `ClientOptions.eventCapacity` events wait. */
export interface StanzaRefused {
  readonly kind: "StanzaRefused";
  /** Id of the stanza, when it has one. */
  readonly id: string;
  /** Kind of the stanza, such as `receipt` or `call_offer`; empty when the server did not know it. */
  readonly stanza: string;
  /** Name of the reason. */
  readonly reason: string;
  /** What to do about it. */
  readonly advice: string;
  /** Names the refusal in the server's journal, for `interopsim explain`. */
  readonly requestId: string;
  /** What to do about it, for programs. */
  readonly recovery: Recovery;
}

/** The channel ended without `close`. `connect` opens a new one. */
export interface ConnectionLost {
  readonly kind: "ConnectionLost";
  /** Name of the reason, as in ConnectionEnded. */
  readonly reason: string;
  /** What to do about it; may be empty. */
  readonly advice: string;
  /** What to do about it, for programs. */
  readonly recovery: Recovery;
}

/** Any event that a client gives to the application. */
export type Event =
  | Message
  | Undecryptable
  | MessageAwaited
  | MessageHeld
  | RetryRequested
  | MessageResent
  | RetryUnanswered
  | MediaRetryRequested
  | Typing
  | ReceiptReceived
  | IdentityChanged
  | PreKeysLow
  | ChallengeCode
  | ReachabilityPing
  | TrustedContact
  | DigestRequested
  | PreKeysCompared
  | PqDowngrade
  | OfflinePreview
  | OfflineEnd
  | StanzaRefused
  | ConnectionLost;

/** The name of an event's class. */
export type EventKind = Event["kind"];

/** The event of a kind. */
export type EventOf<K extends EventKind> = Extract<Event, { readonly kind: K }>;
