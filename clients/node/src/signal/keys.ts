/**
 * Curve25519 key pairs and the public keys that an account publishes; knows no message and no session.
 *
 * Keys are 32 raw bytes everywhere in this package and on the interop server's wire. Inside Signal messages, and inside
 * the bytes that an identity key signs, a public key has the type byte 0x05 in front: `encodePublicKey`,
 * `decodePublicKey`.
 */

import { checkPublicKey, WeakKey } from "../protocol/curveKeys.js";
import { hide } from "../protocol/hidden.js";
import { concat, type Entropy, X25519Key } from "../protocol/primitives.js";
import { MAX_PREKEY_ID, MIN_PREKEY_ID, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES } from "../protocol/sizes.js";
import { KEY_TYPE, NONCE_BYTES, signedPrekeyMessage, signXeddsa } from "../protocol/xeddsaKeys.js";
import { InvalidKey } from "./errors.js";

/** Length of a public key with its type byte. */
export const ENCODED_KEY_BYTES = 1 + PUBLIC_KEY_BYTES;

/** A Curve25519 key pair: identity key, prekey, ephemeral key or ratchet key. */
export class KeyPair {
  static {
    hide(KeyPair.prototype, "privateKey");
  }

  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  readonly #x25519: X25519Key;

  private constructor(privateKey: Uint8Array) {
    this.privateKey = privateKey;
    this.#x25519 = new X25519Key(privateKey);
  }

  /**
   * Returns the key pair of a private key.
   *
   * @throws InvalidKey: The private key does not have 32 bytes.
   */
  static fromPrivate(privateKey: Uint8Array): KeyPair {
    if (privateKey.length !== PRIVATE_KEY_BYTES) {
      throw new InvalidKey(`a private key has ${privateKey.length} bytes instead of ${PRIVATE_KEY_BYTES}`);
    }
    return new KeyPair(privateKey);
  }

  /** Makes a new key pair. */
  static generate(entropy: Entropy): KeyPair {
    return KeyPair.fromPrivate(entropy(PRIVATE_KEY_BYTES));
  }

  /** 32 bytes, no type byte. */
  get publicKey(): Uint8Array {
    return this.#x25519.publicKey;
  }

  /**
   * Returns the 32-byte X25519 secret shared with the holder of a public key.
   *
   * @param publicKey 32 bytes, no type byte.
   * @throws InvalidKey: The key has a wrong length, has low order, so that every shared secret is zero, or is not
   *   canonical.
   */
  agree(publicKey: Uint8Array): Uint8Array {
    checkKey(publicKey);
    return this.#x25519.agree(publicKey);
  }
}

/** A one-time prekey as published, without its private key. */
export interface PreKeyPublic {
  /** 1 to 16,777,215. */
  readonly keyId: number;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** A signed prekey as published, without its private key. */
export interface SignedPreKeyPublic extends PreKeyPublic {
  /** 64 bytes, XEdDSA over the type byte and the key. */
  readonly signature: Uint8Array;
}

/** A signed prekey with its private key. */
export class SignedPreKey {
  /**
   * @param keyId 1 to 16,777,215.
   * @param keyPair The prekey.
   * @param signature 64 bytes, by the identity key.
   */
  constructor(
    readonly keyId: number,
    readonly keyPair: KeyPair,
    readonly signature: Uint8Array,
  ) {}

  /** Makes a new signed prekey. */
  static generate(keyId: number, identity: KeyPair, entropy: Entropy): SignedPreKey {
    const keyPair = KeyPair.generate(entropy);
    const message = signedPrekeyMessage(keyPair.publicKey);
    return new SignedPreKey(keyId, keyPair, signXeddsa(identity.privateKey, message, entropy(NONCE_BYTES)));
  }

  /** The part that the account publishes. */
  get public(): SignedPreKeyPublic {
    return { keyId: this.keyId, publicKey: this.keyPair.publicKey, signature: this.signature };
  }
}

/** Returns a 32-byte public key with its type byte: 33 bytes. */
export function encodePublicKey(publicKey: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(KEY_TYPE), publicKey);
}

/**
 * Returns the 32-byte public key in an encoded one.
 *
 * @throws InvalidKey: The encoded key is not 33 bytes that begin with 0x05, or the key is weak.
 */
export function decodePublicKey(encoded: Uint8Array): Uint8Array {
  if (encoded.length !== ENCODED_KEY_BYTES || encoded[0] !== KEY_TYPE) {
    throw new InvalidKey("a public key is not 33 bytes that begin with 0x05");
  }
  const publicKey = encoded.slice(1);
  checkKey(publicKey);
  return publicKey;
}

/**
 * Checks a public key that came from elsewhere (KEY-02).
 *
 * @throws InvalidKey: It has a wrong length, has low order, or is not canonical.
 */
export function checkKey(publicKey: Uint8Array): void {
  try {
    checkPublicKey(publicKey);
  } catch (error) {
    if (error instanceof WeakKey) {
      throw new InvalidKey(`a public key ${error.message}`);
    }
    throw error;
  }
}

/** Returns the prekey id after this one: after 16,777,215 comes 1 (KEY-02). */
export function nextPrekeyId(keyId: number): number {
  return keyId < MAX_PREKEY_ID ? keyId + 1 : MIN_PREKEY_ID;
}
