/**
 * Which 32 bytes are a Curve25519 public key, and which two are the same key; knows nothing of what a key is for.
 *
 * Source: RFC 7748, sections 5 and 6.1: the top bit is ignored, and a key of low order makes every shared secret zero.
 * Refusing what is not canonical is the simulator's choice: RFC 7748 would reduce it, and no honest library makes it.
 */

import { equalBytes } from "./primitives.js";
import { PUBLIC_KEY_BYTES } from "./sizes.js";

/** The prime p: coordinates are numbers below it. */
export const FIELD_PRIME = 2n ** 255n - 19n;

const TOP_BIT = 0x80;
/** The u-coordinates of the points of order 1, 2, 4 and 8, on the curve and on its twist. */
const LOW_ORDER: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  FIELD_PRIME - 1n,
  0x00b8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0n,
  0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5fn,
]);

/** Bytes that are no Curve25519 public key, or one that protects nothing; the message says why. */
export class WeakKey extends Error {
  override readonly name = "WeakKey";
}

/** Returns a 32-byte public key with its top bit cleared: the one form of all that are the same key (KEY-04). */
export function canonicalKey(publicKey: Uint8Array): Uint8Array {
  const canonical = new Uint8Array(publicKey);
  canonical[PUBLIC_KEY_BYTES - 1] = (canonical[PUBLIC_KEY_BYTES - 1] ?? 0) & ~TOP_BIT;
  return canonical;
}

/** Says whether two public keys are the same: whether they differ in the top bit at most (KEY-04). */
export function isSameKey(one: Uint8Array, other: Uint8Array): boolean {
  return (
    one.length === PUBLIC_KEY_BYTES &&
    other.length === PUBLIC_KEY_BYTES &&
    equalBytes(canonicalKey(one), canonicalKey(other))
  );
}

/**
 * Checks a public key that came from elsewhere, and returns it with its top bit cleared (KEY-02, KEY-04).
 *
 * A key has low order whether its top bit is ignored, as X25519 does, or read as part of the number.
 *
 * @param publicKey What came.
 * @returns 32 bytes.
 * @throws WeakKey: It does not have 32 bytes, has low order, or is not below p without its top bit.
 */
export function checkPublicKey(publicKey: Uint8Array): Uint8Array {
  if (publicKey.length !== PUBLIC_KEY_BYTES) {
    throw new WeakKey(`has ${publicKey.length} bytes instead of ${PUBLIC_KEY_BYTES}`);
  }
  const canonical = canonicalKey(publicKey);
  const number = numberOf(canonical);
  if (LOW_ORDER.has(number % FIELD_PRIME) || LOW_ORDER.has(numberOf(publicKey) % FIELD_PRIME)) {
    throw new WeakKey("has low order: whatever is agreed with it, everybody knows");
  }
  if (number >= FIELD_PRIME) {
    throw new WeakKey("is not a number below 2^255 - 19");
  }
  return canonical;
}

/** Returns the number that bytes mean, least significant first. */
export function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);
}

/** Returns a number as 32 bytes, least significant first. */
export function bytesOf(number: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(number.toString(16).padStart(PUBLIC_KEY_BYTES * 2, "0"), "hex").reverse());
}
