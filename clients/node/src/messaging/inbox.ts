/**
 * Decrypts the server's deliveries and decides the answers; knows no network and saves nothing.
 *
 * Source: MSG-09, MSG-10, RCP-01, RCP-03, RCP-04, MED-08, KEY-17.
 */

import { createHash } from "node:crypto";

import { clone, toBinary } from "@bufbuild/protobuf";

import type { Message as Content } from "../gen/interop_api/e2ee/v1/content_pb.js";
import {
  CiphertextType as EncType,
  type Message as MessageStanza,
  MessageType,
  ReceiptType,
  type RetryReceipt,
  type Stanza,
  StanzaSchema,
} from "../gen/interop_api/v1/stanza_pb.js";
import { KEY_DIGITS, MAX_FINISHED, messageName } from "../memory.js";
import { isReportingToken } from "../protocol/franking.js";
import { parseMessage, unpad } from "../signal/content.js";
import { CiphertextType, InvalidContent, InvalidMessage, SignalError, UntrustedIdentity } from "../signal/index.js";
import type { ClientState } from "../state.js";
import { type Answers, nack } from "./answers.js";
import { Changes, isChange } from "./changes.js";
import { messageEvent, messageSecretOf } from "./contents.js";
import { evidenceOf, incomingOf, notificationEvent, previewEvent, receiptEvent, retryEvent } from "./deliveries.js";
import { type Event, type Evidence, type Message, UNKNOWN_TYPE } from "./events.js";
import { askAgain, canHelp, endAsking } from "./retries.js";

/**
 * How many messages wait for the user's decision about an identity key at once; the server counts them as in flight.
 */
export const MAX_HELD = 256;

const NACK_PARSE = 487;
const NACK_UNKNOWN_STANZA = 488;
const NACK_UNKNOWN_TYPE = 490;
const NACK_PROTOBUF = 491;
const NACK_UNHANDLED = 500;

/** A delivery on its way through the application, which `Inbox.finish` ends. */
export interface Opened {
  /** For the application, in order. */
  readonly events: readonly Event[];
  /** What to know the delivery by when it comes again; undefined when it must then be opened again. */
  readonly key?: string | undefined;
  /** Sender and id of the message that it brought. */
  readonly name?: readonly [sender: string, messageId: string];
  /** Deliveries held so far, to open next. */
  readonly again?: readonly Stanza[];
}

/** A recipient's request to send a message again. */
export interface RetryDelivery {
  /** Is acked after the answer. */
  readonly deliveryId: bigint;
  readonly receipt: RetryReceipt;
}

/** Opens deliveries with the keys of one account. */
export class Inbox {
  /** Recipients' requests to send messages again. */
  readonly retries: RetryDelivery[] = [];
  /** Ids of the server's requests to compare keys, which are acked after that, too. */
  readonly digests: bigint[] = [];
  readonly #changes: Changes;
  readonly #maxHeld: number;
  #held: readonly Stanza[] = [];

  /**
   * @param state The account's keys, sessions and memory of deliveries; opening changes them.
   * @param inFlight How many deliveries the server may have in flight, so may deliver again.
   */
  constructor(
    private readonly state: ClientState,
    private readonly inFlight = MAX_FINISHED,
  ) {
    this.#changes = new Changes(state.deliveries);
    this.#maxHeld = Math.min(MAX_HELD, Math.floor(inFlight / 2));
  }

  /**
   * Opens one delivery and adds its answer to `answers`, which may leave after `finish`.
   *
   * @returns What to hand over: no event for a repeated delivery, or a kind that is newer than this client.
   */
  open(stanza: Stanza, answers: Answers): Opened {
    const code = codeOfUnknown(stanza);
    if (code !== undefined) {
      answers.nacks.set(stanza.deliveryId, code);
      return { events: stanza.kind.case === "message" ? [undecryptable(stanza.kind.value, UNKNOWN_TYPE)] : [] };
    }
    if (stanza.kind.case === "retryReceipt" && stanza.kind.value.mediaStatus === undefined) {
      const receipt = stanza.kind.value;
      this.retries.push({ deliveryId: stanza.deliveryId, receipt }); // acked, too, once it is answered
      return { events: [retryEvent(receipt)] };
    }
    if (stanza.kind.case === "notification" && stanza.kind.value.event.case === "digestRequested") {
      this.digests.push(stanza.deliveryId);
      return { events: [{ kind: "DigestRequested" }] };
    }
    const key = keyOf(stanza);
    if (key !== undefined && this.#isRepeated(stanza, key)) {
      answerAgain(stanza, answers);
      return { events: [] };
    }
    if (stanza.kind.case === "message") {
      return this.#openMessage(stanza, stanza.kind.value, key, answers);
    }
    answers.acks.push(stanza.deliveryId);
    switch (stanza.kind.case) {
      case "notification": {
        const event = notificationEvent(stanza.kind.value);
        if (event?.kind !== "IdentityChanged") {
          return { events: event ? [event] : [], key };
        }
        this.state.signal.acceptIdentity(event.jid); // pins the next key that the peer presents
        return { events: [event], key, again: this.release(event.jid) };
      }
      case "receipt":
        return { events: [receiptEvent(stanza.kind.value)], key };
      case "retryReceipt":
        return { events: [retryEvent(stanza.kind.value)], key };
      case "offlinePreview":
        return { events: [previewEvent(stanza.kind.value)] };
      case "offlineEnd":
        return { events: [{ kind: "OfflineEnd", count: stanza.kind.value.count }] };
      default:
        return { events: [] };
    }
  }

  /** Notes that the application has finished a delivery. Only then may it be acked. */
  finish({ key, name }: Opened): void {
    const { deliveries } = this.state;
    if (key !== undefined) {
      deliveries.finish(key, this.inFlight);
    }
    if (name !== undefined) {
      if (key !== undefined) {
        // Whichever copy it was, the first one must not be shown after it.
        deliveries.finish(messageKey(...name), this.inFlight);
      }
      deliveries.changes.delete(messageName(...name));
      endAsking(this.state, ...name);
    }
  }

  /** Returns the messages from a peer that wait for the user's decision, in order; they wait no longer. */
  release(jid: string): readonly Stanza[] {
    const isFromPeer = ({ kind }: Stanza) => kind.case === "message" && kind.value.fromJid === jid;
    const released = this.#held.filter(isFromPeer);
    this.#held = this.#held.filter((stanza) => !isFromPeer(stanza));
    return released;
  }

  #isRepeated({ kind }: Stanza, key: string): boolean {
    if (!this.state.deliveries.finished.has(key)) {
      return false;
    }
    if (kind.case !== "message" || kind.value.type === MessageType.MEDIA) {
      return true; // a file that was asked for once more is another copy, with a key of its own (MED-08)
    }
    // What was asked for once more after it had come is wanted again.
    return !this.state.deliveries.asked.has(messageName(kind.value.fromJid, kind.value.id));
  }

  #openMessage(stanza: Stanza, message: MessageStanza, key: string | undefined, answers: Answers): Opened {
    let content: Content;
    let plaintext: Uint8Array;
    let event: Message;
    try {
      plaintext = unpad(this.#decrypted(message, key));
      content = parseMessage(plaintext);
      const evidence = this.#evidence(message, content, plaintext);
      event = messageEvent(content, incomingOf(message, stanza.offline, evidence));
    } catch (error) {
      if (!(error instanceof SignalError)) {
        throw error;
      }
      if (error instanceof UntrustedIdentity) {
        return this.#heldOrClosed(stanza, message, error, answers);
      }
      // An invalid content would be the same again.
      return {
        events: [this.#closed(stanza, message, error, answers)],
        key: error instanceof InvalidContent ? key : undefined,
      };
    }
    answers.acks.push(stanza.deliveryId);
    answers.deliver(message.fromJid, message.id);
    const events = this.#changes.settle(event, content, plaintext, this.#isHere(event));
    return { events, key, name: [message.fromJid, message.id] };
  }

  #isHere(event: Message): boolean {
    if (!isChange(event)) {
      return true;
    }
    const { texts, finished } = this.state.deliveries;
    return (
      texts.has(messageName(event.sender, event.targetId)) || finished.has(messageKey(event.sender, event.targetId))
    );
  }

  /** Decrypts a message, or returns what it was decrypted to before a crash. */
  #decrypted(message: MessageStanza, key: string | undefined): Uint8Array {
    const opened = key === undefined ? undefined : this.state.deliveries.opened.get(key);
    if (opened !== undefined) {
      return opened;
    }
    const [enc] = message.enc;
    if (enc === undefined || message.enc.length !== 1 || !(enc.type in CIPHERTEXT_TYPES)) {
      throw new InvalidMessage("a delivery has exactly one ciphertext, of a session");
    }
    const type = CIPHERTEXT_TYPES[enc.type] as CiphertextType;
    const plaintext = this.state.signal.decrypt(message.fromJid, type, enc.ciphertext);
    if (key !== undefined) {
      this.state.deliveries.keepOpened(key, plaintext);
    }
    return plaintext;
  }

  /** Leaves a message on the server, unacked, until the user has decided about its sender's identity key. */
  #heldOrClosed(stanza: Stanza, message: MessageStanza, error: UntrustedIdentity, answers: Answers): Opened {
    if (this.#held.length >= this.#maxHeld) {
      return { events: [this.#closed(stanza, message, error, answers)] };
    }
    this.#held = [...this.#held, stanza];
    return { events: [{ kind: "MessageHeld", sender: error.remote, id: message.id, identityKey: error.presented }] };
  }

  /** Decides about a message that could not be opened: asks the sender for it again, or gives up. */
  #closed(stanza: Stanza, message: MessageStanza, error: SignalError, answers: Answers): Event {
    const { fromJid: sender, id: messageId, retryCount: cameWith } = message;
    const retry = canHelp(error)
      ? askAgain(this.state, { sender, messageId, cameWith, reason: error.retryReason })
      : undefined;
    if (retry === undefined) {
      answers.nacks.set(stanza.deliveryId, nackCode(error));
      return undecryptable(message, error.name);
    }
    answers.retries.push(retry);
    answers.acks.push(stanza.deliveryId);
    return { kind: "MessageAwaited", sender, id: messageId, retryCount: retry.retryCount, reason: error.name };
  }

  #evidence(message: MessageStanza, content: Content, plaintext: Uint8Array): Evidence | undefined {
    const messageSecret = messageSecretOf(content);
    const { fromJid: senderJid, id: messageId, reportingToken } = message;
    const covered = { senderJid, recipientJid: this.state.jid, messageId, plaintext };
    return isReportingToken(reportingToken, messageSecret, covered) ? evidenceOf(plaintext, messageSecret) : undefined;
  }
}

const CIPHERTEXT_TYPES: Readonly<Partial<Record<EncType, CiphertextType>>> = {
  [EncType.PREKEY_MESSAGE]: CiphertextType.PREKEY,
  [EncType.DOUBLE_RATCHET]: CiphertextType.DOUBLE_RATCHET,
};

/** Returns the nacks of messages whose sender's identity key the user has refused. */
export function refusals(stanzas: readonly Stanza[]): Stanza[] {
  return stanzas.map((stanza) => nack(stanza.deliveryId, NACK_UNHANDLED));
}

/** Returns what the delivery of a message, or of a later copy of it, is known by when it comes again. */
export function messageKey(sender: string, messageId: string, copy = 0): string {
  return digest(JSON.stringify(["message", sender, messageId, copy]));
}

/** Answers a delivery that was finished before: its ack was lost, and perhaps its receipt with it. */
function answerAgain(stanza: Stanza, answers: Answers): void {
  answers.acks.push(stanza.deliveryId);
  if (stanza.kind.case === "message") {
    answers.deliver(stanza.kind.value.fromJid, stanza.kind.value.id); // what is remembered was decrypted
  }
}

/** Returns what a delivery is known by when it comes again: a message by its name, anything else by its bytes. */
function keyOf(stanza: Stanza): string | undefined {
  if (stanza.kind.case === "message") {
    const { fromJid, id, type, retryCount } = stanza.kind.value;
    // A text that was sent again is the same; a file is another blob, which the application wants again (MED-08).
    return messageKey(fromJid, id, type === MessageType.MEDIA ? retryCount : 0);
  }
  if (stanza.deliveryId === 0n) {
    return undefined;
  }
  const body = clone(StanzaSchema, stanza);
  body.offline = false;
  return digest(toBinary(StanzaSchema, body));
}

function digest(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex").slice(0, KEY_DIGITS);
}

/** Returns the nack code of a stanza that is newer than this client; undefined when all that matters is known. */
function codeOfUnknown({ kind }: Stanza): number | undefined {
  if (kind.case === undefined || (kind.case === "notification" && kind.value.event.case === undefined)) {
    return NACK_UNKNOWN_STANZA;
  }
  const isKnown =
    (kind.case !== "message" ||
      (kind.value.type in MessageType && kind.value.enc.every((enc) => enc.type in EncType))) &&
    (kind.case !== "receipt" || kind.value.type in ReceiptType);
  return isKnown ? undefined : NACK_UNKNOWN_TYPE;
}

function undecryptable(message: MessageStanza, reason: string): Event {
  return { kind: "Undecryptable", sender: message.fromJid, id: message.id, reason };
}

function nackCode(error: SignalError): number {
  if (error instanceof InvalidMessage) {
    return NACK_PARSE;
  }
  return error instanceof InvalidContent ? NACK_PROTOBUF : NACK_UNHANDLED;
}
