/**
 * Extended Triple Diffie-Hellman: the first secret of a session; knows nothing of the messages that follow.
 *
 * The initiator has the responder's prekey bundle, the responder has only the initiator's first message. With I for the
 * identity keys, S the signed prekey, O the one-time prekey and E the initiator's base ("ephemeral") key, both compute
 *
 *     HKDF(salt = 0^32, ikm = F ‖ DH(I_i,S_r) ‖ DH(E_i,I_r) ‖ DH(E_i,S_r) [‖ DH(E_i,O_r)], info = "WhisperText")
 *
 * with F = 0xFF^32. Its first 32 bytes are the root key. libsignal expands 32 more bytes, the key of a chain in which no
 * message is ever sent, because the responder begins with a ratchet step.
 *
 * Source: Signal, "The X3DH Key Agreement Protocol", sections 2.2 and 3.3; white paper 3.2.
 */

import { verifyKemPrekey } from "../protocol/kemKeys.js";
import { concat, hkdfSha256 } from "../protocol/primitives.js";
import { KEM_PUBLIC_KEY_BYTES, MAX_PREKEY_ID, MIN_PREKEY_ID, SIGNATURE_BYTES } from "../protocol/sizes.js";
import { verifySignedPrekey } from "../protocol/xeddsaKeys.js";
import { InvalidKey, InvalidSignature } from "./errors.js";
import type { KemPreKeyPublic } from "./kem.js";
import { checkKey, type KeyPair, type PreKeyPublic, type SignedPreKeyPublic } from "./keys.js";

const F = new Uint8Array(32).fill(0xff);
const SALT = new Uint8Array(32);
const ROOT_KEY_BYTES = 32;

/** The keys that a sender takes from the server to open a session with one device. */
export interface PreKeyBundle {
  /** 32 bits. */
  readonly registrationId: number;
  /** 0: one device per account (KEY-08). */
  readonly deviceId: number;
  /** 32 bytes. */
  readonly identityKey: Uint8Array;
  /** The device's signed prekey. */
  readonly signedPrekey: SignedPreKeyPublic;
  /** Absent when the server has no one-time prekey left (KEY-06). */
  readonly oneTimePrekey?: PreKeyPublic | undefined;
  /** Absent unless the device has published KEM prekeys. Not used for the agreement (KEY-15). */
  readonly kemPrekey?: KemPreKeyPublic | undefined;
  /** Whether the server says that the device has published KEM prekeys before and has none now (KEY-16). */
  readonly kemWithdrawn: boolean;
}

/** What the initiator says in its first message, besides prekey ids. */
export interface InitiatorKeys {
  /** The initiator's identity key, 32 bytes. */
  readonly identityKey: Uint8Array;
  /** The initiator's base key, 32 bytes. */
  readonly baseKey: Uint8Array;
}

/**
 * Checks that the identity key signed the signed prekey, and the KEM prekey if there is one.
 *
 * @throws InvalidKey: A key is weak or has a wrong length, or a one-time prekey comes without its id.
 * @throws InvalidSignature: A signature does not verify.
 */
export function verifyBundle(bundle: PreKeyBundle): void {
  const { identityKey, signedPrekey, oneTimePrekey, kemPrekey } = bundle;
  checkKey(identityKey);
  checkKey(signedPrekey.publicKey);
  if (oneTimePrekey !== undefined) {
    checkKey(oneTimePrekey.publicKey);
    if (oneTimePrekey.keyId < MIN_PREKEY_ID || oneTimePrekey.keyId > MAX_PREKEY_ID) {
      throw new InvalidKey("a one-time prekey and its id come together");
    }
  }
  const { publicKey, signature } = signedPrekey;
  if (signature.length !== SIGNATURE_BYTES || !verifySignedPrekey(identityKey, publicKey, signature)) {
    throw new InvalidSignature("the identity key of the bundle did not sign its signed prekey");
  }
  if (kemPrekey !== undefined) {
    checkKemPrekey(identityKey, kemPrekey);
  }
}

function checkKemPrekey(identityKey: Uint8Array, { publicKey, signature }: KemPreKeyPublic): void {
  if (publicKey.length !== KEM_PUBLIC_KEY_BYTES) {
    throw new InvalidKey(`the bundle's KEM prekey has ${publicKey.length} bytes, not ${KEM_PUBLIC_KEY_BYTES}`);
  }
  if (signature.length !== SIGNATURE_BYTES || !verifyKemPrekey(identityKey, publicKey, signature)) {
    throw new InvalidSignature("the identity key of the bundle did not sign its KEM prekey");
  }
}

/**
 * Returns the root key as the initiator computes it.
 *
 * @param identity The initiator's identity key.
 * @param baseKey A fresh key, used for this agreement only.
 * @param bundle A verified bundle of the responder.
 * @throws InvalidKey: No secret can be agreed with one of the bundle's keys.
 */
export function initiatorRootKey(identity: KeyPair, baseKey: KeyPair, bundle: PreKeyBundle): Uint8Array {
  const { identityKey, signedPrekey, oneTimePrekey } = bundle;
  return rootKey(
    identity.agree(signedPrekey.publicKey),
    baseKey.agree(identityKey),
    baseKey.agree(signedPrekey.publicKey),
    ...(oneTimePrekey === undefined ? [] : [baseKey.agree(oneTimePrekey.publicKey)]),
  );
}

/**
 * Returns the root key as the responder computes it.
 *
 * @param identity The responder's identity key.
 * @param signedPrekey The signed prekey that the initiator names.
 * @param oneTimePrekey The one-time prekey that the initiator names, if any.
 * @param initiator The initiator's public keys.
 * @throws InvalidKey: No secret can be agreed with one of the initiator's keys.
 */
export function responderRootKey(
  identity: KeyPair,
  signedPrekey: KeyPair,
  oneTimePrekey: KeyPair | undefined,
  initiator: InitiatorKeys,
): Uint8Array {
  return rootKey(
    signedPrekey.agree(initiator.identityKey),
    identity.agree(initiator.baseKey),
    signedPrekey.agree(initiator.baseKey),
    ...(oneTimePrekey === undefined ? [] : [oneTimePrekey.agree(initiator.baseKey)]),
  );
}

function rootKey(...secrets: Uint8Array[]): Uint8Array {
  return hkdfSha256(concat(F, ...secrets), SALT, "WhisperText", ROOT_KEY_BYTES);
}
