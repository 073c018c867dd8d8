/** Sessions: how they begin, what order they bear, what they refuse, and how they survive loss of state. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { MAX_ONE_TIME_PREKEYS, MAX_PREKEY_ID } from "../../src/protocol/sizes.js";
import { MAX_FORWARD_JUMP, MAX_SKIPPED_KEYS } from "../../src/signal/chain.js";
import {
  type Ciphertext,
  CiphertextType,
  DuplicateMessage,
  InvalidKey,
  InvalidKeyId,
  InvalidSession,
  InvalidSignature,
  NoSession,
  type PreKeyBundle,
  SignalState,
  TooFarInFuture,
  UntrustedIdentity,
} from "../../src/signal/index.js";
import { decodePreKeySignalMessage } from "../../src/signal/messages.js";
import { DoubleRatchet, MAX_RECEIVING_CHAINS } from "../../src/signal/ratchet.js";
import { MAX_ARCHIVED_SESSIONS } from "../../src/signal/session.js";
import { MAX_SIGNED_PREKEYS } from "../../src/signal/store.js";
import { ALICE, BOB, bytesOf, Pair, seeded, shuffle, takeBundle, textOf } from "./support.js";

describe("the beginning of a session", () => {
  test("messages are prekey messages until the other side has answered", () => {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const [lost, second] = [pair.toBob("lost"), pair.toBob("second")];
    assert.deepEqual([lost.type, second.type], [CiphertextType.PREKEY, CiphertextType.PREKEY]);
    assert.equal(pair.bobReads(second), "second");
    const answer = pair.toAlice("answer");
    assert.equal(answer.type, CiphertextType.DOUBLE_RATCHET);
    pair.aliceReads(answer);
    assert.equal(pair.toBob().type, CiphertextType.DOUBLE_RATCHET);
    assert.equal(pair.bobReads(lost), "lost");
  });

  test("a one-time prekey is gone after the first message that uses it (KEY-05)", () => {
    const [alice, carol, bob] = [SignalState.generate(), SignalState.generate(), SignalState.generate()];
    const bundle = takeBundle(bob);
    alice.processBundle(BOB, bundle);
    carol.processBundle(BOB, bundle);
    const [first, second] = [alice.encrypt(BOB, bytesOf("first")), carol.encrypt(BOB, bytesOf("second"))];
    assert.equal(bob.unusedOneTimePrekeys().length, 1);
    bob.decrypt(ALICE, first.type, first.body);
    assert.deepEqual(bob.unusedOneTimePrekeys(), []);
    assert.throws(() => bob.decrypt("carol", second.type, second.body), InvalidKeyId);
    assert.equal(bob.hasSession("carol"), false);
    assert.equal(bob.trustedIdentity("carol"), undefined);
  });

  test("a bundle without a one-time prekey opens a session (KEY-06)", () => {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob, { withOneTimePrekey: false }));
    assert.equal(pair.bobReads(pair.toBob("hello")), "hello");
    assert.equal(pair.bob.remoteRegistrationId(ALICE), pair.alice.registrationId);
  });

  test("both sides begin at the same time, and come to agree", () => {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    pair.bob.processBundle(ALICE, takeBundle(pair.alice));
    const [crossingToBob, crossingToAlice] = [pair.toBob("a"), pair.toAlice("b")];
    assert.equal(pair.bobReads(crossingToBob), "a");
    assert.equal(pair.aliceReads(crossingToAlice), "b");
    assert.equal(pair.bobReads(pair.toBob("a2")), "a2");
    assert.equal(pair.aliceReads(pair.toAlice("b2")), "b2");
    assert.deepEqual(pair.alice.records.get(BOB)?.current.baseKey, pair.bob.records.get(ALICE)?.current.baseKey);
    pair.takeTurns(3);
    assert.equal(pair.toBob().type, CiphertextType.DOUBLE_RATCHET);
  });

  test("what is published holds no type bytes, and no registration id of 0 (KEY-02)", () => {
    assert.equal(SignalState.generate(7).publishable.registrationId, 7);
    const { registrationId, identityKey, signedPrekey } = SignalState.generate(undefined, (length) =>
      new Uint8Array(length).fill(0xff),
    ).publishable;
    assert.equal(registrationId, 1 + (0xffffffff % 0xffffffff));
    assert.deepEqual([identityKey.length, signedPrekey.publicKey.length, signedPrekey.signature.length], [32, 32, 64]);
    assert.equal(signedPrekey.keyId, 1);
  });
});

describe("the order of messages", () => {
  test("they decrypt in any order, and once", () => {
    const pair = Pair.begun();
    const sent = Array.from({ length: 20 }, (_, number) => ({ text: `${number}`, message: pair.toBob(`${number}`) }));
    const [late, ...others] = sent;
    assert(late !== undefined);
    for (const { text, message } of shuffle(others, seeded(1))) {
      assert.equal(pair.bobReads(message), text);
    }
    pair.takeTurns(2);
    assert.equal(pair.bobReads(late.message), late.text);
    for (const { message } of sent) {
      assert.throws(() => pair.bobReads(message), DuplicateMessage);
    }
  });

  test("a repeated first message is told as such", () => {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const first = pair.toBob();
    pair.bobReads(first);
    assert.throws(() => pair.bobReads(first), DuplicateMessage);
  });

  test("a message of a chain long past fits no session", () => {
    const pair = Pair.begun();
    const [late, tooLate] = [pair.toBob(), pair.toBob()];
    pair.takeTurns(MAX_RECEIVING_CHAINS - 1);
    assert.equal(pair.bobReads(late), "to bob");
    pair.takeTurns(2);
    assert.throws(() => pair.bobReads(tooLate), InvalidSession);
    assert.equal(pair.bob.records.get(ALICE)?.current.ratchet.receivingChains.length, MAX_RECEIVING_CHAINS);
  });

  for (const missing of [2_100, MAX_FORWARD_JUMP]) {
    test(`${missing} messages may be missing, of which the newest 2,000 may still come`, () => {
      const pair = Pair.begun();
      pair.lose(missing - 1);
      const [late, message] = [pair.toBob("late"), pair.toBob()];
      assert.equal(pair.bobReads(message), "to bob");
      assert.equal(pair.bobReads(late), "late");
      assert.equal(pair.skippedByBob(), MAX_SKIPPED_KEYS - 1);
      assert(pair.bob.toBytes().length < 64 * MAX_SKIPPED_KEYS);
    });
  }

  test("a message too far ahead is refused, and changes nothing", () => {
    const pair = Pair.begun();
    pair.lose(MAX_FORWARD_JUMP);
    const [last, beyond] = [pair.toBob("last"), pair.toBob("beyond")];
    const before = pair.bob.toBytes();
    assert.throws(() => pair.bobReads(beyond), TooFarInFuture);
    assert.deepEqual(pair.bob.toBytes(), before);
    assert.equal(pair.bobReads(last), "last");
    assert.equal(pair.bobReads(beyond), "beyond");
  });

  test("the keys of missing messages are bounded, and the oldest go first", () => {
    const pair = Pair.begun();
    const messages = Array.from({ length: MAX_SKIPPED_KEYS + 12 }, () => pair.toBob());
    const reads = (at: number) => pair.bobReads(messages.at(at) as Ciphertext);
    reads(MAX_SKIPPED_KEYS);
    reads(-1);
    assert.equal(pair.skippedByBob(), MAX_SKIPPED_KEYS);
    assert.throws(() => reads(9), DuplicateMessage);
    assert.equal(reads(10), "to bob");
  });
});

describe("more than one session", () => {
  test("a new session archives the one before, which still decrypts", () => {
    const pair = Pair.begun();
    const underWay = pair.toAlice("old session");
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const anew = pair.toBob("new session");
    assert.equal(anew.type, CiphertextType.PREKEY);
    assert.equal(pair.bobReads(anew), "new session");
    assert.equal(pair.aliceReads(underWay), "old session");
    assert.equal(pair.alice.records.get(BOB)?.sessions.length, 2);
    pair.takeTurns(2);
  });

  test("archived sessions are bounded", () => {
    const pair = Pair.begun();
    const underWay = pair.toAlice("old session");
    for (let number = 0; number <= MAX_ARCHIVED_SESSIONS; number += 1) {
      pair.alice.processBundle(BOB, takeBundle(pair.bob));
    }
    assert.equal(pair.alice.records.get(BOB)?.sessions.length, MAX_ARCHIVED_SESSIONS + 1);
    assert.throws(() => pair.aliceReads(underWay), InvalidSession);
  });

  test("a forged counter costs little more when there are many sessions", () => {
    const pair = Pair.begun();
    for (let number = 0; number < MAX_ARCHIVED_SESSIONS; number += 1) {
      pair.alice.processBundle(BOB, takeBundle(pair.bob));
      pair.bobReads(pair.toBob());
    }
    const stranger = new Pair(SignalState.generate(), pair.bob);
    stranger.alice.processBundle(BOB, takeBundle(pair.bob));
    stranger.lose(MAX_FORWARD_JUMP);
    const forged = decodePreKeySignalMessage(stranger.toBob().body).message.encode();
    const steps = countingSteps(pair, () =>
      assert.throws(() => pair.bob.decrypt(ALICE, CiphertextType.DOUBLE_RATCHET, forged), InvalidSession),
    );
    assert(steps > 0 && steps <= MAX_FORWARD_JUMP + 1, `${steps} steps of chains`);
  });

  test("keys of missing messages are bounded, however many sessions there are", () => {
    const pair = Pair.begun();
    const early: Ciphertext[] = [];
    for (let number = 0; number < MAX_ARCHIVED_SESSIONS; number += 1) {
      pair.alice.processBundle(BOB, takeBundle(pair.bob));
      early.push(pair.toBob("early"));
      pair.lose(MAX_SKIPPED_KEYS - 1);
      pair.bobReads(pair.toBob());
    }
    const sessions = pair.bob.records.get(ALICE)?.sessions ?? [];
    const skipped = sessions.flatMap(({ ratchet }) => ratchet.receivingChains.map((chain) => chain.skipped.size));
    assert.equal(
      skipped.reduce((sum, count) => sum + count, 0),
      2 * MAX_SKIPPED_KEYS,
    );
    assert.equal(pair.bobReads(early.at(-1) as Ciphertext), "early");
    assert.equal(pair.bobReads(early.at(-2) as Ciphertext), "early");
    assert.throws(() => pair.bobReads(early[0] as Ciphertext), DuplicateMessage);
  });

  test("a side that lost its sessions can begin again with the same identity", () => {
    const pair = Pair.begun().restored();
    pair.alice.deleteSession(BOB);
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    assert.equal(pair.bobReads(pair.toBob("again")), "again");
    pair.takeTurns(2);
  });

  test("without a session nothing is encrypted or decrypted", () => {
    const pair = Pair.begun();
    const message = pair.toBob();
    pair.bob.deleteSession(ALICE);
    pair.bob.deleteSession("stranger");
    assert.equal(pair.bob.hasSession(ALICE), false);
    for (const remote of [ALICE, "stranger"]) {
      assert.throws(() => pair.bob.encrypt(remote, new Uint8Array()), NoSession);
      assert.throws(() => pair.bob.decrypt(remote, message.type, message.body), NoSession);
    }
    assert.throws(() => DoubleRatchet.respond(new Uint8Array(32), pair.bob.identity).send(), NoSession);
    assert.deepEqual(pair.bob.trustedIdentity(ALICE), pair.alice.identity.publicKey);
  });
});

describe("identities", () => {
  test("a changed one is refused until it is accepted (KEY-17)", () => {
    const pair = Pair.begun();
    const reinstalled = SignalState.generate();
    assert.throws(
      () => pair.bob.processBundle(ALICE, takeBundle(reinstalled)),
      (error) => {
        assert(error instanceof UntrustedIdentity);
        assert.equal(error.remote, ALICE);
        assert.deepEqual(error.known, pair.alice.identity.publicKey);
        assert.deepEqual(error.presented, reinstalled.identity.publicKey);
        return true;
      },
    );
    reinstalled.processBundle(BOB, takeBundle(pair.bob));
    const { type, body } = reinstalled.encrypt(BOB, bytesOf("new phone"));
    const before = pair.bob.toBytes();
    assert.throws(() => pair.bob.decrypt(ALICE, type, body), UntrustedIdentity);
    assert.deepEqual(pair.bob.toBytes(), before);

    pair.bob.acceptIdentity(ALICE, reinstalled.identity.publicKey);
    assert.equal(pair.bob.hasSession(ALICE), false);
    assert.equal(textOf(pair.bob.decrypt(ALICE, type, body)), "new phone");
    pair.bob.acceptIdentity(ALICE, reinstalled.identity.publicKey);
    assert.equal(pair.bob.hasSession(ALICE), true);
  });

  test("what is no key is not accepted, and changes nothing", () => {
    const pair = Pair.begun();
    const before = pair.bob.toBytes();
    for (const length of [0, 31, 33]) {
      assert.throws(() => pair.bob.acceptIdentity(ALICE, new Uint8Array(length)), RangeError);
    }
    assert.deepEqual(pair.bob.toBytes(), before);
  });

  test("accepting whatever comes next pins that one", () => {
    const pair = Pair.begun();
    pair.bob.acceptIdentity(ALICE);
    assert.equal(pair.bob.trustedIdentity(ALICE), undefined);
    const reinstalled = SignalState.generate();
    pair.bob.processBundle(ALICE, takeBundle(reinstalled));
    assert.deepEqual(pair.bob.trustedIdentity(ALICE), reinstalled.identity.publicKey);
    assert.throws(() => pair.bob.processBundle(ALICE, takeBundle(pair.alice)), UntrustedIdentity);
  });
});

describe("bundles and prekeys", () => {
  const signed = takeBundle(SignalState.generate()).signedPrekey;
  const nine = Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 9 : 0));
  const broken: [string, Partial<PreKeyBundle>, new (...words: never[]) => Error][] = [
    ["a signature of zeros", { signedPrekey: { ...signed, signature: new Uint8Array(64) } }, InvalidSignature],
    ["no signature", { signedPrekey: { ...signed, signature: new Uint8Array() } }, InvalidSignature],
    ["another signed prekey", { signedPrekey: { ...signed, publicKey: nine } }, InvalidSignature],
    ["a signed prekey of 31 bytes", { signedPrekey: { ...signed, publicKey: new Uint8Array(31) } }, InvalidKey],
    ["an identity key of 33 bytes", { identityKey: new Uint8Array(33) }, InvalidKey],
    ["a one-time prekey of low order", { oneTimePrekey: { keyId: 1, publicKey: new Uint8Array(32) } }, InvalidKey],
    ["a one-time prekey of no bytes", { oneTimePrekey: { keyId: 1, publicKey: new Uint8Array() } }, InvalidKey],
    ["a one-time prekey without an id", { oneTimePrekey: { keyId: 0, publicKey: nine } }, InvalidKey],
  ];
  for (const [what, change, error] of broken) {
    test(`a bundle with ${what} is refused, and changes nothing (T5)`, () => {
      const alice = SignalState.generate();
      const before = alice.toBytes();
      const bundle = { ...takeBundle(SignalState.generate()), ...change };
      assert.throws(() => alice.processBundle(BOB, bundle), error);
      assert.deepEqual(alice.toBytes(), before);
    });
  }

  test("a rotated signed prekey serves until a bound (KEY-11)", () => {
    const [bob, inTime, tooLate] = [SignalState.generate(), SignalState.generate(), SignalState.generate()];
    inTime.processBundle(BOB, takeBundle(bob));
    tooLate.processBundle(BOB, takeBundle(bob));
    for (let expected = 2; expected <= MAX_SIGNED_PREKEYS; expected += 1) {
      assert.equal(bob.rotateSignedPrekey().keyId, expected);
    }
    assert.equal(bob.publishable.signedPrekey.keyId, MAX_SIGNED_PREKEYS);
    const first = inTime.encrypt(BOB, bytesOf("in time"));
    assert.equal(textOf(bob.decrypt("in time", first.type, first.body)), "in time");
    bob.rotateSignedPrekey();
    const second = tooLate.encrypt(BOB, bytesOf("too late"));
    assert.throws(() => bob.decrypt("too late", second.type, second.body), /signed prekey 1 is not held/);
  });

  test("an offered signed prekey opens messages before the server has confirmed it", () => {
    const bob = SignalState.generate();
    const offered = bob.offerSignedPrekey();
    assert.deepEqual(bob.offerSignedPrekey(), offered);
    assert.equal(bob.publishable.signedPrekey.keyId, 1);
    const pair = new Pair(SignalState.generate(), bob);
    pair.alice.processBundle(BOB, { ...takeBundle(bob), signedPrekey: offered });
    assert.equal(pair.bobReads(pair.toBob("early")), "early");
  });

  test("ids begin again after the last, and pass over those in use (KEY-02)", () => {
    const state = SignalState.generate();
    const idsOf = (prekeys: readonly { keyId: number }[]) => prekeys.map((prekey) => prekey.keyId);
    assert.deepEqual(idsOf(state.generateOneTimePrekeys(2)), [1, 2]);
    state.nextOneTimePrekeyId = MAX_PREKEY_ID;
    assert.deepEqual(idsOf(state.generateOneTimePrekeys(2)), [MAX_PREKEY_ID, 3]);
    assert.deepEqual(idsOf(state.unusedOneTimePrekeys()), [1, 2, MAX_PREKEY_ID, 3]);
    for (const count of [0, 1.5, MAX_ONE_TIME_PREKEYS + 1]) {
      assert.throws(() => state.generateOneTimePrekeys(count), RangeError);
    }
  });

  test("one-time prekeys are offered until they are confirmed, and kept for a while once they retire", () => {
    const state = SignalState.generate();
    const offered = state.offerOneTimePrekeys(3);
    assert.deepEqual(state.offerOneTimePrekeys(3), offered);
    state.confirmOneTimePrekeys(offered.slice(0, 1));
    assert.deepEqual(state.offerOneTimePrekeys(3).slice(0, 2), offered.slice(1));
    state.replaceOneTimePrekeys(offered.slice(2), []);
    assert.deepEqual(state.retiredOneTimePrekeys, [1, 2, 4]);
    state.withdrawOneTimePrekeys();
    state.replaceOneTimePrekeys(state.offerOneTimePrekeys(200), []);
    assert.deepEqual(state.retiredOneTimePrekeys, [1, 2, 4, 3]);
    state.replaceOneTimePrekeys(state.offerOneTimePrekeys(1), []);
    assert.equal(state.retiredOneTimePrekeys.length, 200);
    assert.equal(state.oneTimePrekeys.size, 201);
    assert.equal(state.oneTimePrekeys.has(3), false);
  });
});

/** Counts how often Bob's chains go on while something is done. */
function countingSteps(pair: Pair, work: () => void): number {
  const [chain] = pair.bob.records.get(ALICE)?.current.ratchet.receivingChains ?? [];
  assert(chain !== undefined);
  const prototype: { next: () => unknown } = Object.getPrototypeOf(chain.chainKey);
  const advance = prototype.next;
  let steps = 0;
  prototype.next = function next(this: unknown): unknown {
    steps += 1;
    return advance.call(this);
  };
  try {
    work();
  } finally {
    prototype.next = advance;
  }
  return steps;
}
