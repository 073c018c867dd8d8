/**
 * The parts on which client and server must agree, as pure functions of bytes; knows no gRPC, stream or clock.
 *
 * | module | what it fixes |
 * |---|---|
 * | `sizes` | lengths, ranges and limits |
 * | `primitives` | hashes, ciphers and Diffie-Hellman, each in one way |
 * | `encoding` | base64url |
 * | `jid` | addresses |
 * | `curveKeys` | which bytes are a Curve25519 key |
 * | `xeddsaKeys` | signatures of Curve25519 keys |
 * | `kemKeys` | ML-KEM-1024 prekeys |
 * | `digest` | hashes by which client and server compare keys, device lists and blocklists |
 * | `franking` | the tokens that make a message reportable |
 * | `certificates` | the chain that certifies the server's static key |
 * | `printable` | text from outside as a terminal may show it |
 * | `noise` | the handshake of the chat channel, and the frames after it |
 *
 * A function that needs randomness or the time takes it as an argument.
 */

export * from "./certificates.js";
export * from "./curveKeys.js";
export * from "./digest.js";
export * from "./encoding.js";
export * from "./endpoint.js";
export * from "./franking.js";
export * from "./jid.js";
export * from "./kemKeys.js";
export * from "./noise.js";
export { type Entropy, randomBytes } from "./primitives.js";
export { printable, printableLines } from "./printable.js";
export * from "./sizes.js";
export { KEY_TYPE, signXeddsa, verifySignedPrekey, verifyXeddsa } from "./xeddsaKeys.js";
