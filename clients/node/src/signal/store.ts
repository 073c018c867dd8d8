/**
 * One device's state for its Signal sessions, and the operations on it; knows no network, clock or file.
 *
 * A state changes in memory only. Save `toBytes()` after every call that may have changed it, and before you send the
 * result: if the state is lost after a ciphertext was sent, the next one uses its message key a second time.
 */

import { isSameKey } from "../protocol/curveKeys.js";
import { hide } from "../protocol/hidden.js";
import { type Entropy, equalBytes, randomBytes } from "../protocol/primitives.js";
import { MAX_ONE_TIME_PREKEYS, MIN_PREKEY_ID, PUBLIC_KEY_BYTES } from "../protocol/sizes.js";
import { InvalidKeyId, NoSession, UntrustedIdentity } from "./errors.js";
import { KemKeys, type KemPreKeyPublic } from "./kem.js";
import { KeyPair, nextPrekeyId, type PreKeyPublic, SignedPreKey, type SignedPreKeyPublic } from "./keys.js";
import {
  decodePreKeySignalMessage,
  encodePreKeySignalMessage,
  type PreKeySignalMessage,
  SignalMessage,
} from "./messages.js";
import { DoubleRatchet } from "./ratchet.js";
import { Session, SessionRecord } from "./session.js";
import * as snapshot from "./snapshot.js";
import { initiatorRootKey, type PreKeyBundle, responderRootKey, verifyBundle } from "./x3dh.js";

/** How many signed prekeys a device keeps, the current one included: a first message can take up to 30 days to come. */
export const MAX_SIGNED_PREKEYS = 5;
/** How many one-time prekeys a device keeps that are published no more: messages that use them may be under way. */
export const MAX_RETIRED_PREKEYS = 200;

/** The type of an encrypted message. Names follow `CiphertextType` in stanza.proto. */
export const CiphertextType = { PREKEY: "pkmsg", DOUBLE_RATCHET: "msg" } as const;
export type CiphertextType = (typeof CiphertextType)[keyof typeof CiphertextType];

/** An encrypted message. */
export interface Ciphertext {
  /** The type of the body. */
  readonly type: CiphertextType;
  /** PreKeySignalMessage or SignalMessage. */
  readonly body: Uint8Array;
}

/** The keys that an account publishes, besides its one-time prekeys. */
export interface PublicKeys {
  /** 32 bits, not 0. */
  readonly registrationId: number;
  /** 32 bytes. */
  readonly identityKey: Uint8Array;
  /** The current signed prekey. */
  readonly signedPrekey: SignedPreKeyPublic;
}

/**
 * One device's keys and sessions.
 *
 * Remote parties are named by their JIDs as text; this class accepts any string.
 */
export class SignalState {
  static {
    hide(SignalState.prototype, "oneTimePrekeys");
  }

  /** 32 bits, not 0; changes when the user sets up the device anew. */
  readonly registrationId: number;
  /** The identity key. */
  readonly identity: KeyPair;
  /** By id; the current one last. */
  readonly signedPrekeys: Map<number, SignedPreKey>;
  /** Private keys of the prekeys that no message has used yet, by id. */
  readonly oneTimePrekeys: Map<number, Uint8Array>;
  /** Id of the next one-time prekey to make. */
  nextOneTimePrekeyId: number;
  /** Identity key and sessions of each remote party. */
  readonly records: Map<string, SessionRecord>;
  /** Post-quantum prekeys, which no session uses. */
  readonly kem: KemKeys;
  /** The next signed prekey, which the server may have or not: it has not confirmed it yet. */
  offeredSignedPrekey: SignedPreKey | undefined;
  /** Id of the signed prekey that the server confirmed last, so that it gives out: kept whatever becomes of others. */
  confirmedSignedPrekeyId: number;
  /** Ids of one-time prekeys that the server may have or not: it has not confirmed them yet. */
  offeredOneTimePrekeys: readonly number[];
  /** Ids of one-time prekeys that are published no more, oldest first. */
  retiredOneTimePrekeys: readonly number[];
  readonly #entropy: Entropy;

  /**
   * @param parts What a saved state holds; see the fields of the same names.
   * @param entropy Makes new keys; not saved.
   */
  constructor(parts: snapshot.Parts, entropy: Entropy = randomBytes) {
    this.registrationId = parts.registrationId;
    this.identity = parts.identity;
    this.signedPrekeys = parts.signedPrekeys;
    this.oneTimePrekeys = parts.oneTimePrekeys;
    this.nextOneTimePrekeyId = parts.nextOneTimePrekeyId;
    this.records = parts.records;
    this.kem = parts.kem;
    this.offeredSignedPrekey = parts.offeredSignedPrekey;
    this.confirmedSignedPrekeyId = parts.confirmedSignedPrekeyId;
    this.offeredOneTimePrekeys = parts.offeredOneTimePrekeys;
    this.retiredOneTimePrekeys = parts.retiredOneTimePrekeys;
    this.#entropy = entropy;
  }

  /**
   * Makes the state of a new device, with a signed prekey of id 1 and no one-time prekeys.
   *
   * @param registrationId 1 to 2^32 - 1; picked when absent.
   * @param entropy Makes all keys of the state.
   */
  static generate(registrationId?: number, entropy: Entropy = randomBytes): SignalState {
    const identity = KeyPair.generate(entropy);
    const registered = registrationId ?? 1 + (Buffer.from(entropy(4)).readUInt32BE() % 0xffff_ffff);
    const parts: snapshot.Parts = {
      registrationId: registered,
      identity,
      signedPrekeys: new Map([[MIN_PREKEY_ID, SignedPreKey.generate(MIN_PREKEY_ID, identity, entropy)]]),
      oneTimePrekeys: new Map(),
      nextOneTimePrekeyId: MIN_PREKEY_ID,
      records: new Map(),
      kem: new KemKeys(),
      offeredSignedPrekey: undefined,
      confirmedSignedPrekeyId: MIN_PREKEY_ID,
      offeredOneTimePrekeys: [],
      retiredOneTimePrekeys: [],
    };
    return new SignalState(parts, entropy);
  }

  /**
   * Restores a state from the bytes of `toBytes`.
   *
   * @throws InvalidSnapshot: The bytes are not a saved state that this release can read.
   */
  static fromBytes(saved: Uint8Array, entropy: Entropy = randomBytes): SignalState {
    return new SignalState(snapshot.decode(saved), entropy);
  }

  /** Returns the whole state, private keys included, in the format that `snapshot` documents. */
  toBytes(): Uint8Array {
    return snapshot.encode(this);
  }

  /** The public keys to upload; one-time prekeys are uploaded when they are generated. */
  get publishable(): PublicKeys {
    return {
      registrationId: this.registrationId,
      identityKey: this.identity.publicKey,
      signedPrekey: this.#signedPrekey.public,
    };
  }

  get #signedPrekey(): SignedPreKey {
    const current = [...this.signedPrekeys.values()].at(-1);
    if (current === undefined) {
      throw new Error("a device always has a signed prekey");
    }
    return current;
  }

  /**
   * Returns the next signed prekey, to publish; the same one until it is confirmed or withdrawn (KEY-11).
   *
   * The server gives out the current one or this one, so this device opens messages that use either.
   */
  offerSignedPrekey(): SignedPreKeyPublic {
    return this.#offered().public;
  }

  #offered(): SignedPreKey {
    this.offeredSignedPrekey ??= SignedPreKey.generate(
      nextPrekeyId(this.#signedPrekey.keyId),
      this.identity,
      this.#entropy,
    );
    return this.offeredSignedPrekey;
  }

  /**
   * Makes the next signed prekey the current one, which is given out from now on (KEY-11).
   *
   * A bounded number of old ones still opens sessions.
   */
  rotateSignedPrekey(): SignedPreKeyPublic {
    const rotated = this.offerSignedPrekey();
    this.confirmedSignedPrekeyId = rotated.keyId;
    this.renewSignedPrekey();
    return rotated;
  }

  /** Makes the next signed prekey the current one, after the server has refused the one before. */
  renewSignedPrekey(): void {
    const offered = this.#offered();
    this.signedPrekeys.set(offered.keyId, offered);
    this.offeredSignedPrekey = undefined;
    const tooMany = Math.max(0, this.signedPrekeys.size - MAX_SIGNED_PREKEYS);
    const old = [...this.signedPrekeys.keys()].filter((keyId) => keyId !== this.confirmedSignedPrekeyId);
    for (const oldest of old.slice(0, tooMany)) {
      this.signedPrekeys.delete(oldest);
    }
  }

  /**
   * Returns one-time prekeys to publish: those that the server has not confirmed first, then new ones.
   *
   * @param count 1 to 20,000.
   * @throws RangeError: The count is out of range.
   */
  offerOneTimePrekeys(count: number): PreKeyPublic[] {
    const held = this.offeredOneTimePrekeys.filter((keyId) => this.oneTimePrekeys.has(keyId));
    const again = held.slice(0, count).flatMap((keyId) => this.#publicOneTimePrekeys(keyId));
    const made = again.length < count ? this.generateOneTimePrekeys(count - again.length) : [];
    this.offeredOneTimePrekeys = [...held, ...made.map((prekey) => prekey.keyId)];
    return [...again, ...made];
  }

  /** Notes that the server has these, besides those that it had. */
  confirmOneTimePrekeys(added: Iterable<PreKeyPublic>): void {
    const confirmed = keyIds(added);
    this.offeredOneTimePrekeys = this.offeredOneTimePrekeys.filter((keyId) => !confirmed.has(keyId));
  }

  /**
   * Notes that the server has these and none of those that it had, which retire.
   *
   * @param published The prekeys that it has.
   * @param given Ids of prekeys that were given to single senders, and never to the server.
   */
  replaceOneTimePrekeys(published: Iterable<PreKeyPublic>, given: Iterable<number>): void {
    const kept = new Set([...keyIds(published), ...given]);
    this.offeredOneTimePrekeys = [];
    this.#retire([...this.oneTimePrekeys.keys()].filter((keyId) => !kept.has(keyId)));
  }

  /** Gives up the offered one-time prekeys, after the server has refused them: the next ones are new. */
  withdrawOneTimePrekeys(): void {
    const offered = this.offeredOneTimePrekeys;
    this.offeredOneTimePrekeys = [];
    this.#retire(offered);
  }

  /** Keeps the oldest of a generation, which the server gives out first, and the newest generations. */
  #retire(keyIds: readonly number[]): void {
    const retired = this.retiredOneTimePrekeys.filter((keyId) => this.oneTimePrekeys.has(keyId));
    const before = new Set(retired);
    const added = keyIds.filter((keyId) => !before.has(keyId));
    const kept = new Set([...retired, ...added.slice(0, MAX_RETIRED_PREKEYS)].slice(-MAX_RETIRED_PREKEYS));
    this.deleteOneTimePrekeys([...retired, ...added].filter((keyId) => !kept.has(keyId)));
    this.retiredOneTimePrekeys = [...kept];
  }

  /** Returns the public part of a one-time prekey; nothing when it is not held. */
  #publicOneTimePrekeys(keyId: number): PreKeyPublic[] {
    const privateKey = this.oneTimePrekeys.get(keyId);
    return privateKey === undefined ? [] : [{ keyId, publicKey: KeyPair.fromPrivate(privateKey).publicKey }];
  }

  /**
   * Makes one-time prekeys to upload.
   *
   * @param count 1 to 20,000.
   * @returns The prekeys without their private keys, with ids that rise and begin again at 1 after 16,777,215.
   * @throws RangeError: The count is out of range.
   */
  generateOneTimePrekeys(count: number): PreKeyPublic[] {
    if (!Number.isInteger(count) || count < 1 || count > MAX_ONE_TIME_PREKEYS) {
      throw new RangeError(`${count} is not 1 to ${MAX_ONE_TIME_PREKEYS} prekeys`);
    }
    return Array.from({ length: count }, () => this.#generateOneTimePrekey());
  }

  #generateOneTimePrekey(): PreKeyPublic {
    while (this.oneTimePrekeys.has(this.nextOneTimePrekeyId)) {
      this.nextOneTimePrekeyId = nextPrekeyId(this.nextOneTimePrekeyId);
    }
    const keyId = this.nextOneTimePrekeyId;
    const { privateKey, publicKey } = KeyPair.generate(this.#entropy);
    this.oneTimePrekeys.set(keyId, privateKey);
    this.nextOneTimePrekeyId = nextPrekeyId(keyId);
    return { keyId, publicKey };
  }

  /** Whether this device has ever made one-time prekeys. */
  get hasGeneratedOneTimePrekeys(): boolean {
    return this.oneTimePrekeys.size > 0 || this.nextOneTimePrekeyId !== MIN_PREKEY_ID;
  }

  /** Returns the one-time prekeys that no message has used yet, without private keys, to compare or upload. */
  unusedOneTimePrekeys(): PreKeyPublic[] {
    return [...this.oneTimePrekeys.keys()].flatMap((keyId) => this.#publicOneTimePrekeys(keyId));
  }

  /** Deletes one-time prekeys that no sender will use any more. Idempotent. */
  deleteOneTimePrekeys(keyIds: Iterable<number>): void {
    for (const keyId of keyIds) {
      this.oneTimePrekeys.delete(keyId);
    }
  }

  /**
   * Makes one-time KEM prekeys to upload, 1 to 5,000 (KEY-15).
   *
   * @throws RangeError: The count is out of range.
   */
  generateKemPrekeys(count: number): KemPreKeyPublic[] {
    return this.kem.generateOneTime(count, this.identity, this.#entropy);
  }

  /** Returns the last-resort KEM prekey to upload; makes one when there is none (KEY-15). */
  kemLastResort(): KemPreKeyPublic {
    return this.kem.publishableLastResort(this.identity, this.#entropy);
  }

  /** Renews the signed prekey and the last-resort KEM prekey, after the server has refused them. */
  renewSignedKeys(): void {
    this.renewSignedPrekey();
    if (this.kem.lastResort !== undefined) {
      this.kem.renewLastResort(this.#entropy);
    }
  }

  /**
   * Says whether a party's bundle lacks a KEM prekey that it should have (KEY-16).
   *
   * It should if an earlier bundle had one, or if the server says that the party has published some before.
   */
  isPqDowngrade(remote: string, bundle: PreKeyBundle): boolean {
    return bundle.kemPrekey === undefined && (bundle.kemWithdrawn || this.kem.seen.has(remote));
  }

  /** Says whether there is a session with this party, so that no bundle is needed. */
  hasSession(remote: string): boolean {
    return (this.records.get(remote)?.sessions.length ?? 0) > 0;
  }

  /** Returns the registration id of the party's device in the current session; undefined when it is not known. */
  remoteRegistrationId(remote: string): number | undefined {
    return this.records.get(remote)?.sessions[0]?.remoteRegistrationId || undefined;
  }

  /** Deletes all sessions with a party, but keeps its identity key. Idempotent. */
  deleteSession(remote: string): void {
    const record = this.records.get(remote);
    if (record !== undefined) {
      record.sessions = [];
    }
  }

  /** Returns the identity key pinned for a party (32 bytes); undefined when none is pinned. */
  trustedIdentity(remote: string): Uint8Array | undefined {
    return this.records.get(remote)?.remoteIdentity ?? undefined;
  }

  /**
   * Accepts another identity key of a party, and deletes the sessions bound to the one before.
   *
   * @param remote The party.
   * @param identityKey The key to pin, for example `UntrustedIdentity.presented`, 32 bytes; when absent, the next one is pinned that
   *   the party presents.
   * @throws RangeError: The key is not 32 bytes, so that no key of a party could ever be the same.
   */
  acceptIdentity(remote: string, identityKey?: Uint8Array): void {
    const known = this.trustedIdentity(remote);
    if (identityKey === undefined) {
      this.records.delete(remote);
    } else if (identityKey.length !== PUBLIC_KEY_BYTES) {
      throw new RangeError(`an identity key is ${PUBLIC_KEY_BYTES} bytes`);
    } else if (known === undefined || !equalBytes(identityKey, known)) {
      this.records.set(remote, new SessionRecord(identityKey));
    }
  }

  /**
   * Begins a session with a party and makes it the current one; nothing changes when it fails.
   *
   * The session is a classical one: a KEM prekey is verified and remembered, not used (see `kem`).
   *
   * @throws InvalidKey: A key of the bundle is malformed or weak.
   * @throws InvalidSignature: The bundle's identity key did not sign one of its signed keys.
   * @throws UntrustedIdentity: The bundle's identity key is not the pinned one.
   */
  processBundle(remote: string, bundle: PreKeyBundle): void {
    verifyBundle(bundle);
    this.#checkIdentity(remote, bundle.identityKey);
    const baseKey = KeyPair.generate(this.#entropy);
    const rootKey = initiatorRootKey(this.identity, baseKey, bundle);
    const session = new Session({
      localIdentity: this.identity.publicKey,
      remoteIdentity: bundle.identityKey,
      remoteRegistrationId: bundle.registrationId,
      baseKey: baseKey.publicKey,
      ratchet: DoubleRatchet.initiate(rootKey, bundle.signedPrekey.publicKey, this.#entropy),
      pending: {
        signedPrekeyId: bundle.signedPrekey.keyId,
        oneTimePrekeyId: bundle.oneTimePrekey?.keyId ?? undefined,
      },
    });
    this.#record(remote, bundle.identityKey).promote(session);
    if (bundle.kemPrekey !== undefined) {
      this.kem.seen.add(remote);
    }
  }

  /**
   * Encrypts a message with the current session; save the state before sending the result.
   *
   * @throws NoSession: There is no session with this party.
   */
  encrypt(remote: string, plaintext: Uint8Array): Ciphertext {
    const session = this.#known(remote).current;
    const { pending, baseKey } = session;
    const message = session.encrypt(plaintext);
    if (pending === undefined) {
      return { type: CiphertextType.DOUBLE_RATCHET, body: message.encode() };
    }
    const { registrationId } = this;
    const identityKey = this.identity.publicKey;
    const body = encodePreKeySignalMessage({ registrationId, ...pending, baseKey, identityKey, message });
    return { type: CiphertextType.PREKEY, body };
  }

  /**
   * Decrypts a message; the state changes only when the message is authentic.
   *
   * @throws SignalError: One of its subclasses, each for another decision of the caller; see `errors`.
   */
  decrypt(remote: string, type: CiphertextType, body: Uint8Array): Uint8Array {
    if (type === CiphertextType.DOUBLE_RATCHET) {
      const message = SignalMessage.decode(body);
      return this.#known(remote).decrypt(message, this.#entropy);
    }
    const message = decodePreKeySignalMessage(body);
    this.#checkIdentity(remote, message.identityKey);
    const begun = this.records.get(remote)?.begunWith(message.baseKey);
    const session = begun ?? this.#respond(message);
    const plaintext = session.decrypt(message.message, this.#entropy);
    this.#record(remote, message.identityKey).promote(session);
    if (begun === undefined && message.oneTimePrekeyId !== undefined) {
      this.oneTimePrekeys.delete(message.oneTimePrekeyId);
    }
    return plaintext;
  }

  #respond(message: PreKeySignalMessage): Session {
    const signedPrekey = this.#heldSignedPrekey(message.signedPrekeyId);
    const oneTimePrekey =
      message.oneTimePrekeyId === undefined ? undefined : this.#heldOneTimePrekey(message.oneTimePrekeyId);
    const rootKey = responderRootKey(this.identity, signedPrekey, oneTimePrekey, message);
    return new Session({
      localIdentity: this.identity.publicKey,
      remoteIdentity: message.identityKey,
      remoteRegistrationId: message.registrationId,
      baseKey: message.baseKey,
      ratchet: DoubleRatchet.respond(rootKey, signedPrekey),
      pending: undefined,
    });
  }

  #heldSignedPrekey(keyId: number): KeyPair {
    const offered = this.offeredSignedPrekey?.keyId === keyId ? this.offeredSignedPrekey : undefined;
    const held = this.signedPrekeys.get(keyId) ?? offered;
    if (held === undefined) {
      throw new InvalidKeyId(`signed prekey ${keyId} is not held`);
    }
    return held.keyPair;
  }

  #heldOneTimePrekey(keyId: number): KeyPair {
    const privateKey = this.oneTimePrekeys.get(keyId);
    if (privateKey === undefined) {
      throw new InvalidKeyId(`one-time prekey ${keyId} is not held, or was used`);
    }
    return KeyPair.fromPrivate(privateKey);
  }

  #checkIdentity(remote: string, presented: Uint8Array): void {
    const known = this.trustedIdentity(remote);
    if (known !== undefined && !isSameKey(known, presented)) {
      throw new UntrustedIdentity(remote, known, presented);
    }
  }

  #known(remote: string): SessionRecord {
    const record = this.records.get(remote);
    if (record === undefined) {
      throw new NoSession("no session was begun with this party");
    }
    return record;
  }

  #record(remote: string, identityKey: Uint8Array): SessionRecord {
    const record = this.records.get(remote) ?? new SessionRecord(identityKey);
    this.records.set(remote, record);
    return record;
  }
}

function keyIds(prekeys: Iterable<PreKeyPublic>): Set<number> {
  return new Set([...prekeys].map((prekey) => prekey.keyId));
}
