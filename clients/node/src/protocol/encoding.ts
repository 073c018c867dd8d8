/** Base64url, in which the protocol writes binary values as text; knows nothing of what the values mean. */

import { SHA256_BYTES } from "./sizes.js";

/** A text is not the base64url of a value of the expected length. The message does not repeat the text. */
export class EncodingError extends Error {
  override readonly name = "EncodingError";
}

/** Returns the base64url text of a value, without padding (ENL-09). */
export function encodeBase64url(value: Uint8Array): string {
  return Buffer.from(value).toString("base64url");
}

/**
 * Returns the value of a base64url text of known length (ENL-09).
 *
 * Padding may be absent or complete. Each value has exactly one unpadded text: unused bits must be zero.
 *
 * @param text Base64url.
 * @param expectedLength Length of the value in bytes.
 * @throws EncodingError: The text is not base64url, or its value does not have that length.
 */
export function decodeBase64url(text: string, expectedLength: number): Uint8Array {
  const digits = Math.ceil((expectedLength * 4) / 3);
  const padded = Math.ceil(digits / 4) * 4;
  // Checked before decoding, so that the expected length bounds the work.
  if (text.length !== digits && text.length !== padded) {
    throw new EncodingError(`not the base64url text of ${expectedLength} bytes`);
  }
  const value = new Uint8Array(Buffer.from(text, "base64url"));
  const canonical = encodeBase64url(value);
  // Encoding again refuses what the decoder accepts or skips: the standard alphabet, unused bits, misplaced padding.
  if (value.length !== expectedLength || text !== canonical.padEnd(text.length, "=")) {
    throw new EncodingError("not canonical base64url");
  }
  return value;
}

/**
 * Returns the upload token of a ciphertext: base64url of its digest, without padding (MED-05).
 *
 * @param ciphertextSha256 SHA-256 of ciphertext and MAC, 32 bytes.
 * @throws EncodingError: The digest does not have 32 bytes.
 */
export function mediaToken(ciphertextSha256: Uint8Array): string {
  if (ciphertextSha256.length !== SHA256_BYTES) {
    throw new EncodingError(`a SHA-256 digest has ${SHA256_BYTES} bytes, not ${ciphertextSha256.length}`);
  }
  return encodeBase64url(ciphertextSha256);
}
