/**
 * End-to-end encryption: X3DH and the Double Ratchet, wire-compatible with libsignal's session version 3.
 *
 * Pure functions of bytes and randomness: knows no network, clock or file. An application needs only `SignalState`; to
 * write an implementation of your own, read the modules in this order:
 *
 * | module | Signal's specification |
 * |---|---|
 * | `keys` | key pairs, prekeys, the 0x05 type byte |
 * | `x3dh` | the first secret of a session, from a prekey bundle |
 * | `kem` | post-quantum prekeys: published and checked for, not used |
 * | `chain` | the symmetric-key ratchet |
 * | `ratchet` | the Double Ratchet |
 * | `messages` | SignalMessage and PreKeySignalMessage |
 * | `session` | the choice of the session that encrypts or decrypts |
 * | `store` | a device's state, with the operations on it |
 * | `snapshot` | its saved form |
 * | `content` | the plaintext: `Message`, padded |
 * | `errors` | one class for each decision of a caller |
 */

export {
  contentFields,
  decodeMessage,
  encodeMessage,
  MAX_CONTENT_BYTES,
  MAX_QUOTE_BYTES,
  MAX_TEXT_BYTES,
  padAtRandom,
  parseMessage,
  serializeMessage,
  unpad,
  unsupportedKind,
} from "./content.js";
export * from "./errors.js";
export type { KemPreKeyPublic } from "./kem.js";
export { checkKey, KeyPair, type PreKeyPublic, type SignedPreKeyPublic } from "./keys.js";
export { type Ciphertext, CiphertextType, type PublicKeys, SignalState } from "./store.js";
export type { PreKeyBundle } from "./x3dh.js";
