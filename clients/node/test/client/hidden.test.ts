/** What shows a secret to whoever prints an object: nothing does, however deep one looks. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { create } from "@bufbuild/protobuf";

import { MessageSchema } from "../../src/gen/interop_api/e2ee/v1/content_pb.js";
import { MessageSchema as StanzaMessageSchema } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { ClientState, type MediaReference, MediaType, MemoryStore, ThirdPartyClient } from "../../src/index.js";
import { mediaContent, messageEvent } from "../../src/messaging/contents.js";
import { evidenceOf, incomingOf } from "../../src/messaging/deliveries.js";
import { CiphertextType, encodeMessage } from "../../src/signal/index.js";

const SHOWN_BYTES = 6;

/** Fails where an object, as it is printed, shows the beginning of one of these secrets. */
function assertHides(shown: unknown, secrets: readonly Uint8Array[]): void {
  const text = inspect(shown, { depth: Number.POSITIVE_INFINITY, maxArrayLength: null }).replace(/\s/gu, "");
  for (const secret of secrets) {
    assert.ok(secret.length >= SHOWN_BYTES);
    const start = secret.subarray(0, SHOWN_BYTES);
    for (const form of [start.join(","), Buffer.from(start).toString("hex")]) {
      assert.ok(!text.includes(form), `${form} is shown`);
    }
  }
}

test("a client, its state and its sessions show no key and no plaintext", () => {
  const [state, peer] = [ClientState.generate("1-1@interop"), ClientState.generate("2-1@interop")];
  const { signal } = state;
  signal.generateOneTimePrekeys(3);
  signal.generateKemPrekeys(1);
  signal.kemLastResort();
  signal.offerSignedPrekey();
  const [oneTimePrekey] = peer.signal.generateOneTimePrekeys(1);
  const bundle = { ...peer.signal.publishable, deviceId: 0, oneTimePrekey, kemWithdrawn: false };
  signal.processBundle(peer.jid, bundle);
  const plaintext = encodeMessage(create(MessageSchema, { conversation: "said between two" }));
  const [, second] = [signal.encrypt(peer.jid, plaintext), signal.encrypt(peer.jid, plaintext)];
  peer.signal.decrypt(state.jid, second.type, second.body);
  const answer = peer.signal.encrypt(state.jid, plaintext);
  peer.signal.encrypt(state.jid, plaintext);
  assert.equal(answer.type, CiphertextType.DOUBLE_RATCHET);
  signal.decrypt(peer.jid, answer.type, answer.body);
  state.deliveries.keepOpened("key", plaintext);
  state.deliveries.wait("name", { messageId: "1", timestampMs: 1, plaintext, isProved: false });

  for (const each of [state, peer]) {
    const sessions = [...each.signal.records.values()].flatMap((record) => record.sessions);
    const chains = sessions.flatMap(({ ratchet }) => ratchet.receivingChains);
    const secrets = [
      each.authPrivateKey,
      each.signal.identity.privateKey,
      ...[...each.signal.signedPrekeys.values()].map((key) => key.keyPair.privateKey),
      each.signal.offeredSignedPrekey?.keyPair.privateKey ?? [],
      ...each.signal.oneTimePrekeys.values(),
      ...each.signal.kem.oneTime.values(),
      each.signal.kem.lastResort?.seed ?? [],
      ...sessions.map(({ ratchet }) => ratchet.rootKey),
      ...sessions.map(({ ratchet }) => ratchet.ratchetKey.privateKey),
      ...sessions.flatMap(({ ratchet }) => ratchet.sendingChain?.key ?? []),
      ...chains.map((chain) => chain.chainKey.key),
      ...chains.flatMap((chain) => [...chain.skipped.values()]),
      ...each.deliveries.opened.values(),
    ].filter((secret) => secret instanceof Uint8Array);
    const store = new MemoryStore();
    store.snapshot = each.authPrivateKey;
    const server = { grpc: "127.0.0.1:1", http: "", ca: "", rootPublicKey: new Uint8Array(32) };
    const client = ThirdPartyClient.direct(server, each, () => Promise.resolve("token"), store);
    for (const shown of [client, each, each.signal, each.deliveries]) {
      assertHides(shown, secrets);
    }
  }
});

test("an event shows neither the key of a file nor what proves the message", () => {
  const secret = (byte: number) => new Uint8Array(32).fill(byte);
  const reference: MediaReference = {
    mediaType: MediaType.DOCUMENT,
    directPath: "/v/t1",
    mediaKey: secret(201),
    encrypted: { plaintextSha256: secret(1), plaintextLength: 1, ciphertextSha256: secret(2) },
    mimetype: "",
    name: "",
  };
  const evidence = evidenceOf(secret(202), secret(203));
  const event = messageEvent(
    mediaContent(reference),
    incomingOf(create(StanzaMessageSchema, { id: "1" }), false, evidence),
  );
  assert.equal(event.kind, "MediaReceived");
  assertHides(event, [secret(201), secret(202), secret(203)]);
  assert.match(inspect(event), /directPath: '\/v\/t1'/u);
});
