/** Hashes by which client and server compare keys, device lists and blocklists; knows nothing of how they store them. */

import { sha1, sha256 } from "./primitives.js";

const PHASH_BYTES = 6;

/** A one-time prekey, of any class. */
export interface NumberedKey {
  /** Id of the prekey. */
  readonly keyId: number;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/**
 * Returns the digest of an account's public keys (KEY-10).
 *
 * SHA-1(identity key ‖ signed prekey ‖ its signature ‖ one-time prekeys by ascending id). SHA-1 is WhatsApp's choice:
 * the digest detects a damaged store; it is no protection against an attacker.
 *
 * @param identityKey 32 bytes, no type byte.
 * @param signedPrekey 32 bytes, no type byte.
 * @param signature 64 bytes, of the signed prekey.
 * @param oneTimePrekeys Those that the account still has, in any order.
 * @returns 20 bytes.
 */
export function keyDigest(
  identityKey: Uint8Array,
  signedPrekey: Uint8Array,
  signature: Uint8Array,
  oneTimePrekeys: Iterable<NumberedKey>,
): Uint8Array {
  const ascending = [...oneTimePrekeys].sort((one, other) => one.keyId - other.keyId);
  return sha1(identityKey, signedPrekey, signature, ...ascending.map((prekey) => prekey.publicKey));
}

/**
 * Returns the hash of a participant's device list: `2:` and base64 of 6 bytes of SHA-256 (MSG-05).
 *
 * The hash is over the device JIDs, sorted and joined without anything between them. The JID of device 0, the primary,
 * is the account's own; the JID of another device has the device id after a colon, `{user}:{device}@{server}`.
 *
 * @param deviceJids The devices' JIDs, in any order.
 */
export function phash(deviceJids: Iterable<string>): string {
  const digest = sha256(Buffer.from([...deviceJids].sort().join("")));
  return `2:${Buffer.from(digest.subarray(0, PHASH_BYTES)).toString("base64")}`;
}

/** Returns the digest of a blocklist: SHA-256 of the sorted JIDs joined by a line feed, 32 bytes (ABU-02). */
export function blocklistDigest(jids: Iterable<string>): Uint8Array {
  return sha256(Buffer.from([...jids].sort().join("\n")));
}
