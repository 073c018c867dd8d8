/** Two parties, and the server's part between them: handing out prekey bundles. */

import assert from "node:assert/strict";

import { type Ciphertext, type PreKeyBundle, SignalState } from "../../src/signal/index.js";

export const ALICE = "12-10000000000001@interop";
export const BOB = "491511234567@s.whatsapp.net";

/** Returns a bundle of a party, as the server gives it out. */
export function takeBundle(state: SignalState, { withOneTimePrekey = true } = {}): PreKeyBundle {
  return {
    ...state.publishable,
    deviceId: 0,
    oneTimePrekey: withOneTimePrekey ? state.generateOneTimePrekeys(1)[0] : undefined,
    kemWithdrawn: false,
  };
}

/** Alice and Bob, with a session in which both have spoken. */
export class Pair {
  constructor(
    readonly alice: SignalState,
    readonly bob: SignalState,
  ) {}

  static begun(): Pair {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    assert.equal(pair.bobReads(pair.toBob("hello")), "hello");
    assert.equal(pair.aliceReads(pair.toAlice("hello yourself")), "hello yourself");
    return pair;
  }

  /** Both as they are after a restart. */
  restored(): Pair {
    return new Pair(SignalState.fromBytes(this.alice.toBytes()), SignalState.fromBytes(this.bob.toBytes()));
  }

  toBob(text = "to bob"): Ciphertext {
    return this.alice.encrypt(BOB, bytesOf(text));
  }

  toAlice(text = "to alice"): Ciphertext {
    return this.bob.encrypt(ALICE, bytesOf(text));
  }

  bobReads(message: Ciphertext): string {
    return textOf(this.bob.decrypt(ALICE, message.type, message.body));
  }

  aliceReads(message: Ciphertext): string {
    return textOf(this.alice.decrypt(BOB, message.type, message.body));
  }

  /** Both speak in turn, which gives each a new chain each time. */
  takeTurns(count: number): void {
    for (let turn = 0; turn < count; turn += 1) {
      assert.equal(this.aliceReads(this.toAlice("tick")), "tick");
      assert.equal(this.bobReads(this.toBob("tock")), "tock");
    }
  }

  /** Uses up the keys of so many messages to Bob, which never come. */
  lose(count: number): void {
    const ratchet = this.alice.records.get(BOB)?.current.ratchet;
    assert(ratchet !== undefined);
    for (let number = 0; number < count; number += 1) {
      ratchet.sendingChain = ratchet.sendingChain?.next();
    }
  }

  /** How many secrets of missing messages Bob keeps. */
  skippedByBob(): number {
    const chains = this.bob.records.get(ALICE)?.current.ratchet.receivingChains ?? [];
    return chains.reduce((sum, chain) => sum + chain.skipped.size, 0);
  }
}

export function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text));
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Random numbers that are the same in each run: mulberry32. */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Puts a list into a random order. */
export function shuffle<Item>(items: readonly Item[], random: (below: number) => number): Item[] {
  const rest = [...items];
  return items.flatMap(() => rest.splice(random(rest.length), 1));
}
