/**
 * Sends messages: sessions, encryption, and sending again on request; knows no connection.
 *
 * Source: MSG-04, MSG-05, RCP-03, RCP-04; when a session is renewed: observed in open clients (WIRE).
 */

import { create } from "@bufbuild/protobuf";

import { Lock, unlessAborted } from "../asynchrony.js";
import { type ConnectionEnded, refusalFromProto, ServerRefusal } from "../errors.js";
import type { Message as Content } from "../gen/interop_api/e2ee/v1/content_pb.js";
import {
  EncSchema,
  CiphertextType as EncType,
  MessageSchema,
  type Message as MessageStanza,
  type RetryReceipt,
  type SendAck,
} from "../gen/interop_api/v1/stanza_pb.js";
import { forgetOldest, messageName } from "../memory.js";
import { reportingToken } from "../protocol/franking.js";
import { hide } from "../protocol/hidden.js";
import { padAtRandom, serializeMessage } from "../signal/content.js";
import {
  CiphertextType,
  MissingKemPreKey,
  type PreKeyBundle,
  SignalError,
  type SignalState,
  UntrustedIdentity,
} from "../signal/index.js";
import type { ClientState, DurableState } from "../state.js";
import { messageSecretOf, messageType, withMessageSecret } from "./contents.js";
import type { MessageResent, RetryUnanswered } from "./events.js";
import { bundleOf } from "./retries.js";
import { SentContents } from "./sent.js";

/** How many sent messages, and how many changes, the client keeps to send them again; it forgets the oldest. */
export const MAX_SENT = 512;
/**
 * The client renews the session with a peer at most once in this time, unless the peer sends keys for it; observed.
 */
export const RENEWAL_SECONDS = 3600;

const ENC_TYPES: Readonly<Record<CiphertextType, EncType>> = {
  [CiphertextType.PREKEY]: EncType.PREKEY_MESSAGE,
  [CiphertextType.DOUBLE_RATCHET]: EncType.DOUBLE_RATCHET,
};

/** Finds the content sent to a JID under an id; undefined when the application does not know it either. */
export type FindSent = (to: string, messageId: string) => Promise<Content | undefined>;

/** A message that the server has accepted. */
export interface SentMessage {
  /** Id of the message. */
  readonly id: string;
  /** When the server accepted it: milliseconds since the UNIX epoch. */
  readonly timestampMs: number;
  /**
   * Its content with the message secret, to keep for `ClientOptions.findSent`; undefined when the caller encrypted it.
   */
  readonly content: Content | undefined;
}

/** The parts that sending uses. */
export interface OutgoingParts {
  readonly state: ClientState;
  readonly durable: DurableState;
  /** Takes a prekey bundle of a JID from the server. */
  readonly takeBundle: (jid: string) => Promise<PreKeyBundle>;
  /** Throws a SignalError when no session may begin with a bundle. */
  readonly checkBundle: (jid: string, bundle: PreKeyBundle) => void;
  /** Sends a stanza and waits for its ack. */
  readonly send: (message: MessageStanza) => Promise<SendAck>;
  /** Finds the content of a message that the client no longer keeps. */
  readonly findSent: FindSent | undefined;
}

/** Encrypts and sends one account's messages. */
export class Outgoing {
  readonly #sessionLock = new Lock();
  readonly #sent = new SentContents(MAX_SENT);
  readonly #renewedAt = new Map<string, number>();
  readonly #refusedBundles = new Map<string, PreKeyBundle>();
  /** The count of the last request for each message that was answered. */
  readonly #resent = new Map<string, number>();

  constructor(private readonly parts: OutgoingParts) {}

  /**
   * Encrypts a content, sends it, and returns when the server has stored it.
   *
   * When the server refuses it because the recipient has replaced their device, sends it in a new session under the
   * same id (MSG-05).
   *
   * @param to JID of the recipient.
   * @param content What to send.
   * @param messageId Id of the message.
   * @param retryCount Of the retry receipt that it answers; 0 for a first sending.
   * @throws ServerRefusal, SignalError, ConnectionEnded, TimeoutError As `InteropClient.sendMessage`.
   */
  async send(to: string, content: Content, messageId: string, retryCount = 0): Promise<SentMessage> {
    const sent = withMessageSecret(content);
    const plaintext = serializeMessage(sent);
    this.#sent.keep(to, messageId, sent);
    await this.#ensureSession(to);
    const message = create(MessageSchema, {
      id: messageId,
      toJid: to,
      type: messageType(content),
      retryCount,
      reportingToken: reportingToken(messageSecretOf(sent), {
        senderJid: this.parts.state.jid,
        recipientJid: to,
        messageId,
        plaintext,
      }),
    });
    let ack = await this.#sendEncrypted(message, plaintext);
    if (ack.deviceListMismatch?.stale.length) {
      await this.#replaceSession(to, message.enc[0]?.registrationId);
      ack = await this.#sendEncrypted(message, plaintext);
    }
    if (ack.error !== undefined) {
      throw refusalFromProto(ack.error);
    }
    this.#sent.accepted(to, sent);
    const accepted: SentMessage = { id: ack.id, timestampMs: Number(ack.timestampMs), content: sent };
    return hide(accepted, "content");
  }

  /** Ends those who wait until another has begun a session: the connection ends. */
  endWaiting(end: ConnectionEnded): void {
    this.#sessionLock.end(end);
  }

  /**
   * Begins a session with the bundle that waits for the user's decision, if there is one.
   *
   * @throws SignalError The bundle is not usable for another reason.
   */
  useRefusedBundle(peer: string): void {
    const bundle = this.#takeRefused(peer);
    if (bundle !== undefined) {
      this.#signal.processBundle(peer, bundle);
    }
  }

  /** Forgets the bundle that waits for the user's decision. Idempotent. */
  forgetRefusedBundle(peer: string): void {
    this.#refusedBundles.delete(peer);
  }

  /** Returns what is true now of a message to a JID, if this client or the application still has its content. */
  async find(to: string, messageId: string): Promise<Content | undefined> {
    const content = this.#sent.get(to, messageId) ?? (await this.parts.findSent?.(to, messageId));
    return content && this.#sent.asChanged(to, messageId, content);
  }

  /**
   * Sends a message again that its recipient could not decrypt, in a new session.
   *
   * @param receipt The request.
   * @param signal Comes when the connection ends: the application may never find the content.
   * @returns What became of it; undefined when this request, or a later one for the same message, was answered before.
   * @throws ServerRefusal The server may accept the same message later.
   * @throws ConnectionEnded, TimeoutError The server may or may not have accepted it.
   */
  async answer(receipt: RetryReceipt, signal: AbortSignal): Promise<MessageResent | RetryUnanswered | undefined> {
    const { fromJid: toJid, messageId: id, retryCount } = receipt;
    const name = messageName(toJid, id);
    if (retryCount <= (this.#resent.get(name) ?? -1)) {
      return undefined; // the same one once more: to answer it again would be of no use, and can be made a storm
    }
    const content = await unlessAborted(signal, this.find(toJid, id));
    if (content === undefined) {
      return { kind: "RetryUnanswered", toJid, id, reason: "CONTENT_UNKNOWN" };
    }
    try {
      await this.#renewSession(toJid, receipt);
      const { timestampMs } = await this.send(toJid, content, id, retryCount);
      this.#resent.delete(name);
      this.#resent.set(name, retryCount);
      forgetOldest(this.#resent, MAX_SENT);
      return { kind: "MessageResent", toJid, id, retryCount, timestampMs };
    } catch (error) {
      if (error instanceof SignalError) {
        return { kind: "RetryUnanswered", toJid, id, reason: error.name };
      }
      if (error instanceof ServerRefusal && error.recovery !== "SAME_AGAIN") {
        return { kind: "RetryUnanswered", toJid, id, reason: error.reason };
      }
      throw error;
    }
  }

  async #sendEncrypted(message: MessageStanza, plaintext: Uint8Array): Promise<SendAck> {
    const registrationId = this.#signal.remoteRegistrationId(message.toJid);
    const { type, body: ciphertext } = this.#signal.encrypt(message.toJid, padAtRandom(plaintext));
    const enc = create(EncSchema, { type: ENC_TYPES[type], ciphertext });
    if (registrationId !== undefined) {
      enc.registrationId = registrationId;
    }
    message.enc = [enc];
    await this.parts.durable.commit(); // before sending: a message key must never be used twice
    return this.parts.send(message);
  }

  /** Begins a session unless there is one. Concurrent first messages to a peer share one bundle. */
  #ensureSession(peer: string): Promise<void> {
    return this.#sessionLock.run(async () => {
      if (this.#signal.hasSession(peer)) {
        return;
      }
      const bundle = this.#takeRefused(peer) ?? (await this.parts.takeBundle(peer));
      if (!this.#signal.hasSession(peer)) {
        this.#beginSession(peer, bundle); // otherwise the peer's first message has come meanwhile
      }
    });
  }

  /** Begins a new session for a retry, with the keys in the receipt, or else, but seldom, with a new bundle. */
  #renewSession(peer: string, { registrationId, keys }: RetryReceipt): Promise<void> {
    return this.#sessionLock.run(async () => {
      if (keys !== undefined) {
        // Throws unless the identity is the pinned one.
        this.#signal.processBundle(peer, bundleOf(registrationId, keys));
        return;
      }
      const now = performance.now() / 1000;
      if (now - (this.#renewedAt.get(peer) ?? Number.NEGATIVE_INFINITY) < RENEWAL_SECONDS) {
        return;
      }
      let bundle: PreKeyBundle;
      try {
        bundle = await this.parts.takeBundle(peer);
      } catch (error) {
        if (error instanceof ServerRefusal && this.#signal.hasSession(peer)) {
          return; // the existing session may work; otherwise, the next receipt brings keys
        }
        throw error;
      }
      this.#beginSession(peer, bundle);
      this.#renewedAt.set(peer, now);
    });
  }

  /** Begins a session with the peer's new device, unless another message has done so meanwhile. */
  #replaceSession(peer: string, stale: number | undefined): Promise<void> {
    return this.#sessionLock.run(async () => {
      if (this.#signal.remoteRegistrationId(peer) === stale) {
        this.#beginSession(peer, await this.parts.takeBundle(peer));
      }
    });
  }

  #beginSession(peer: string, bundle: PreKeyBundle): void {
    try {
      this.parts.checkBundle(peer, bundle);
      this.#signal.processBundle(peer, bundle);
    } catch (error) {
      if (error instanceof UntrustedIdentity || error instanceof MissingKemPreKey) {
        // Kept until the user has decided: bundles are limited, and each costs the peer a prekey (KEY-14).
        this.#refusedBundles.set(peer, bundle);
      }
      throw error;
    }
  }

  #takeRefused(peer: string): PreKeyBundle | undefined {
    const bundle = this.#refusedBundles.get(peer);
    this.#refusedBundles.delete(peer);
    return bundle;
  }

  get #signal(): SignalState {
    return this.parts.state.signal;
  }
}
