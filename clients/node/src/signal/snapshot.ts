/**
 * The saved form of a device's keys and sessions: versioned JSON; writes and reads it, knows no file.
 *
 * It is the form that the Python SDK of this release writes (`interop_client/signal/snapshot.py`), byte for byte: either
 * client goes on where the other has stopped. Binary values are base64 text, numbers are numbers, and a key pair is saved
 * as its private key only:
 *
 *     {"version": 2, "registration_id": n, "identity": private,
 *      "signed_prekeys": [[id, private, signature], ...],             current one last
 *      "one_time_prekeys": [[id, private], ...], "next_one_time_prekey_id": n,
 *      "records": {remote: {"identity": public, "sessions": [session, ...]}},      current one first
 *      "kem": {"one_time": [[id, seed], ...], "last_resort": null or [id, seed], "next_id": n, "seen": [remote, ...]},
 *      "offered_signed_prekey": null or [id, private, signature], "confirmed_signed_prekey_id": n,
 *      "offered_one_time_prekeys": [id, ...], "retired_one_time_prekeys": [id, ...]}
 *
 *     session: {"base_key": public, "registration_id": n, "pending": null or [signed prekey id, one-time id or null],
 *               "root_key": secret, "ratchet_key": private, "sending_chain": null or [secret, counter],
 *               "previous_counter": n, "receiving_chains": [[ratchet public, secret, counter, [[n, secret], ...]], ...]}
 *
 * It contains every secret of the device: protect it like a private key.
 */

import { KEM_SEED_BYTES } from "../protocol/kemKeys.js";
import { PRIVATE_KEY_BYTES, SIGNATURE_BYTES } from "../protocol/sizes.js";
import { ChainKey, ReceivingChain } from "./chain.js";
import { InvalidSnapshot } from "./errors.js";
import { KemKeys, type KemSeed } from "./kem.js";
import { KeyPair, SignedPreKey } from "./keys.js";
import { DoubleRatchet } from "./ratchet.js";
import { asBytes, asList, asNumber, asText, Fields, readSaved, text } from "./saved.js";
import { type PendingPreKey, Session, SessionRecord } from "./session.js";

/** The version that this release writes and reads. */
export const VERSION = 2;

/** The parts of a state; see the fields of `SignalState`. */
export interface Parts {
  /** 32 bits, not 0. */
  readonly registrationId: number;
  /** The identity key. */
  readonly identity: KeyPair;
  /** By id; the current one last. */
  readonly signedPrekeys: Map<number, SignedPreKey>;
  /** Private keys by id. */
  readonly oneTimePrekeys: Map<number, Uint8Array>;
  /** Id of the next one-time prekey to make. */
  readonly nextOneTimePrekeyId: number;
  /** Identity key and sessions of each remote party. */
  readonly records: Map<string, SessionRecord>;
  /** Post-quantum prekeys. */
  readonly kem: KemKeys;
  /** The signed prekey that the server has not confirmed yet. */
  readonly offeredSignedPrekey: SignedPreKey | undefined;
  /** Id of the one that the server confirmed last. */
  readonly confirmedSignedPrekeyId: number;
  /** Ids of those that the server has not confirmed yet. */
  readonly offeredOneTimePrekeys: readonly number[];
  /** Ids of those that are published no more. */
  readonly retiredOneTimePrekeys: readonly number[];
}

/** Returns the saved form: UTF-8 JSON. */
export function encode(parts: Parts): Uint8Array {
  const { kem } = parts;
  const document = {
    version: VERSION,
    registration_id: parts.registrationId,
    identity: text(parts.identity.privateKey),
    signed_prekeys: [...parts.signedPrekeys.values()].map(encodeSigned),
    one_time_prekeys: numbered(parts.oneTimePrekeys),
    next_one_time_prekey_id: parts.nextOneTimePrekeyId,
    records: Object.fromEntries([...parts.records].map(([remote, record]) => [remote, encodeRecord(record)])),
    kem: {
      one_time: numbered(kem.oneTime),
      last_resort: kem.lastResort ? [kem.lastResort.keyId, text(kem.lastResort.seed)] : null,
      next_id: kem.nextId,
      seen: [...kem.seen].sort(),
    },
    offered_signed_prekey: parts.offeredSignedPrekey ? encodeSigned(parts.offeredSignedPrekey) : null,
    confirmed_signed_prekey_id: parts.confirmedSignedPrekeyId,
    offered_one_time_prekeys: parts.offeredOneTimePrekeys,
    retired_one_time_prekeys: parts.retiredOneTimePrekeys,
  };
  return new Uint8Array(Buffer.from(JSON.stringify(document)));
}

/**
 * Reads the saved form.
 *
 * @throws InvalidSnapshot: The form is damaged, or has a version that this release does not know.
 */
export function decode(saved: Uint8Array): Parts {
  const fields = new Fields(readSaved(saved));
  const version = fields.number("version");
  if (version !== VERSION) {
    throw new InvalidSnapshot(`version ${version} is not ${VERSION}`);
  }
  return decodeParts(fields);
}

function decodeParts(fields: Fields): Parts {
  const identity = asKeyPair(fields.get("identity"));
  const signed = fields.list("signed_prekeys").map(decodeSigned);
  if (signed.length === 0) {
    throw new InvalidSnapshot("there is no signed prekey");
  }
  const records = fields
    .entries("records")
    .map(([remote, record]) => [remote, decodeRecord(identity, record)] as const);
  return {
    registrationId: fields.number("registration_id"),
    identity,
    signedPrekeys: new Map(signed.map((key) => [key.keyId, key])),
    oneTimePrekeys: asNumbered(fields.get("one_time_prekeys")),
    nextOneTimePrekeyId: fields.number("next_one_time_prekey_id"),
    records: new Map(records),
    kem: decodeKem(new Fields(fields.get("kem"))),
    offeredSignedPrekey: fields.nullable("offered_signed_prekey", decodeSigned),
    confirmedSignedPrekeyId: fields.number("confirmed_signed_prekey_id"),
    offeredOneTimePrekeys: fields.list("offered_one_time_prekeys").map(asNumber),
    retiredOneTimePrekeys: fields.list("retired_one_time_prekeys").map(asNumber),
  };
}

function encodeSigned(key: SignedPreKey): unknown[] {
  return [key.keyId, text(key.keyPair.privateKey), text(key.signature)];
}

function decodeSigned(saved: unknown): SignedPreKey {
  const [keyId, privateKey, signature] = asList(saved);
  return new SignedPreKey(asNumber(keyId), asKeyPair(privateKey), asBytes(signature, SIGNATURE_BYTES));
}

function decodeKem(fields: Fields): KemKeys {
  const lastResort = fields.nullable("last_resort", (saved): KemSeed => {
    const [keyId, seed] = asList(saved);
    return { keyId: asNumber(keyId), seed: asBytes(seed, KEM_SEED_BYTES) };
  });
  const seen = new Set(fields.list("seen").map(asText));
  const oneTime = asNumbered(fields.get("one_time"), KEM_SEED_BYTES);
  return new KemKeys(oneTime, lastResort, fields.number("next_id"), seen);
}

function encodeRecord(record: SessionRecord): unknown {
  return { identity: text(record.remoteIdentity), sessions: record.sessions.map(encodeSession) };
}

function decodeRecord(local: KeyPair, saved: unknown): SessionRecord {
  const fields = new Fields(saved);
  const remoteIdentity = asKey(fields.get("identity"));
  const sessions = fields.list("sessions").map((session) => decodeSession(local, remoteIdentity, new Fields(session)));
  return new SessionRecord(remoteIdentity, sessions);
}

function encodeSession(session: Session): unknown {
  const { ratchet, pending } = session;
  const { sendingChain } = ratchet;
  return {
    base_key: text(session.baseKey),
    registration_id: session.remoteRegistrationId,
    pending: pending ? [pending.signedPrekeyId, pending.oneTimePrekeyId ?? null] : null,
    root_key: text(ratchet.rootKey),
    ratchet_key: text(ratchet.ratchetKey.privateKey),
    sending_chain: sendingChain ? [text(sendingChain.key), sendingChain.counter] : null,
    previous_counter: ratchet.previousCounter,
    receiving_chains: ratchet.receivingChains.map((chain) => [
      text(chain.ratchetKey),
      text(chain.chainKey.key),
      chain.chainKey.counter,
      numbered(chain.skipped),
    ]),
  };
}

function decodeSession(local: KeyPair, remoteIdentity: Uint8Array, fields: Fields): Session {
  const ratchet = new DoubleRatchet(
    asKey(fields.get("root_key")),
    asKeyPair(fields.get("ratchet_key")),
    fields.nullable("sending_chain", (saved) => {
      const [key, counter] = asList(saved);
      return new ChainKey(asKey(key), asNumber(counter));
    }),
    fields.number("previous_counter"),
    fields.list("receiving_chains").map((saved) => {
      const [ratchetKey, key, counter, skipped] = asList(saved);
      return new ReceivingChain(asKey(ratchetKey), new ChainKey(asKey(key), asNumber(counter)), asNumbered(skipped));
    }),
  );
  return new Session({
    localIdentity: local.publicKey,
    remoteIdentity,
    remoteRegistrationId: fields.number("registration_id"),
    baseKey: asKey(fields.get("base_key")),
    ratchet,
    pending: fields.nullable("pending", (saved): PendingPreKey => {
      const [signedPrekeyId, oneTimePrekeyId] = asList(saved);
      return {
        signedPrekeyId: asNumber(signedPrekeyId),
        oneTimePrekeyId: oneTimePrekeyId === null ? undefined : asNumber(oneTimePrekeyId),
      };
    }),
  });
}

function numbered(values: ReadonlyMap<number, Uint8Array>): [number, string][] {
  return [...values].map(([number, value]) => [number, text(value)]);
}

function asNumbered(saved: unknown, length = PRIVATE_KEY_BYTES): Map<number, Uint8Array> {
  const entries = asList(saved).map((entry) => {
    const [number, value] = asList(entry);
    return [asNumber(number), asBytes(value, length)] as const;
  });
  return new Map(entries);
}

function asKey(saved: unknown): Uint8Array {
  return asBytes(saved, PRIVATE_KEY_BYTES); // public ones and secrets are as long
}

function asKeyPair(saved: unknown): KeyPair {
  return KeyPair.fromPrivate(asKey(saved));
}
