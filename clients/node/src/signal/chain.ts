/**
 * The symmetric-key ratchet: one key for each message of a chain; knows no Diffie-Hellman and no message format.
 *
 * A chain key gives the secret of one message, HMAC(chain key, 0x01), and the next chain key, HMAC(chain key, 0x02).
 * The secret expands to the message keys: HKDF(salt = 0^32, info = "WhisperMessageKeys", 80 bytes).
 *
 * Source: Signal, "The Double Ratchet Algorithm", sections 2.2 and 2.6; white paper 3.2.
 */

import { hide } from "../protocol/hidden.js";
import { hkdfSha256, hmacSha256 } from "../protocol/primitives.js";
import { DuplicateMessage, TooFarInFuture } from "./errors.js";

/**
 * How many messages of a chain may be missing before one, as in libsignal: more than a mailbox holds.
 *
 * Each costs an HMAC before the message can be authenticated, so this bounds the cost of a forged counter.
 */
export const MAX_FORWARD_JUMP = 25_000;
/** The same for a new chain in an archived session: a record has forty, and a forged message is tried with each. */
export const MAX_ARCHIVED_JUMP = 2_000;
/**
 * How many secrets of missing messages a chain keeps, and all archived sessions of a record together; the oldest go.
 *
 * As in libsignal, which keeps as many for each chain of each archived session. Those would be saved with every delivery.
 */
export const MAX_SKIPPED_KEYS = 2_000;

const SALT = new Uint8Array(32);
const MESSAGE_KEYS_BYTES = 80;

/** The keys that protect one message. */
export interface MessageKeys {
  /** 32 bytes, AES-256-CBC. */
  readonly cipherKey: Uint8Array;
  /** 32 bytes, HMAC-SHA256. */
  readonly macKey: Uint8Array;
  /** 16 bytes. */
  readonly iv: Uint8Array;
}

/** Expands the 32-byte secret of one message. */
export function expandMessageKeys(secret: Uint8Array): MessageKeys {
  const okm = hkdfSha256(secret, SALT, "WhisperMessageKeys", MESSAGE_KEYS_BYTES);
  return { cipherKey: okm.subarray(0, 32), macKey: okm.subarray(32, 64), iv: okm.subarray(64) };
}

/** A position in a chain. */
export class ChainKey {
  static {
    hide(ChainKey.prototype, "key");
  }

  /**
   * @param key 32 bytes.
   * @param counter Number of the message that this key is for.
   */
  constructor(
    readonly key: Uint8Array,
    readonly counter = 0,
  ) {}

  /** Returns the position after this one, from which this one cannot be computed. */
  next(): ChainKey {
    return new ChainKey(hmacSha256(this.key, Uint8Array.of(2)), this.counter + 1);
  }

  /** Returns the 32-byte secret of the message at this position. */
  messageSecret(): Uint8Array {
    return hmacSha256(this.key, Uint8Array.of(1));
  }
}

/** The change that one received message makes to its chain, applied once the message is authenticated. */
export interface ChainStep {
  /** Number of the message. */
  readonly counter: number;
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** The chain's position afterwards. */
  readonly chainKey: ChainKey;
  /** Secrets of the messages skipped, by number. */
  readonly skipped: ReadonlyMap<number, Uint8Array>;
}

/** The chain of the messages sent under one of the other party's ratchet keys. */
export class ReceivingChain {
  static {
    hide(ReceivingChain.prototype, "skipped");
  }

  /**
   * @param ratchetKey The other party's ratchet key, 32 bytes.
   * @param chainKey The position of the next message expected.
   * @param skipped Secrets of messages that have not come yet, by number; oldest first.
   */
  constructor(
    readonly ratchetKey: Uint8Array,
    public chainKey: ChainKey,
    readonly skipped = new Map<number, Uint8Array>(),
  ) {}

  /**
   * Finds the key of a message without changing the chain.
   *
   * @param counter Number of the message.
   * @param maxJump How many messages may be missing before it.
   * @throws DuplicateMessage: Its key was used before, or was forgotten as too old.
   * @throws TooFarInFuture: More messages are missing before it.
   */
  step(counter: number, maxJump = MAX_FORWARD_JUMP): ChainStep {
    if (counter < this.chainKey.counter) {
      const secret = this.skipped.get(counter);
      if (secret === undefined) {
        throw new DuplicateMessage(`message ${counter} of this chain was decrypted before`);
      }
      return { counter, secret, chainKey: this.chainKey, skipped: new Map() };
    }
    if (counter - this.chainKey.counter > maxJump) {
      throw new TooFarInFuture(`message ${counter} comes where ${this.chainKey.counter} is expected`);
    }
    const skipped = new Map<number, Uint8Array>();
    let position = this.chainKey;
    for (; position.counter < counter; position = position.next()) {
      // Older ones would be forgotten at once.
      if (position.counter >= counter - MAX_SKIPPED_KEYS) {
        skipped.set(position.counter, position.messageSecret());
      }
    }
    return { counter, secret: position.messageSecret(), chainKey: position.next(), skipped };
  }

  /** Applies a step after its message was authenticated: deletes the key of the message for good. */
  commit(step: ChainStep): void {
    this.skipped.delete(step.counter);
    for (const [counter, secret] of step.skipped) {
      this.skipped.set(counter, secret);
    }
    this.keepNewest(MAX_SKIPPED_KEYS);
    this.chainKey = step.chainKey;
  }

  /** Forgets the oldest secrets of missing messages beyond a count; returns how many are left. */
  keepNewest(count: number): number {
    for (const oldest of this.skipped.keys()) {
      if (this.skipped.size <= count) {
        break;
      }
      this.skipped.delete(oldest);
    }
    return this.skipped.size;
  }
}
