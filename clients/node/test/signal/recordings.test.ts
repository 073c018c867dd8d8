/** Conversations that were recorded with libsignal's port to JavaScript: theirs are read, ours come out byte for byte. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ChainKey, expandMessageKeys } from "../../src/signal/chain.js";
import { CiphertextType, DuplicateMessage, SignalState } from "../../src/signal/index.js";
import { bytes, Facts, number } from "../vectors/facts.js";

const FOLDER = new URL("../../../../../tests/data/signal/", import.meta.url);

function replay(name: string): void {
  const recording = new Facts(JSON.parse(readFileSync(fileURLToPath(new URL(name, FOLDER)), "utf8")));
  const seed = recording.number("seed");
  let requests = 0;
  const state = SignalState.generate(recording.number("registration_id"), (length) => {
    requests += 1;
    const hash = createHash("shake256", { outputLength: length }).update(`${seed}/${requests}`);
    return new Uint8Array(hash.digest());
  });
  let decrypted = 0;
  for (const step of recording.list("script")) {
    const action = step.text("do");
    if (action === "process_bundle") {
      processBundle(state, step.facts("bundle"));
    } else if (action === "generate_one_time_prekeys") {
      state.generateOneTimePrekeys(step.number("count"));
    } else {
      const [type, body] = [step.text("type"), step.bytes("body")];
      assert(type === CiphertextType.PREKEY || type === CiphertextType.DOUBLE_RATCHET);
      if (action === "encrypt") {
        assert.deepEqual(state.encrypt("peer", step.bytes("plaintext")), { type, body });
      } else {
        assert.deepEqual(state.decrypt("peer", type, body), step.bytes("plaintext"));
        assert.throws(() => state.decrypt("peer", type, body), DuplicateMessage);
        decrypted += 1;
      }
    }
  }
  assert(decrypted >= 5);
}

function processBundle(state: SignalState, bundle: Facts): void {
  const oneTime = bundle.optional("one_time_prekey", bytes);
  state.processBundle("peer", {
    registrationId: bundle.number("registration_id"),
    deviceId: bundle.number("device_id"),
    identityKey: bundle.bytes("identity_key"),
    signedPrekey: {
      keyId: bundle.number("signed_prekey_id"),
      publicKey: bundle.bytes("signed_prekey"),
      signature: bundle.bytes("signed_prekey_signature"),
    },
    oneTimePrekey: oneTime && { keyId: bundle.optional("one_time_prekey_id", number) ?? 0, publicKey: oneTime },
    kemWithdrawn: false,
  });
}

describe("what others published or sent", () => {
  test("the port as the initiator", () => replay("libsignal_node_as_initiator.json"));
  test("the port as the responder", () => replay("libsignal_node_as_responder.json"));

  test("a chain derives the keys of libsignal's ChainKeyTest", () => {
    const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));
    const chainKey = new ChainKey(hex("8ab72d6f4cc5ac0d387eaf463378ddb28edd07385b1cb01250c715982e7ad48f"));
    const keys = expandMessageKeys(chainKey.messageSecret());
    assert.deepEqual(keys.cipherKey, hex("bf51e9d75e0e31031051f82a2491ffc084fa298b7793bd9db620056febf45217"));
    assert.deepEqual(keys.macKey, hex("c6c77d6a73a354337a56435e34607dfe48e3ace14e77314dc6abc172e7a7030b"));
    const next = chainKey.next();
    assert.deepEqual(next.key, hex("28e8f8fee54b801eef7c5cfb2f17f32c7b334485bbb70fac6ec10342a246d15d"));
    assert.equal(next.counter, 1);
  });
});
