/** Sessions with Signal's own library, in both roles: 0.72.1, the last on npm that still speaks session version 3. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { type Ciphertext, CiphertextType, DuplicateMessage, SignalState } from "../../src/signal/index.js";
import { LibsignalDevice } from "./libsignalDevice.js";
import { bytesOf, seeded, shuffle, takeBundle, textOf } from "./support.js";

const PEER = "peer";
/** What libsignal writes for session version 3: it knows version 4 itself. */
const VERSION_BYTE = 0x34;

for (const withOneTimePrekey of [true, false]) {
  describe(`with libsignal, ${withOneTimePrekey ? "with" : "without"} a one-time prekey`, () => {
    test("we begin", async () => {
      const [ours, their] = [SignalState.generate(), new LibsignalDevice(4711)];
      ours.processBundle(PEER, await their.takeBundle({ withOneTimePrekey }));
      for (const text of ["first", "second"]) {
        const message = ours.encrypt(PEER, bytesOf(text));
        assert.equal(message.type, CiphertextType.PREKEY);
        assert.equal(textOf(await their.decrypt(message)), text);
      }
      assert.equal(their.unusedOneTimePrekeys, 0);
      assert.equal(ours.remoteRegistrationId(PEER), 4711);
      await converse(ours, their);
    });

    test("they begin", async () => {
      const [ours, their] = [SignalState.generate(4712), new LibsignalDevice(4711)];
      await their.processBundle(takeBundle(ours, { withOneTimePrekey }));
      for (const text of ["first", "second"]) {
        const message = await their.encrypt(bytesOf(text));
        assert.equal(message.type, CiphertextType.PREKEY);
        assert.equal(message.body[0], VERSION_BYTE);
        assert.equal(textOf(ours.decrypt(PEER, message.type, message.body)), text);
      }
      assert.deepEqual(ours.unusedOneTimePrekeys(), []);
      assert.equal(ours.remoteRegistrationId(PEER), 4711);
      await converse(ours, their);
    });
  });
}

describe("with libsignal", () => {
  test("first messages that cross open two sessions, and both sides come to agree", async () => {
    const [ours, their] = [SignalState.generate(), new LibsignalDevice(4711)];
    ours.processBundle(PEER, await their.takeBundle());
    await their.processBundle(takeBundle(ours));
    const [toThem, toUs] = [ours.encrypt(PEER, bytesOf("a")), await their.encrypt(bytesOf("b"))];
    assert.equal(textOf(ours.decrypt(PEER, toUs.type, toUs.body)), "b");
    assert.equal(textOf(await their.decrypt(toThem)), "a");
    await converse(ours, their);
  });

  test("an altered message is refused by either, and the right one is read after it", async () => {
    const [fresh, their] = [SignalState.generate(), new LibsignalDevice(4711)];
    fresh.processBundle(PEER, await their.takeBundle());
    assert.equal(textOf(await their.decrypt(fresh.encrypt(PEER, bytesOf("first")))), "first");
    const ours = await converse(fresh, their);
    const [toThem, toUs] = [ours.encrypt(PEER, bytesOf("right")), await their.encrypt(bytesOf("right"))];
    await assert.rejects(their.decrypt({ ...toThem, body: flipped(toThem.body) }));
    assert.throws(() => ours.decrypt(PEER, toUs.type, flipped(toUs.body)));
    assert.equal(textOf(await their.decrypt(toThem)), "right");
    assert.equal(textOf(ours.decrypt(PEER, toUs.type, toUs.body)), "right");
  });
});

/** Both sides write several messages in turn, which arrive in another order; ours restarts between the turns. Returns our state. */
async function converse(ours: SignalState, their: LibsignalDevice): Promise<SignalState> {
  const random = seeded(7);
  let state = ours;
  for (let turn = 0; turn < 8; turn += 1) {
    const toThem = Array.from({ length: 6 }, (_, number) => {
      const text = `to them ${turn} ${number}`;
      return { text, message: state.encrypt(PEER, bytesOf(text)) };
    });
    for (const { text, message } of shuffle(toThem, random)) {
      assert.equal(textOf(await their.decrypt(message)), text);
    }
    const toUs: { text: string; message: Ciphertext }[] = [];
    for (let number = 0; number < 6; number += 1) {
      const text = `to us ${turn} ${number}`;
      toUs.push({ text, message: await their.encrypt(bytesOf(text)) });
    }
    for (const { text, message } of shuffle(toUs, random)) {
      assert.equal(message.type, CiphertextType.DOUBLE_RATCHET);
      assert.equal(message.body[0], VERSION_BYTE);
      assert.equal(textOf(state.decrypt(PEER, message.type, message.body)), text);
      assert.throws(() => state.decrypt(PEER, message.type, message.body), DuplicateMessage);
    }
    state = SignalState.fromBytes(state.toBytes());
  }
  return state;
}

function flipped(body: Uint8Array): Uint8Array {
  return body.map((byte, at) => (at === body.length - 1 ? byte ^ 1 : byte));
}
