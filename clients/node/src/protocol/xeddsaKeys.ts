/** XEdDSA: signatures made and verified with Curve25519 keys; knows nothing of a key's owner or store. */

import { ed25519 } from "@noble/curves/ed25519.js";

import { bytesOf, checkPublicKey, numberOf, WeakKey } from "./curveKeys.js";
import { concat, sha512, verifyEd25519 } from "./primitives.js";
import { PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "./sizes.js";

/** The type byte of a Curve25519 key (ENL-08). */
export const KEY_TYPE = 5;
/** Random bytes that one signature needs. */
export const NONCE_BYTES = 64;

const SIGN_BIT = 0x80;
const LAST = SIGNATURE_BYTES - 1;
const { Point } = ed25519;
/** The hash that makes the signature's secret number has 2^256 - 2 before its input; nothing else that is hashed has. */
const HASH_1 = Uint8Array.from({ length: PRIVATE_KEY_BYTES }, (_, index) => (index === 0 ? 0xfe : 0xff));

/**
 * Says whether a signature over a message was made with the private half of a Curve25519 key.
 *
 * A weak key signs nothing: with one of low order, a signature can be made up for any message.
 *
 * @param publicKey 32 bytes, Curve25519 u-coordinate; the top bit is ignored.
 * @param message What was signed.
 * @param signature 64 bytes; the top bit of the last one is the sign of the Edwards key.
 * @throws RangeError: The key or the signature has a wrong length.
 *
 * Source: Signal, "The XEdDSA and VXEdDSA Signature Schemes", section 2; sign bit as libsignal sets it.
 */
export function verifyXeddsa(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  checkLength("public key", publicKey, PUBLIC_KEY_BYTES);
  checkLength("signature", signature, SIGNATURE_BYTES);
  const sign = (signature[LAST] ?? 0) & SIGN_BIT;
  const edwardsKey = edwardsKeyOf(publicKey, sign);
  if (edwardsKey === undefined) {
    return false;
  }
  const unsigned = new Uint8Array(signature);
  unsigned[LAST] = (unsigned[LAST] ?? 0) ^ sign;
  return verifyEd25519(edwardsKey, message, unsigned);
}

/**
 * Signs a message with a Curve25519 key, as libsignal does.
 *
 * @param privateKey 32 bytes; clamped here, as X25519 does.
 * @param message What to sign.
 * @param nonce 64 fresh random bytes.
 * @returns 64 bytes; the top bit of the last one is the sign of the Edwards key.
 * @throws RangeError: The key or the nonce has a wrong length.
 */
export function signXeddsa(privateKey: Uint8Array, message: Uint8Array, nonce: Uint8Array): Uint8Array {
  checkLength("private key", privateKey, PRIVATE_KEY_BYTES);
  checkLength("nonce", nonce, NONCE_BYTES);
  const clamped = clamp(privateKey);
  const { Fn } = Point;
  const scalar = Fn.create(numberOf(clamped));
  const edwardsKey = Point.BASE.multiply(scalar).toBytes();
  // Names as in the specification: r, R, h and s.
  const r = Fn.create(numberOf(sha512(HASH_1, clamped, message, nonce)));
  const R = Point.BASE.multiply(r).toBytes();
  const h = Fn.create(numberOf(sha512(R, edwardsKey, message)));
  const s = Fn.add(r, Fn.mul(h, scalar));
  const signature = concat(R, bytesOf(s));
  signature[LAST] = (signature[LAST] ?? 0) | ((edwardsKey[PUBLIC_KEY_BYTES - 1] ?? 0) & SIGN_BIT);
  return signature;
}

/**
 * Returns what an identity key signs for a signed prekey: the type byte, then the key (ENL-10).
 *
 * @param publicKey The signed prekey, 32 bytes.
 * @throws RangeError: The key has a wrong length.
 */
export function signedPrekeyMessage(publicKey: Uint8Array): Uint8Array {
  checkLength("public key", publicKey, PUBLIC_KEY_BYTES);
  return concat(Uint8Array.of(KEY_TYPE), publicKey);
}

/**
 * Says whether an identity key signed a signed prekey (ENL-10).
 *
 * @param identityKey 32 bytes, no type byte.
 * @param signedPrekey 32 bytes, no type byte.
 * @param signature 64 bytes.
 * @throws RangeError: A key or the signature has a wrong length.
 */
export function verifySignedPrekey(identityKey: Uint8Array, signedPrekey: Uint8Array, signature: Uint8Array): boolean {
  return verifyXeddsa(identityKey, signedPrekeyMessage(signedPrekey), signature);
}

/** Returns the Edwards key of a Curve25519 key, y = (u - 1) / (u + 1) with that sign; undefined when the key is weak. */
function edwardsKeyOf(publicKey: Uint8Array, sign: number): Uint8Array | undefined {
  const { Fp } = Point;
  try {
    const u = numberOf(checkPublicKey(publicKey));
    const encoded = bytesOf(Fp.div(Fp.sub(u, Fp.ONE), Fp.add(u, Fp.ONE)));
    encoded[PUBLIC_KEY_BYTES - 1] = (encoded[PUBLIC_KEY_BYTES - 1] ?? 0) | sign;
    return encoded;
  } catch (error) {
    if (error instanceof WeakKey) {
      return undefined; // among them u = -1, which maps to no Edwards point
    }
    throw error;
  }
}

function clamp(privateKey: Uint8Array): Uint8Array {
  const clamped = new Uint8Array(privateKey);
  clamped[0] = (clamped[0] ?? 0) & 0xf8;
  clamped[PRIVATE_KEY_BYTES - 1] = ((clamped[PRIVATE_KEY_BYTES - 1] ?? 0) & 0x7f) | 0x40;
  return clamped;
}

function checkLength(name: string, value: Uint8Array, expected: number): void {
  if (value.length !== expected) {
    throw new RangeError(`the ${name} has ${value.length} bytes instead of ${expected}`);
  }
}
