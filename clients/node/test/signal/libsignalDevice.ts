/** A device behind Signal's own library, with its stores in memory. The library is under AGPL-3.0: tests only. */

import {
  CiphertextMessageType,
  type Direction,
  IdentityChange,
  IdentityKeyStore,
  type KyberPreKeyRecord,
  KyberPreKeyStore,
  PreKeyBundle as LibsignalBundle,
  PreKeyRecord,
  PreKeySignalMessage,
  PreKeyStore,
  PrivateKey,
  ProtocolAddress,
  PublicKey,
  processPreKeyBundle,
  type SessionRecord,
  SessionStore,
  SignalMessage,
  SignedPreKeyRecord,
  SignedPreKeyStore,
  signalDecrypt,
  signalDecryptPreKey,
  signalEncrypt,
} from "@signalapp/libsignal-client";

import { type Ciphertext, CiphertextType, type PreKeyBundle } from "../../src/signal/index.js";

const PEER = ProtocolAddress.new("peer", 1);
const KEY_TYPE = 5;

class Sessions extends SessionStore {
  readonly #records = new Map<string, SessionRecord>();

  async saveSession(name: ProtocolAddress, record: SessionRecord): Promise<void> {
    this.#records.set(name.toString(), record);
  }

  async getSession(name: ProtocolAddress): Promise<SessionRecord | null> {
    return this.#records.get(name.toString()) ?? null;
  }

  async getExistingSessions(addresses: ProtocolAddress[]): Promise<SessionRecord[]> {
    return addresses.flatMap((address) => this.#records.get(address.toString()) ?? []);
  }
}

class Identities extends IdentityKeyStore {
  readonly privateKey = PrivateKey.generate();
  readonly #known = new Map<string, PublicKey>();

  constructor(readonly registrationId: number) {
    super();
  }

  async getIdentityKey(): Promise<PrivateKey> {
    return this.privateKey;
  }

  async getLocalRegistrationId(): Promise<number> {
    return this.registrationId;
  }

  async saveIdentity(name: ProtocolAddress, key: PublicKey): Promise<IdentityChange> {
    const known = this.#known.get(name.toString());
    this.#known.set(name.toString(), key);
    const isSame = known === undefined || known.compare(key) === 0;
    return isSame ? IdentityChange.NewOrUnchanged : IdentityChange.ReplacedExisting;
  }

  async isTrustedIdentity(name: ProtocolAddress, key: PublicKey, _direction: Direction): Promise<boolean> {
    const known = this.#known.get(name.toString());
    return known === undefined || known.compare(key) === 0;
  }

  async getIdentity(name: ProtocolAddress): Promise<PublicKey | null> {
    return this.#known.get(name.toString()) ?? null;
  }
}

class OneTimePrekeys extends PreKeyStore {
  readonly records = new Map<number, PreKeyRecord>();

  async savePreKey(id: number, record: PreKeyRecord): Promise<void> {
    this.records.set(id, record);
  }

  async getPreKey(id: number): Promise<PreKeyRecord> {
    return held(this.records, id);
  }

  async removePreKey(id: number): Promise<void> {
    this.records.delete(id);
  }
}

class SignedPrekeys extends SignedPreKeyStore {
  readonly records = new Map<number, SignedPreKeyRecord>();

  async saveSignedPreKey(id: number, record: SignedPreKeyRecord): Promise<void> {
    this.records.set(id, record);
  }

  async getSignedPreKey(id: number): Promise<SignedPreKeyRecord> {
    return held(this.records, id);
  }
}

/** Sessions of version 3 have no KEM prekeys. */
class NoKyberPrekeys extends KyberPreKeyStore {
  async saveKyberPreKey(): Promise<void> {}

  async getKyberPreKey(id: number): Promise<KyberPreKeyRecord> {
    throw new Error(`KEM prekey ${id} was asked for`);
  }

  async markKyberPreKeyUsed(): Promise<void> {}
}

/** One device, which knows one peer. */
export class LibsignalDevice {
  readonly #sessions = new Sessions();
  readonly #identities: Identities;
  readonly #oneTimePrekeys = new OneTimePrekeys();
  readonly #signedPrekeys = new SignedPrekeys();

  constructor(registrationId: number) {
    this.#identities = new Identities(registrationId);
  }

  /** How many one-time prekeys no message has used. */
  get unusedOneTimePrekeys(): number {
    return this.#oneTimePrekeys.records.size;
  }

  /** Makes a bundle with new prekeys. */
  async takeBundle({ withOneTimePrekey = true } = {}): Promise<PreKeyBundle> {
    const { privateKey, registrationId } = this.#identities;
    const [signed, oneTime] = [PrivateKey.generate(), PrivateKey.generate()];
    const [signedId, oneTimeId] = [7, 9];
    const signature = privateKey.sign(signed.getPublicKey().serialize());
    const record = SignedPreKeyRecord.new(signedId, Date.now(), signed.getPublicKey(), signed, signature);
    await this.#signedPrekeys.saveSignedPreKey(signedId, record);
    if (withOneTimePrekey) {
      const oneTimeRecord = PreKeyRecord.new(oneTimeId, oneTime.getPublicKey(), oneTime);
      await this.#oneTimePrekeys.savePreKey(oneTimeId, oneTimeRecord);
    }
    return {
      registrationId,
      deviceId: 0,
      identityKey: plain(privateKey.getPublicKey().getPublicKeyBytes()),
      signedPrekey: {
        keyId: signedId,
        publicKey: plain(signed.getPublicKey().getPublicKeyBytes()),
        signature: plain(signature),
      },
      oneTimePrekey: withOneTimePrekey
        ? { keyId: oneTimeId, publicKey: plain(oneTime.getPublicKey().getPublicKeyBytes()) }
        : undefined,
      kemWithdrawn: false,
    };
  }

  /** Begins a session with the peer. */
  async processBundle({ registrationId, identityKey, signedPrekey, oneTimePrekey }: PreKeyBundle): Promise<void> {
    const bundle = LibsignalBundle.new(
      registrationId,
      1,
      oneTimePrekey?.keyId ?? null,
      oneTimePrekey ? theirs(oneTimePrekey.publicKey) : null,
      signedPrekey.keyId,
      theirs(signedPrekey.publicKey),
      Buffer.from(signedPrekey.signature),
      theirs(identityKey),
    );
    await processPreKeyBundle(bundle, PEER, this.#sessions, this.#identities);
  }

  async encrypt(plaintext: Uint8Array): Promise<Ciphertext> {
    const message = await signalEncrypt(Buffer.from(plaintext), PEER, this.#sessions, this.#identities);
    const isFirst = message.type() === CiphertextMessageType.PreKey;
    return {
      type: isFirst ? CiphertextType.PREKEY : CiphertextType.DOUBLE_RATCHET,
      body: plain(message.serialize()),
    };
  }

  async decrypt({ type, body }: Ciphertext): Promise<Uint8Array> {
    if (type === CiphertextType.DOUBLE_RATCHET) {
      const message = SignalMessage.deserialize(Buffer.from(body));
      return plain(await signalDecrypt(message, PEER, this.#sessions, this.#identities));
    }
    const message = PreKeySignalMessage.deserialize(Buffer.from(body));
    return plain(
      await signalDecryptPreKey(
        message,
        PEER,
        this.#sessions,
        this.#identities,
        this.#oneTimePrekeys,
        this.#signedPrekeys,
        new NoKyberPrekeys(),
      ),
    );
  }
}

function held<Record>(records: ReadonlyMap<number, Record>, id: number): Record {
  const record = records.get(id);
  if (record === undefined) {
    throw new Error(`prekey ${id} is not held`);
  }
  return record;
}

function theirs(publicKey: Uint8Array): PublicKey {
  return PublicKey.deserialize(Buffer.from([KEY_TYPE, ...publicKey]));
}

function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer);
}
