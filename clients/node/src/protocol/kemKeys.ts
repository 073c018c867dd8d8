/** ML-KEM-1024 prekeys: how one is made, and whether a key and its signature are valid; knows neither sessions nor stores. */

import { ml_kem1024 } from "@noble/post-quantum/ml-kem.js";

import { KEM_PUBLIC_KEY_BYTES } from "./sizes.js";
import { verifyXeddsa } from "./xeddsaKeys.js";

/** The private key of ML-KEM-1024 in its stored form: d and z of FIPS 203, in bytes. */
export const KEM_SEED_BYTES = 64;

/** Returns the encapsulation key of a seed of 64 bytes: 1,568 bytes. Source: FIPS 203, section 7.1. */
export function encapsulationKeyOf(seed: Uint8Array): Uint8Array {
  return ml_kem1024.keygen(seed).publicKey;
}

/**
 * Says whether bytes are an ML-KEM-1024 encapsulation key: of the right length, with every coefficient reduced.
 *
 * Source: FIPS 203, section 7.2, "Encapsulation key check".
 */
export function isEncapsulationKey(publicKey: Uint8Array): boolean {
  if (publicKey.length !== KEM_PUBLIC_KEY_BYTES) {
    return false;
  }
  const coefficients = publicKey.subarray(0, -SEED_OF_MATRIX_BYTES);
  for (let at = 0; at < coefficients.length; at += 3) {
    const [low = 0, middle = 0, high = 0] = coefficients.subarray(at, at + 3);
    if ((low | ((middle & 0x0f) << 8)) >= MODULUS || ((middle >> 4) | (high << 4)) >= MODULUS) {
      return false;
    }
  }
  return true;
}

/**
 * Says whether an identity key signed a KEM prekey: the key itself, without a type byte (KEY-15).
 *
 * @param identityKey 32 bytes, no type byte.
 * @param publicKey 1,568 bytes.
 * @param signature 64 bytes.
 * @throws RangeError: The identity key or the signature has a wrong length.
 */
export function verifyKemPrekey(identityKey: Uint8Array, publicKey: Uint8Array, signature: Uint8Array): boolean {
  return verifyXeddsa(identityKey, publicKey, signature);
}

/** The prime q of FIPS 203. */
const MODULUS = 3_329;
/** The end of an encapsulation key is rho, from which both ends expand the matrix. */
const SEED_OF_MATRIX_BYTES = 32;
