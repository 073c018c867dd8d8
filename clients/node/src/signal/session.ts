/**
 * Sessions with one party: chooses the one that encrypts or decrypts; knows nothing of prekeys and of other parties.
 *
 * Both parties can begin a session at the same time, or one can lose its state and begin again, so messages of several
 * sessions can be in transit at once. A record keeps the current session, which encrypts, and the ones before it, which
 * only decrypt. A session that decrypts becomes the current one, so that both sides come to use the same one.
 */

import { decryptAesCbc, type Entropy, encryptAesCbc, equalBytes } from "../protocol/primitives.js";
import { MAX_ARCHIVED_JUMP, MAX_FORWARD_JUMP, MAX_SKIPPED_KEYS } from "./chain.js";
import { BadMac, InvalidMessage, InvalidSession, NoSession, TooFarInFuture } from "./errors.js";
import { SignalMessage } from "./messages.js";
import type { DoubleRatchet } from "./ratchet.js";

/** How many sessions a record keeps besides the current one; it forgets the oldest. As in libsignal. */
export const MAX_ARCHIVED_SESSIONS = 40;

/** The prekey ids that an initiator repeats with each message until the responder has answered. */
export interface PendingPreKey {
  /** Id of the responder's signed prekey that the initiator used. */
  readonly signedPrekeyId: number;
  /** Id of the responder's one-time prekey that the initiator used; undefined when it used none. */
  readonly oneTimePrekeyId: number | undefined;
}

/** A conversation's keys, bound to the identities of both ends. */
export class Session {
  /** 32 bytes. */
  readonly localIdentity: Uint8Array;
  /** 32 bytes. */
  readonly remoteIdentity: Uint8Array;
  /** 32 bits. */
  readonly remoteRegistrationId: number;
  /** The initiator's base key, 32 bytes: names the session. */
  readonly baseKey: Uint8Array;
  /** The keys of the session. */
  readonly ratchet: DoubleRatchet;
  /** Set on the initiator's side until the responder has answered. */
  pending: PendingPreKey | undefined;

  constructor(parts: {
    readonly localIdentity: Uint8Array;
    readonly remoteIdentity: Uint8Array;
    readonly remoteRegistrationId: number;
    readonly baseKey: Uint8Array;
    readonly ratchet: DoubleRatchet;
    readonly pending: PendingPreKey | undefined;
  }) {
    this.localIdentity = parts.localIdentity;
    this.remoteIdentity = parts.remoteIdentity;
    this.remoteRegistrationId = parts.remoteRegistrationId;
    this.baseKey = parts.baseKey;
    this.ratchet = parts.ratchet;
    this.pending = parts.pending;
  }

  /**
   * Encrypts the next message.
   *
   * @throws NoSession: This side is the responder and has received no message yet.
   */
  encrypt(plaintext: Uint8Array): SignalMessage {
    const { messageKeys, ...header } = this.ratchet.send();
    const ciphertext = encryptAesCbc(messageKeys.cipherKey, messageKeys.iv, plaintext);
    return SignalMessage.seal(header, ciphertext, {
      macKey: messageKeys.macKey,
      senderIdentity: this.localIdentity,
      receiverIdentity: this.remoteIdentity,
    });
  }

  /**
   * Decrypts a message, before which so many others may be missing; changes only if the message is authentic.
   *
   * @throws BadMac: The message was altered, or belongs to another session.
   * @throws DuplicateMessage: The message was decrypted before.
   * @throws TooFarInFuture: Too many messages are missing before it.
   * @throws InvalidKey: No secret can be agreed with its ratchet key.
   * @throws InvalidMessage: The message is authentic, but badly padded.
   */
  decrypt(message: SignalMessage, entropy: Entropy, maxJump = MAX_FORWARD_JUMP): Uint8Array {
    const step = this.ratchet.step(message.header.ratchetKey, message.header.counter, maxJump);
    const { macKey, cipherKey, iv } = step.messageKeys;
    message.verify({ macKey, senderIdentity: this.remoteIdentity, receiverIdentity: this.localIdentity });
    const plaintext = decryptAesCbc(cipherKey, iv, message.ciphertext);
    if (plaintext === undefined) {
      throw new InvalidMessage("an authentic message is badly padded");
    }
    this.ratchet.commit(step, entropy);
    this.pending = undefined;
    return plaintext;
  }
}

/** The identity key of one party, and the sessions with it. */
export class SessionRecord {
  /**
   * @param remoteIdentity The party's identity key, 32 bytes: pinned when first seen. Every session of the record is
   *   bound to it.
   * @param sessions The current one first, then the archived ones, newest first.
   */
  constructor(
    readonly remoteIdentity: Uint8Array,
    public sessions: readonly Session[] = [],
  ) {}

  /**
   * The session that encrypts.
   *
   * @throws NoSession: There is no session.
   */
  get current(): Session {
    const [current] = this.sessions;
    if (current === undefined) {
      throw new NoSession("no session was begun with this party");
    }
    return current;
  }

  /** Makes a session, new or archived, the current one; forgets the oldest beyond the bound. */
  promote(session: Session): void {
    if (this.sessions[0] === session) {
      return;
    }
    const others = this.sessions.filter((other) => other !== session);
    this.sessions = [session, ...others].slice(0, 1 + MAX_ARCHIVED_SESSIONS);
    // The archived ones together keep as many keys as one chain: a party may begin as many sessions as it likes.
    let room = MAX_SKIPPED_KEYS;
    for (const archived of this.sessions.slice(1)) {
      for (const chain of archived.ratchet.receivingChains.toReversed()) {
        room -= chain.keepNewest(room);
      }
    }
  }

  /** Returns the session that this base key (32 bytes) names, if the record has it. */
  begunWith(baseKey: Uint8Array): Session | undefined {
    return this.sessions.find((session) => equalBytes(session.baseKey, baseKey));
  }

  /**
   * Decrypts a message with the session that it belongs to.
   *
   * @throws NoSession: There is no session.
   * @throws InvalidSession: The message fits no session.
   * @throws BadMac: A session knows the message's ratchet key, but the message was altered.
   * @throws DuplicateMessage: The message was decrypted before.
   * @throws TooFarInFuture: Too many messages are missing before it.
   * @throws InvalidKey: No secret can be agreed with its ratchet key.
   * @throws InvalidMessage: The message is authentic, but badly padded.
   */
  decrypt(message: SignalMessage, entropy: Entropy): Uint8Array {
    const known = this.sessions.find((session) => session.ratchet.knows(message.header.ratchetKey));
    if (known !== undefined) {
      return this.#decryptWith(known, message, entropy, MAX_FORWARD_JUMP);
    }
    // Only the MAC tells to which session a new ratchet key belongs.
    const { current } = this;
    for (const session of this.sessions) {
      try {
        return this.#decryptWith(session, message, entropy, session === current ? MAX_FORWARD_JUMP : MAX_ARCHIVED_JUMP);
      } catch (error) {
        const isOfAnother = error instanceof BadMac || (error instanceof TooFarInFuture && session !== current);
        if (!isOfAnother) {
          throw error;
        }
      }
    }
    throw new InvalidSession(`none of ${this.sessions.length} sessions fits the message`);
  }

  #decryptWith(session: Session, message: SignalMessage, entropy: Entropy, maxJump: number): Uint8Array {
    const plaintext = session.decrypt(message, entropy, maxJump);
    this.promote(session);
    return plaintext;
  }
}
