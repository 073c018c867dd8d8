/**
 * Post-quantum prekeys of one device, and the parties that have some; knows no session, network, clock or file.
 *
 * A device makes, signs and publishes them and looks for them in bundles, but no session uses them: sessions are classical
 * X3DH. How a session with a KEM prekey is set up on WhatsApp's wire is not public. The gain is that a device notices when
 * an attacker withholds a peer's KEM prekeys after it has seen some (KEY-16, T14).
 */

import { hide } from "../protocol/hidden.js";
import { encapsulationKeyOf, KEM_SEED_BYTES } from "../protocol/kemKeys.js";
import type { Entropy } from "../protocol/primitives.js";
import { MAX_KEM_PREKEYS, MIN_PREKEY_ID } from "../protocol/sizes.js";
import { NONCE_BYTES, signXeddsa } from "../protocol/xeddsaKeys.js";
import { type KeyPair, nextPrekeyId } from "./keys.js";

/** A KEM prekey as published, without its seed. */
export interface KemPreKeyPublic {
  /** 1 to 16,777,215. */
  readonly keyId: number;
  /** 1,568 bytes. */
  readonly publicKey: Uint8Array;
  /** 64 bytes, XEdDSA over the key by the identity key. */
  readonly signature: Uint8Array;
}

/** A KEM prekey in its stored form. */
export interface KemSeed {
  /** 1 to 16,777,215. */
  readonly keyId: number;
  /** 64 bytes. */
  readonly seed: Uint8Array;
}

/** A device's KEM prekeys, and the remote parties that have had some. */
export class KemKeys {
  static {
    hide(KemKeys.prototype, "oneTime", "lastResort");
  }

  /**
   * @param oneTime Seeds of the newest one-time prekeys by id, oldest first. No message tells the device when one is
   *   used up.
   * @param lastResort The last-resort prekey; undefined before the first one.
   * @param nextId Id of the next prekey to make.
   * @param seen Remote parties that had a KEM prekey in a bundle.
   */
  constructor(
    readonly oneTime = new Map<number, Uint8Array>(),
    public lastResort: KemSeed | undefined = undefined,
    public nextId = MIN_PREKEY_ID,
    readonly seen = new Set<string>(),
  ) {}

  /**
   * Makes one-time prekeys to upload.
   *
   * @throws RangeError: The count is not 1 to 5,000.
   */
  generateOneTime(count: number, identity: KeyPair, entropy: Entropy): KemPreKeyPublic[] {
    if (!Number.isInteger(count) || count < 1 || count > MAX_KEM_PREKEYS) {
      throw new RangeError(`${count} is not 1 to ${MAX_KEM_PREKEYS} KEM prekeys`);
    }
    const made = Array.from({ length: count }, () => this.#make(entropy));
    for (const { keyId, seed } of made) {
      this.oneTime.set(keyId, seed);
    }
    for (const keyId of [...this.oneTime.keys()].slice(0, -MAX_KEM_PREKEYS)) {
      this.oneTime.delete(keyId);
    }
    return made.map((key) => publicPart(key, identity, entropy));
  }

  /** Forgets all one-time prekeys but these, which replace those before: no session uses the others. */
  keepOneTime(published: Iterable<number>): void {
    const kept = new Set(published);
    for (const keyId of [...this.oneTime.keys()].filter((keyId) => !kept.has(keyId))) {
      this.oneTime.delete(keyId);
    }
  }

  /** Makes another last-resort prekey, and returns it. */
  renewLastResort(entropy: Entropy): KemSeed {
    this.lastResort = this.#make(entropy);
    return this.lastResort;
  }

  /** Returns the last-resort prekey to upload; makes one when there is none. */
  publishableLastResort(identity: KeyPair, entropy: Entropy): KemPreKeyPublic {
    return publicPart(this.lastResort ?? this.renewLastResort(entropy), identity, entropy);
  }

  /** Says whether this device has the seeds of all these prekeys, and the last-resort one is its current one. */
  holds(lastResort: number | undefined, oneTime: Iterable<number>): boolean {
    return (
      lastResort === (this.lastResort?.keyId ?? undefined) && [...oneTime].every((keyId) => this.oneTime.has(keyId))
    );
  }

  #make(entropy: Entropy): KemSeed {
    const keyId = this.nextId;
    this.nextId = nextPrekeyId(keyId);
    return { keyId, seed: entropy(KEM_SEED_BYTES) };
  }
}

function publicPart({ keyId, seed }: KemSeed, identity: KeyPair, entropy: Entropy): KemPreKeyPublic {
  const publicKey = encapsulationKeyOf(seed);
  return { keyId, publicKey, signature: signXeddsa(identity.privateKey, publicKey, entropy(NONCE_BYTES)) };
}
