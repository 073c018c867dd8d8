/**
 * The Noise handshake of the chat channel and the frames after it, sans-IO; knows nothing of streams or protobuf.
 *
 * `Noise_XX_25519_AESGCM_SHA256` over three messages; this is the initiator, the client's side:
 *
 *     -> e                 clientHello
 *     <- e, ee, s, es      readServerHello
 *     -> s, se             clientFinish
 *
 * It differs from Noise in one step: a standard peer mixes the empty payload of the first message into the handshake hash,
 * and WhatsApp's clients do not. So a Noise library works only if it leaves that step out.
 *
 * Source: CHN-02, CHN-05; The Noise Protocol Framework, revision 34, sections 5 and 7.5.
 */

import { checkPublicKey, WeakKey } from "./curveKeys.js";
import { concat, hmacSha256, openAesGcm, sealAesGcm, sha256, X25519Key } from "./primitives.js";
import { PUBLIC_KEY_BYTES, TAG_BYTES } from "./sizes.js";

/** The connection header: "WA", magic 6, dictionary version 3 (CHN-02). */
export const PROLOGUE = Uint8Array.of(0x57, 0x41, 0x06, 0x03);

const PROTOCOL_NAME = Buffer.from("Noise_XX_25519_AESGCM_SHA256".padEnd(32, "\0"));
const NONCE_BYTES = 12;
const COUNTER_AT = 8;
const MAX_COUNTER = 2 ** 32 - 1;
const NOTHING = new Uint8Array();

/** This end broke the protocol: a bug of the caller. */
export class LocalProtocolError extends Error {
  override readonly name = "LocalProtocolError";
}

/** How a peer broke the protocol. FRAME_MALFORMED is for whoever reads what is in a frame. */
export type RemoteProtocolErrorReason =
  | "HANDSHAKE_MALFORMED"
  | "HANDSHAKE_AUTHENTICATION_FAILED"
  | "FRAME_AUTHENTICATION_FAILED"
  | "FRAME_MALFORMED";

/** The peer broke the protocol, or an attacker changed what it sent. The connection must end. */
export class RemoteProtocolError extends Error {
  override readonly name = "RemoteProtocolError";

  constructor(
    readonly reason: RemoteProtocolErrorReason,
    detail = "",
  ) {
    super(detail ? `${reason}: ${detail}` : reason);
  }
}

/** The second message of the handshake; fields as in chat.proto. */
export interface ServerHello {
  /** The responder's ephemeral public key, 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** The responder's static public key, sealed: 48 bytes. */
  readonly staticKey: Uint8Array;
  /** The responder's certificate chain, sealed. */
  readonly payload: Uint8Array;
}

/** The third message of the handshake; fields as in chat.proto. */
export interface ClientFinish {
  /** The initiator's static public key, sealed: 48 bytes. */
  readonly staticKey: Uint8Array;
  /** The initiator's login, sealed. */
  readonly payload: Uint8Array;
}

/** An AES-256-GCM key and the counter of its nonces (CHN-05). */
class CipherState {
  readonly #key: Uint8Array;
  #counter: number;

  constructor(key: Uint8Array, counter = 0) {
    this.#key = key;
    this.#counter = counter;
  }

  encrypt(plaintext: Uint8Array, associatedData: Uint8Array): Uint8Array {
    const nonce = this.#nonce();
    this.#counter += 1; // before use, so that no failure makes a nonce serve twice
    return sealAesGcm(this.#key, nonce, plaintext, associatedData);
  }

  /** Returns undefined when the ciphertext does not authenticate. */
  decrypt(ciphertext: Uint8Array, associatedData: Uint8Array): Uint8Array | undefined {
    const plaintext = openAesGcm(this.#key, this.#nonce(), ciphertext, associatedData);
    if (plaintext !== undefined) {
      this.#counter += 1;
    }
    return plaintext;
  }

  #nonce(): Uint8Array {
    if (this.#counter === MAX_COUNTER) {
      throw new LocalProtocolError("counter exhausted: the connection should have ended");
    }
    const nonce = Buffer.alloc(NONCE_BYTES);
    nonce.writeUInt32BE(this.#counter, COUNTER_AT);
    return nonce;
  }
}

/** The handshake hash `h`, the chaining key `ck` and the current cipher. */
class SymmetricState {
  #handshakeHash: Uint8Array = PROTOCOL_NAME;
  #chainingKey: Uint8Array = PROTOCOL_NAME;
  // Noise has no key before the first DH result, and the pattern seals nothing until then.
  #cipher = new CipherState(PROTOCOL_NAME);

  constructor() {
    this.mixHash(PROLOGUE);
  }

  mixHash(data: Uint8Array): void {
    this.#handshakeHash = sha256(this.#handshakeHash, data);
  }

  mixKey(sharedSecret: Uint8Array): void {
    const [chainingKey, key] = deriveTwo(this.#chainingKey, sharedSecret);
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(key);
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.#cipher.encrypt(plaintext, this.#handshakeHash);
    this.mixHash(ciphertext);
    return ciphertext;
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.#cipher.decrypt(ciphertext, this.#handshakeHash);
    if (plaintext === undefined) {
      throw new RemoteProtocolError("HANDSHAKE_AUTHENTICATION_FAILED");
    }
    this.mixHash(ciphertext);
    return plaintext;
  }

  /** Returns the keys of initiator to responder and of responder to initiator. */
  split(): readonly [Uint8Array, Uint8Array] {
    return deriveTwo(this.#chainingKey, NOTHING);
  }
}

/** Seals and opens frames after the handshake: one counter per direction, no associated data (CHN-05). */
export class Transport {
  readonly #sending: CipherState;
  readonly #receiving: CipherState;

  /**
   * @param sendingKey 32 bytes.
   * @param receivingKey 32 bytes.
   * @param counters How many frames were sealed and opened before: 0 for a new connection.
   */
  constructor(sendingKey: Uint8Array, receivingKey: Uint8Array, counters = { sealed: 0, opened: 0 }) {
    this.#sending = new CipherState(sendingKey, counters.sealed);
    this.#receiving = new CipherState(receivingKey, counters.opened);
  }

  /**
   * Seals the next frame: the ciphertext is 16 bytes longer.
   *
   * @throws LocalProtocolError: 2^32 - 1 frames have been sealed; no counter may be used twice.
   */
  encrypt(plaintext: Uint8Array): Uint8Array {
    return this.#sending.encrypt(plaintext, NOTHING);
  }

  /**
   * Opens the next frame.
   *
   * @throws RemoteProtocolError: FRAME_AUTHENTICATION_FAILED: the frame was changed, is repeated or out of order, or
   *   belongs to another connection.
   * @throws LocalProtocolError: 2^32 - 1 frames have been opened.
   */
  decrypt(sealed: Uint8Array): Uint8Array {
    const plaintext = this.#receiving.decrypt(sealed, NOTHING);
    if (plaintext === undefined) {
      throw new RemoteProtocolError("FRAME_AUTHENTICATION_FAILED");
    }
    return plaintext;
  }
}

const STEPS = ["clientHello", "readServerHello", "clientFinish", "split"] as const;
type Step = (typeof STEPS)[number];

/**
 * The client's side: `clientHello`, `readServerHello`, `clientFinish`, `split`, in this order.
 *
 * A step out of order throws LocalProtocolError, and so does every step after one that failed.
 */
export class InitiatorHandshake {
  readonly #static: X25519Key;
  readonly #ephemeral: X25519Key;
  readonly #symmetric = new SymmetricState();
  #remoteEphemeral: Uint8Array = NOTHING;
  #remoteStatic: Uint8Array | undefined = undefined;
  #due: Step | undefined = STEPS[0];

  /**
   * @param staticPrivateKey The client's auth key, 32 bytes.
   * @param ephemeralPrivateKey 32 fresh random bytes; never used for a second handshake.
   * @throws RangeError: A key has a wrong length.
   */
  constructor(staticPrivateKey: Uint8Array, ephemeralPrivateKey: Uint8Array) {
    this.#static = new X25519Key(staticPrivateKey);
    this.#ephemeral = new X25519Key(ephemeralPrivateKey);
  }

  /**
   * The static public key that the peer has proved, 32 bytes.
   *
   * @throws LocalProtocolError: The peer has not proved it yet.
   */
  get remoteStatic(): Uint8Array {
    if (this.#remoteStatic === undefined) {
      throw new LocalProtocolError("the peer has not proved its static key yet");
    }
    return this.#remoteStatic;
  }

  /** Returns the first message: the ephemeral public key, 32 bytes. */
  clientHello(): Uint8Array {
    return this.#step("clientHello", () => {
      this.#symmetric.mixHash(this.#ephemeral.publicKey);
      return this.#ephemeral.publicKey;
    });
  }

  /**
   * Reads the second message and returns its payload.
   *
   * The caller then verifies that the payload, a certificate chain, certifies `remoteStatic`.
   *
   * @throws RemoteProtocolError: HANDSHAKE_MALFORMED or HANDSHAKE_AUTHENTICATION_FAILED.
   */
  readServerHello(hello: ServerHello): Uint8Array {
    return this.#step("readServerHello", () => {
      checkLength("ephemeral key", hello.ephemeral, PUBLIC_KEY_BYTES);
      checkLength("sealed static key", hello.staticKey, PUBLIC_KEY_BYTES + TAG_BYTES);
      this.#remoteEphemeral = hello.ephemeral;
      this.#symmetric.mixHash(hello.ephemeral);
      this.#symmetric.mixKey(exchange(this.#ephemeral, hello.ephemeral));
      const remoteStatic = this.#symmetric.decryptAndHash(hello.staticKey);
      this.#symmetric.mixKey(exchange(this.#ephemeral, remoteStatic));
      const payload = this.#symmetric.decryptAndHash(hello.payload);
      this.#remoteStatic = remoteStatic;
      return payload;
    });
  }

  /** Returns the third message, with a payload that only the owner of `remoteStatic` can open. */
  clientFinish(payload: Uint8Array): ClientFinish {
    return this.#step("clientFinish", () => {
      const staticKey = this.#symmetric.encryptAndHash(this.#static.publicKey);
      this.#symmetric.mixKey(exchange(this.#static, this.#remoteEphemeral));
      return { staticKey, payload: this.#symmetric.encryptAndHash(payload) };
    });
  }

  /** Returns the transport; the handshake is over. */
  split(): Transport {
    return this.#step("split", () => {
      const [fromInitiator, fromResponder] = this.#symmetric.split();
      return new Transport(fromInitiator, fromResponder);
    });
  }

  #step<Result>(name: Step, act: () => Result): Result {
    if (name !== this.#due) {
      throw new LocalProtocolError(`${name} was called, but ${this.#due ?? "nothing"} is due`);
    }
    this.#due = undefined; // a step that fails ends the handshake
    const result = act();
    this.#due = STEPS[STEPS.indexOf(name) + 1] ?? undefined;
    return result;
  }
}

/** HKDF-SHA256 with two outputs of 32 bytes, as Noise section 4.3 writes it. */
function deriveTwo(chainingKey: Uint8Array, inputKeyMaterial: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const key = hmacSha256(chainingKey, inputKeyMaterial);
  const first = hmacSha256(key, Uint8Array.of(1));
  return [first, hmacSha256(key, concat(first, Uint8Array.of(2)))];
}

function exchange(own: X25519Key, publicKey: Uint8Array): Uint8Array {
  try {
    // With a key of low order the secret is all zero, and OpenSSL refuses that as well.
    return own.agree(checkPublicKey(publicKey));
  } catch (error) {
    if (error instanceof WeakKey) {
      throw new RemoteProtocolError("HANDSHAKE_MALFORMED", `a public key ${error.message}`);
    }
    throw error;
  }
}

function checkLength(name: string, value: Uint8Array, expected: number): void {
  if (value.length !== expected) {
    throw new RemoteProtocolError(
      "HANDSHAKE_MALFORMED",
      `the ${name} has ${value.length} bytes instead of ${expected}`,
    );
  }
}
