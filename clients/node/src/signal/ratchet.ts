/**
 * The Double Ratchet: a new chain for each turn of the conversation; knows no message format and no identity.
 *
 * In the terms of the specification: `rootKey` is RK, `ratchetKey` DHs, `sendingChain` CKs, and `receivingChains`
 * hold each DHr with its CKr and its share of MKSKIPPED. As in libsignal, the other party's last chains stay open when it
 * begins a new one. So late messages need no key derived in advance, and the `previousCounter` of a message (PN) is sent,
 * but not needed.
 *
 * Source: Signal, "The Double Ratchet Algorithm", sections 2.3, 2.4 and 3.
 */

import { hide } from "../protocol/hidden.js";
import { type Entropy, equalBytes, hkdfSha256 } from "../protocol/primitives.js";
import {
  ChainKey,
  type ChainStep,
  expandMessageKeys,
  MAX_FORWARD_JUMP,
  type MessageKeys,
  ReceivingChain,
} from "./chain.js";
import { NoSession } from "./errors.js";
import { KeyPair } from "./keys.js";

/** How many of the other party's newest chains stay open; as in libsignal. */
export const MAX_RECEIVING_CHAINS = 5;

const ROOT_STEP_BYTES = 64;

/** Keys and numbers of one message to send. */
export interface SendingStep {
  /** The sender's ratchet public key, 32 bytes. */
  readonly ratchetKey: Uint8Array;
  /** Number of the message in its chain, from 0. */
  readonly counter: number;
  /** How many messages the sender sent in the chain before. */
  readonly previousCounter: number;
  /** The keys that protect the message. */
  readonly messageKeys: MessageKeys;
}

/** The change that one received message makes to the ratchet, applied once the message is authenticated. */
export interface ReceivingStep {
  /** The chain of the message: an open one, or a new one that its ratchet key begins. */
  readonly chain: ReceivingChain;
  /** The change that the message makes to that chain. */
  readonly chainStep: ChainStep;
  /** The root key after a new chain was derived from it; undefined when the chain was open. */
  readonly rootKey: Uint8Array | undefined;
  /** The keys that protect the message. */
  readonly messageKeys: MessageKeys;
}

/** One side's keys of a conversation. */
export class DoubleRatchet {
  static {
    hide(DoubleRatchet.prototype, "rootKey");
  }

  /**
   * @param rootKey 32 bytes.
   * @param ratchetKey This side's current ratchet key.
   * @param sendingChain undefined on the responder's side until it has received a message.
   * @param previousCounter How many messages this side sent in the chain before the current one.
   * @param receivingChains The other side's chains, oldest first.
   */
  constructor(
    public rootKey: Uint8Array,
    public ratchetKey: KeyPair,
    public sendingChain: ChainKey | undefined,
    public previousCounter = 0,
    public receivingChains: readonly ReceivingChain[] = [],
  ) {}

  /**
   * Begins the initiator's side.
   *
   * @param rootKey 32 bytes, from X3DH.
   * @param remoteRatchetKey The responder's signed prekey, 32 bytes.
   * @param entropy Makes the first ratchet key.
   * @throws InvalidKey: No secret can be agreed with the responder's key.
   */
  static initiate(rootKey: Uint8Array, remoteRatchetKey: Uint8Array, entropy: Entropy): DoubleRatchet {
    const ratchetKey = KeyPair.generate(entropy);
    const next = rootStep(rootKey, ratchetKey.agree(remoteRatchetKey));
    return new DoubleRatchet(next.rootKey, ratchetKey, next.chainKey);
  }

  /** Begins the responder's side, whose first ratchet key is its signed prekey. */
  static respond(rootKey: Uint8Array, signedPrekey: KeyPair): DoubleRatchet {
    return new DoubleRatchet(rootKey, signedPrekey, undefined);
  }

  /**
   * Returns the keys of the next message to send, each time new ones.
   *
   * @throws NoSession: This side is the responder and has received no message yet.
   */
  send(): SendingStep {
    const position = this.sendingChain;
    if (position === undefined) {
      throw new NoSession("the initiator has to speak first");
    }
    this.sendingChain = position.next();
    return {
      ratchetKey: this.ratchetKey.publicKey,
      counter: position.counter,
      previousCounter: this.previousCounter,
      messageKeys: expandMessageKeys(position.messageSecret()),
    };
  }

  /** Says whether a chain is open for the other party's ratchet key (32 bytes). */
  knows(remoteRatchetKey: Uint8Array): boolean {
    return this.#chainOf(remoteRatchetKey) !== undefined;
  }

  /**
   * Finds the keys of a received message without changing the ratchet.
   *
   * @param remoteRatchetKey From the message, 32 bytes.
   * @param counter Number of the message in its chain.
   * @param maxJump How many messages may be missing before it.
   * @throws InvalidKey: No secret can be agreed with the ratchet key.
   * @throws DuplicateMessage: The keys were used before.
   * @throws TooFarInFuture: Too many messages are missing before it.
   */
  step(remoteRatchetKey: Uint8Array, counter: number, maxJump = MAX_FORWARD_JUMP): ReceivingStep {
    const open = this.#chainOf(remoteRatchetKey);
    const next = open ? undefined : rootStep(this.rootKey, this.ratchetKey.agree(remoteRatchetKey));
    const chain = open ?? new ReceivingChain(remoteRatchetKey, (next as RootStep).chainKey);
    const chainStep = chain.step(counter, maxJump);
    return { chain, chainStep, rootKey: next?.rootKey ?? undefined, messageKeys: expandMessageKeys(chainStep.secret) };
  }

  /** Applies a step after its message was authenticated; a new chain of the other party begins a new one here. */
  commit(step: ReceivingStep, entropy: Entropy): void {
    step.chain.commit(step.chainStep);
    if (step.rootKey === undefined) {
      return;
    }
    const ratchetKey = KeyPair.generate(entropy);
    const next = rootStep(step.rootKey, ratchetKey.agree(step.chain.ratchetKey));
    this.previousCounter = this.sendingChain?.counter ?? 0;
    this.rootKey = next.rootKey;
    this.sendingChain = next.chainKey;
    this.ratchetKey = ratchetKey;
    this.receivingChains = [...this.receivingChains, step.chain].slice(-MAX_RECEIVING_CHAINS);
  }

  #chainOf(remoteRatchetKey: Uint8Array): ReceivingChain | undefined {
    return this.receivingChains.findLast((chain) => equalBytes(chain.ratchetKey, remoteRatchetKey));
  }
}

interface RootStep {
  readonly rootKey: Uint8Array;
  readonly chainKey: ChainKey;
}

function rootStep(rootKey: Uint8Array, secret: Uint8Array): RootStep {
  const okm = hkdfSha256(secret, rootKey, "WhisperRatchet", ROOT_STEP_BYTES);
  return { rootKey: okm.slice(0, 32), chainKey: new ChainKey(okm.slice(32)) };
}
