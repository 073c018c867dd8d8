/** Keys and signatures beyond the vectors: every length, every flipped bit, and the same key in two forms. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { isSameKey } from "../../src/protocol/curveKeys.js";
import { encapsulationKeyOf, isEncapsulationKey, verifyKemPrekey } from "../../src/protocol/kemKeys.js";
import { concat, randomBytes, X25519Key } from "../../src/protocol/primitives.js";
import { KEM_PUBLIC_KEY_BYTES } from "../../src/protocol/sizes.js";
import { NONCE_BYTES, signXeddsa, verifyXeddsa } from "../../src/protocol/xeddsaKeys.js";
import { KeyPair } from "../../src/signal/index.js";
import { KemKeys } from "../../src/signal/kem.js";

const MESSAGE = new Uint8Array(Buffer.from("a message"));

function withTopBit(publicKey: Uint8Array): Uint8Array {
  return publicKey.map((byte, at) => (at === 31 ? byte | 0x80 : byte));
}

describe("XEdDSA", () => {
  test("signatures of random keys verify, and both signs of the Edwards key come up", () => {
    const signs = new Set<number>();
    for (let round = 0; round < 30; round += 1) {
      const privateKey = randomBytes(32);
      const signature = signXeddsa(privateKey, MESSAGE, randomBytes(NONCE_BYTES));
      signs.add((signature[63] ?? 0) & 0x80);
      assert(verifyXeddsa(new X25519Key(privateKey).publicKey, MESSAGE, signature));
    }
    assert.equal(signs.size, 2);
  });

  test("no bit of key, message or signature may change, but for the key's top bit (KEY-04)", () => {
    const privateKey = new Uint8Array(32).fill(3);
    const { publicKey } = new X25519Key(privateKey);
    const parts = [publicKey, MESSAGE, signXeddsa(privateKey, MESSAGE, new Uint8Array(NONCE_BYTES))] as const;
    const whole = concat(...parts);
    for (let at = 0; at < whole.length; at += 1) {
      const altered = whole.map((byte, index) => (index === at ? byte ^ (1 << (at % 7)) : byte));
      const [key, message, signature] = [altered.slice(0, 32), altered.slice(32, -64), altered.slice(-64)];
      assert.equal(verifyXeddsa(key, message, signature), false, `byte ${at}`);
    }
    assert(verifyXeddsa(withTopBit(publicKey), parts[1], parts[2]));
  });

  test("wrong lengths are a bug of the caller", () => {
    assert.throws(() => signXeddsa(new Uint8Array(31), MESSAGE, new Uint8Array(64)), RangeError);
    assert.throws(() => signXeddsa(new Uint8Array(32), MESSAGE, new Uint8Array(63)), RangeError);
    assert.throws(() => verifyXeddsa(new Uint8Array(33), MESSAGE, new Uint8Array(64)), RangeError);
    assert.throws(() => verifyXeddsa(new Uint8Array(32), MESSAGE, new Uint8Array(65)), RangeError);
  });
});

describe("Curve25519 keys", () => {
  test("two that differ in the top bit are the same (KEY-04)", () => {
    const { publicKey } = new X25519Key(new Uint8Array(32).fill(5));
    assert(isSameKey(publicKey, withTopBit(publicKey)));
    assert.equal(isSameKey(publicKey, new X25519Key(new Uint8Array(32).fill(6)).publicKey), false);
    assert.equal(isSameKey(new Uint8Array(), new Uint8Array()), false);
  });
});

describe("KEM prekeys (KEY-15)", () => {
  const identity = KeyPair.fromPrivate(new Uint8Array(32).fill(9));

  test("they are made from seeds, signed and numbered", () => {
    const keys = new KemKeys();
    const made = [...keys.generateOneTime(2, identity, randomBytes), keys.publishableLastResort(identity, randomBytes)];
    assert.deepEqual(
      made.map((key) => key.keyId),
      [1, 2, 3],
    );
    for (const { publicKey, signature } of made) {
      assert(isEncapsulationKey(publicKey) && verifyKemPrekey(identity.publicKey, publicKey, signature));
    }
    assert.deepEqual(keys.publishableLastResort(identity, randomBytes).publicKey, made[2]?.publicKey);
    assert(keys.holds(3, [1, 2]) && !keys.holds(3, [4]) && !keys.holds(2, []) && !keys.holds(undefined, []));
    keys.keepOneTime([2, 77]);
    assert.deepEqual([...keys.oneTime.keys()], [2]);
    assert.equal(keys.renewLastResort(randomBytes).keyId, 4);
    assert.throws(() => keys.generateOneTime(0, identity, randomBytes), RangeError);
  });

  test("a key of another length, or that is not reduced, is none", () => {
    const publicKey = encapsulationKeyOf(new Uint8Array(64));
    assert.equal(publicKey.length, KEM_PUBLIC_KEY_BYTES);
    assert(isEncapsulationKey(publicKey));
    assert.equal(isEncapsulationKey(publicKey.slice(1)), false);
    for (const at of [0, 1_533]) {
      const unreduced = new Uint8Array(publicKey);
      unreduced.set([0xff, 0xff, 0xff], at);
      assert.equal(isEncapsulationKey(unreduced), false);
    }
  });
});
