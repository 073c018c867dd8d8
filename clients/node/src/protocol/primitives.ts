/**
 * The cryptographic primitives of the protocol, each in one way; knows no key's owner and no message.
 *
 * All of them come from Node.js itself, that is from OpenSSL: it has them in every release that this package runs on, it
 * agrees on a key three times as fast as code in JavaScript, and it verifies a signature twenty times as fast. What
 * it lacks comes from the `noble` packages: arithmetic on the Edwards curve (`xeddsaKeys`) and ML-KEM (`kemKeys`).
 */

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  randomBytes as randomBuffer,
  timingSafeEqual,
  verify,
} from "node:crypto";

import { PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, TAG_BYTES } from "./sizes.js";

/** Returns that many unpredictable bytes: `randomBytes`, except in tests that must be reproducible. */
export type Entropy = (length: number) => Uint8Array;

// Node.js takes raw keys only inside DER: these are what stands before the 32 bytes of a key (RFC 8410).
const X25519_PRIVATE_PREFIX = Buffer.from("302e020100300506032b656e04220420", "hex");
const X25519_PUBLIC_PREFIX = Buffer.from("302a300506032b656e032100", "hex");
const ED25519_PUBLIC_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Returns unpredictable bytes. */
export const randomBytes: Entropy = (length) => plain(randomBuffer(length));

/** Returns parts joined in this order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return plain(Buffer.concat(parts));
}

/** Says whether two values are the same, in a time that depends only on their lengths. */
export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Returns the SHA-256 digest of the parts joined: 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return digest("sha256", parts);
}

/** Returns the SHA-1 digest of the parts joined: 20 bytes. No protection against an attacker. */
export function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  return digest("sha1", parts);
}

/** Returns the SHA-512 digest of the parts joined: 64 bytes. */
export function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  return digest("sha512", parts);
}

/** Returns HMAC-SHA256 of the parts joined: 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac("sha256", key);
  for (const part of parts) {
    mac.update(part);
  }
  return plain(mac.digest());
}

/**
 * Returns HKDF-SHA256.
 *
 * @param secret The input key material.
 * @param salt 32 zero bytes where a formula has no salt.
 * @param info The label, as text.
 * @param length How many bytes.
 */
export function hkdfSha256(secret: Uint8Array, salt: Uint8Array, info: string, length: number): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, salt, Buffer.from(info), length));
}

/**
 * Seals with AES-256-GCM.
 *
 * @param key 32 bytes.
 * @param nonce 12 bytes, which never serve twice with one key.
 * @param plaintext What is sealed.
 * @param associatedData What is authenticated besides.
 * @returns The ciphertext and the tag of 16 bytes.
 */
export function sealAesGcm(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData);
  return concat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/** Opens what `sealAesGcm` has sealed; returns undefined when it does not authenticate. */
export function openAesGcm(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  associatedData: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) {
    return undefined;
  }
  const cipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData);
  cipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const opened = cipher.update(sealed.subarray(0, -TAG_BYTES));
  try {
    return concat(opened, cipher.final());
  } catch {
    return undefined;
  }
}

/**
 * Encrypts with AES-256-CBC and PKCS #7 padding.
 *
 * @param key 32 bytes.
 * @param iv 16 bytes.
 * @param plaintext Any bytes.
 */
export function encryptAesCbc(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  return concat(cipher.update(plaintext), cipher.final());
}

/** Decrypts what `encryptAesCbc` has encrypted; returns undefined when it is badly padded. Call it for what is authentic. */
export function decryptAesCbc(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
  const cipher = createDecipheriv("aes-256-cbc", key, iv);
  const decrypted = cipher.update(ciphertext);
  try {
    return concat(decrypted, cipher.final());
  } catch {
    return undefined;
  }
}

/**
 * A Curve25519 private key that agrees on secrets (RFC 7748).
 *
 * It checks no public key: `checkPublicKey` does.
 */
export class X25519Key {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  /**
   * @param privateKey 32 bytes.
   * @throws RangeError: The key has a wrong length.
   */
  constructor(privateKey: Uint8Array) {
    if (privateKey.length !== PRIVATE_KEY_BYTES) {
      throw new RangeError(`a private key has ${privateKey.length} bytes instead of ${PRIVATE_KEY_BYTES}`);
    }
    const der = Buffer.concat([X25519_PRIVATE_PREFIX, privateKey]);
    this.#key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    const encoded = createPublicKey(this.#key).export({ format: "der", type: "spki" });
    this.publicKey = plain(encoded.subarray(-PUBLIC_KEY_BYTES));
  }

  /**
   * Returns the secret that is shared with the holder of a public key: 32 bytes.
   *
   * @param publicKey 32 bytes, checked.
   * @throws Error: The secret is zero.
   */
  agree(publicKey: Uint8Array): Uint8Array {
    const der = Buffer.concat([X25519_PUBLIC_PREFIX, publicKey]);
    const remote = createPublicKey({ key: der, format: "der", type: "spki" });
    return plain(diffieHellman({ privateKey: this.#key, publicKey: remote }));
  }
}

/**
 * Says whether an Ed25519 signature verifies (RFC 8032).
 *
 * @param publicKey 32 bytes, an encoded point.
 * @param message What was signed.
 * @param signature 64 bytes.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const der = Buffer.concat([ED25519_PUBLIC_PREFIX, publicKey]);
  return verify(null, message, createPublicKey({ key: der, format: "der", type: "spki" }), signature);
}

function digest(algorithm: string, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash(algorithm);
  for (const part of parts) {
    hash.update(part);
  }
  return plain(hash.digest());
}

/** Returns the same bytes without Buffer's methods, of which some mean something else than those of Uint8Array. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
