/** Bytes that an attacker chose: each is refused with the right error, and no refused message changes the state. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { PreKeySignalMessageSchema, SignalMessageSchema } from "../../src/gen/interop_api/e2ee/v1/session_pb.js";
import { concat, encryptAesCbc, hmacSha256 } from "../../src/protocol/primitives.js";
import {
  BadMac,
  CiphertextType,
  DuplicateMessage,
  InvalidKey,
  InvalidKeyId,
  InvalidMessage,
  InvalidSession,
  InvalidSnapshot,
  KeyPair,
  SignalError,
  SignalState,
  TooFarInFuture,
  UntrustedIdentity,
} from "../../src/signal/index.js";
import { encodePublicKey } from "../../src/signal/keys.js";
import { MAX_MESSAGE_BYTES } from "../../src/signal/messages.js";
import { ALICE, BOB, bytesOf, Pair, seeded, takeBundle, textOf } from "./support.js";

const { DOUBLE_RATCHET, PREKEY } = CiphertextType;
const VERSION = Uint8Array.of(0x33);
const NINE = Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 9 : 0));
/** Of low order, and one that is not below the prime. */
const WEAK = [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), Uint8Array.of(0xee, ...ones(30), 0x7f)];

// Where the parts of a SignalMessage lie when its counters are under 128 and its plaintext is short.
const PARTS = { version: [0, 1], ratchetKey: [4, 36], counter: [37, 38], ciphertext: [42, 58], mac: [58, 66] } as const;

type Refusal = new (...words: never[]) => SignalError;

function ones(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xff);
}

/** Returns the error with which a message is refused; undefined when it decrypts. */
function refusal(state: SignalState, type: CiphertextType, body: Uint8Array): Refusal | undefined {
  const before = state.toBytes();
  try {
    state.decrypt(ALICE, type, body);
  } catch (error) {
    assert(error instanceof SignalError, `${error} is no SignalError`);
    assert.deepEqual(state.toBytes(), before);
    return error.constructor as Refusal;
  }
  return undefined;
}

function flipped(body: Uint8Array, at: number, bit: number): Uint8Array {
  return body.map((byte, index) => (index === at ? byte ^ (1 << bit) : byte));
}

describe("messages", () => {
  test("every flipped bit is found", () => {
    const pair = Pair.begun();
    pair.bobReads(pair.toBob("first")); // so that the session is known by the ratchet key
    const message = pair.toBob("second");
    assert.equal(message.body.length, PARTS.mac[1]);
    const errors = (part: keyof typeof PARTS) => {
      const [from, to] = PARTS[part];
      const found = new Set<Refusal | undefined>();
      for (let at = from; at < to; at += 1) {
        for (let bit = 0; bit < 8; bit += 1) {
          found.add(refusal(pair.bob, message.type, flipped(message.body, at, bit)));
        }
      }
      return found;
    };
    assert.deepEqual(errors("version"), new Set([InvalidMessage, BadMac]));
    // The key's own top bit is ignored in the agreement, but not in the choice of the chain.
    assert.deepEqual(errors("ratchetKey"), new Set([InvalidSession]));
    for (const error of errors("counter")) {
      assert([BadMac, DuplicateMessage, InvalidMessage, TooFarInFuture].some((expected) => expected === error));
    }
    assert.deepEqual(errors("ciphertext"), new Set([BadMac]));
    assert.deepEqual(errors("mac"), new Set([BadMac]));
    assert.equal(pair.bobReads(message), "second");
  });

  test("every cut message is refused", () => {
    const pair = Pair.begun();
    const { type, body } = pair.toBob();
    for (let length = 0; length < body.length; length += 1) {
      assert.notEqual(refusal(pair.bob, type, body.slice(0, length)), undefined);
    }
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const first = pair.toBob();
    for (let length = 0; length < first.body.length - 6; length += 1) {
      assert.notEqual(refusal(pair.bob, first.type, first.body.slice(0, length)), undefined);
    }
  });

  for (const version of [0x00, 0x22, 0x23, 0x32, 0x43, 0x44, 0xf3]) {
    test(`version byte 0x${version.toString(16)} is refused`, () => {
      const pair = Pair.begun();
      const body = concat(Uint8Array.of(version), pair.toBob().body.subarray(1));
      assert.equal(refusal(pair.bob, DOUBLE_RATCHET, body), InvalidMessage);
      assert.equal(refusal(pair.bob, PREKEY, body), InvalidMessage);
    });
  }

  test("the version byte of libsignal and unknown fields are accepted", () => {
    const pair = Pair.begun();
    const unknownField = Uint8Array.of(0xfa, 0x01, 0x03, ...bytesOf("new"));
    const body = sealedByAlice(pair, (covered) => concat(Uint8Array.of(0x34), covered.subarray(1), unknownField));
    assert.equal(textOf(pair.bob.decrypt(ALICE, DOUBLE_RATCHET, body)), "hello");
  });

  test("an authentic message with broken padding is refused, and its key is kept", () => {
    const pair = Pair.begun();
    const body = sealedByAlice(pair, (covered) => covered, 16);
    assert.equal(refusal(pair.bob, DOUBLE_RATCHET, body), InvalidMessage);
  });

  const forged: [string, MessageInitShape<typeof SignalMessageSchema>, Refusal][] = [
    ["no ciphertext", { ciphertext: new Uint8Array() }, InvalidMessage],
    ["half a block", { ciphertext: new Uint8Array(17) }, InvalidMessage],
    ["too many bytes", { ciphertext: new Uint8Array(MAX_MESSAGE_BYTES) }, InvalidMessage],
    ["a ratchet key of another type", { ratchetKey: new Uint8Array(33) }, InvalidKey],
    ...WEAK.map((key): [string, MessageInitShape<typeof SignalMessageSchema>, Refusal] => [
      `the weak ratchet key ${key[0]}`,
      { ratchetKey: encodePublicKey(key) },
      InvalidKey,
    ]),
    ["a counter far ahead", { counter: 0xffffffff }, TooFarInFuture],
    ["no right MAC", {}, InvalidSession],
  ];
  for (const [what, change, error] of forged) {
    test(`a forged message with ${what} is refused`, () => {
      const fields = { ratchetKey: encodePublicKey(NINE), counter: 0, ciphertext: new Uint8Array(16), ...change };
      const proto = toBinary(SignalMessageSchema, create(SignalMessageSchema, fields));
      const body = concat(VERSION, proto, new Uint8Array(8));
      assert.equal(refusal(Pair.begun().bob, DOUBLE_RATCHET, body), error);
    });
  }

  test("random bytes throw only typed errors", () => {
    const [state, random] = [Pair.begun().bob, seeded(5)];
    for (let round = 0; round < 2_000; round += 1) {
      const body = Uint8Array.from({ length: random(200) }, () => random(256));
      const versioned = round % 2 ? concat(VERSION, body) : body;
      assert.notEqual(refusal(state, random(2) ? PREKEY : DOUBLE_RATCHET, versioned), undefined);
    }
  });
});

describe("first messages", () => {
  test("every flipped bit is found, or changes neither plaintext nor identity", () => {
    const [alice, bob] = [SignalState.generate(5), SignalState.generate()];
    alice.processBundle(BOB, takeBundle(bob));
    const [{ type, body }, saved] = [alice.encrypt(BOB, bytesOf("hello")), bob.toBytes()];
    let decrypted = 0;
    for (let at = 0; at < body.length; at += 1) {
      const state = SignalState.fromBytes(saved);
      const error = refusal(state, type, flipped(body, at, at % 8));
      assert([undefined, BadMac, InvalidMessage, InvalidKey, InvalidKeyId].some((expected) => expected === error));
      if (error === undefined) {
        decrypted += 1;
        assert.deepEqual(state.trustedIdentity(ALICE), alice.identity.publicKey);
      }
    }
    assert(decrypted < 10, `${decrypted} flipped bits have no effect`);
  });

  test("each part of a forged one is refused for what is wrong with it", () => {
    const pair = Pair.begun();
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const valid = fromBinary(PreKeySignalMessageSchema, pair.toBob("hello").body.subarray(1));
    const refused = (change: Partial<typeof valid>, ...left: (keyof typeof valid)[]) => {
      const proto = { ...valid, ...change };
      for (const field of left) {
        delete proto[field];
      }
      return refusal(pair.bob, PREKEY, concat(VERSION, toBinary(PreKeySignalMessageSchema, proto)));
    };
    assert.equal(refused({}, "signedPreKeyId"), InvalidMessage);
    assert.equal(refused({ signedPreKeyId: 77 }), InvalidKeyId);
    assert.equal(refused({ preKeyId: 0 }), InvalidKeyId);
    assert.equal(refused({}, "preKeyId"), BadMac);
    assert.equal(refused({}, "baseKey"), InvalidKey);
    assert.equal(refused({}, "identityKey"), InvalidKey);
    assert.equal(refused({}, "message"), InvalidMessage);
    for (const weak of WEAK) {
      assert.equal(refused({ baseKey: encodePublicKey(weak) }), InvalidKey);
      assert.equal(refused({ identityKey: encodePublicKey(weak) }), InvalidKey);
    }
    assert.equal(refused({ identityKey: encodePublicKey(KeyPair.generate(ones).publicKey) }), UntrustedIdentity);
    assert.equal(refused({}, "registrationId"), undefined);
  });

  test("prekey ids around a known session delete nothing", () => {
    const pair = new Pair(SignalState.generate(), SignalState.generate());
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    const [first, second] = [pair.toBob("first"), pair.toBob("second")];
    pair.bobReads(first);
    const [unused] = pair.bob.generateOneTimePrekeys(1);
    assert(unused !== undefined);
    const proto = fromBinary(PreKeySignalMessageSchema, second.body.subarray(1));
    assert.notEqual(proto.preKeyId, unused.keyId);
    proto.preKeyId = unused.keyId;
    const body = concat(VERSION, toBinary(PreKeySignalMessageSchema, proto));
    assert.equal(pair.bobReads({ type: PREKEY, body }), "second");
    assert.deepEqual(pair.bob.unusedOneTimePrekeys(), [unused]);
  });
});

describe("saved states", () => {
  const saved = textOf(SignalState.generate(9).toBytes());
  const damaged: [string, string][] = [
    ["nothing", ""],
    ["a list", "[]"],
    ["no fields", "{}"],
    ["a version alone", '{"version":2}'],
    ["another version", saved.replace('"version":2', '"version":3')],
    ["a cut one", saved.slice(0, -1)],
    ["a record that is a list", saved.replace('"records":{}', '"records":{"x":[]}')],
    ["an identity that is too long", saved.replace('"identity":"', '"identity":"AAAA')],
    ["a key that is no base64", saved.replace('"identity":"', '"identity":"?')],
    ["a number that is none", saved.replace('"registration_id":9', '"registration_id":"9"')],
    ["no signed prekey", saved.replace(/"signed_prekeys":\[\[.*?\]\]/, '"signed_prekeys":[]')],
  ];
  for (const [what, text] of damaged) {
    test(`${what} is refused`, () => {
      assert.notEqual(text, saved);
      assert.throws(() => SignalState.fromBytes(bytesOf(text)), InvalidSnapshot);
    });
  }

  test("a restored state is the same state, with messages missing and a session pending", () => {
    let pair = Pair.begun();
    for (let turn = 0; turn < 6; turn += 1) {
      pair = pair.restored();
      const [skipped, message] = [pair.toBob("skipped"), pair.toBob(`${turn}`)];
      const before = pair.bob.toBytes();
      pair = pair.restored();
      assert.deepEqual(pair.bob.toBytes(), before);
      assert.equal(pair.bobReads(message), `${turn}`);
      pair = pair.restored();
      assert.equal(pair.bobReads(skipped), "skipped");
      pair.aliceReads(pair.toAlice());
    }
    pair.alice.processBundle(BOB, takeBundle(pair.bob));
    pair = pair.restored();
    const pending = pair.toBob("pending");
    assert.equal(pending.type, PREKEY);
    assert.equal(pair.bobReads(pending), "pending");
  });
});

/** A message with a right MAC over bytes that our own encoder would not write. */
function sealedByAlice(pair: Pair, alter: (covered: Uint8Array) => Uint8Array, padding = 0): Uint8Array {
  const step = pair.alice.records.get(BOB)?.current.ratchet.send();
  assert(step !== undefined);
  const { cipherKey, macKey, iv } = step.messageKeys;
  // Cut after the first block of two, whose last byte is then no padding.
  const encrypted = encryptAesCbc(
    cipherKey,
    iv,
    padding ? concat(bytesOf("hello"), new Uint8Array(padding)) : bytesOf("hello"),
  );
  const proto = create(SignalMessageSchema, {
    ratchetKey: encodePublicKey(step.ratchetKey),
    counter: step.counter,
    previousCounter: step.previousCounter,
    ciphertext: encrypted.subarray(0, 16),
  });
  const covered = alter(concat(VERSION, toBinary(SignalMessageSchema, proto)));
  const identities = [pair.alice.identity.publicKey, pair.bob.identity.publicKey].map(encodePublicKey);
  return concat(covered, hmacSha256(macKey, ...identities, covered).subarray(0, 8));
}
