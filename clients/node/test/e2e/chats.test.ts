/** Node with Node over a real simulator, in both roles, directly and by proxy. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { InboxMode } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { mediaHost, ServerRefusal, type ThirdPartyClient, type WhatsAppClient } from "../../src/index.js";
import { WAYS, World } from "./world.js";

let world: World;
before(async () => {
  world = await World.open();
});
after(() => world[Symbol.asyncDispose]());

for (const way of WAYS) {
  describe(`a chat, ${way}`, () => {
    let bob: ThirdPartyClient;
    let alice: WhatsAppClient;
    before(async () => {
      bob = await world.thirdParty(way);
      alice = await world.whatsApp();
    });

    test("each reads what the other writes, and learns that it was read", async () => {
      for (let turn = 0; turn < 5; turn += 1) {
        const sent = await bob.sendText(alice.jid, `Grüße ${turn} 👋`);
        const received = await alice.waitFor("TextReceived");
        assert.deepEqual([received.text, received.id, received.sender], [`Grüße ${turn} 👋`, sent.id, bob.jid]);
        assert.ok(received.evidence, "its reporting token is right");
        assert.equal(received.timestampMs, sent.timestampMs);
        assert.deepEqual((await bob.waitFor("ReceiptReceived")).messageIds, [sent.id]);
        await alice.markRead(received);
        assert.equal((await bob.waitFor("ReceiptReceived")).isRead, true);

        await alice.sendText(bob.jid, "and back", received);
        const answer = await bob.waitFor("TextReceived");
        assert.deepEqual([answer.text, answer.replyTo], ["and back", sent.id]);
        await alice.waitFor("ReceiptReceived");
      }
    });

    test("reactions, edits, deletions and typing come as what they are", async () => {
      const sent = await bob.sendText(alice.jid, "with a mistaek");
      await alice.waitFor("TextReceived");
      await bob.sendEdit(alice.jid, sent.id, "with a mistake");
      const edit = await alice.waitFor("EditReceived");
      assert.deepEqual([edit.targetId, edit.text], [sent.id, "with a mistake"]);
      await alice.sendReaction(bob.jid, sent.id, "👍");
      assert.deepEqual([(await bob.waitFor("ReactionReceived")).emoji], ["👍"]);
      await bob.sendDeletion(alice.jid, sent.id);
      assert.equal((await alice.waitFor("DeletionReceived")).targetId, sent.id);
      await bob.sendTyping(alice.jid);
      assert.equal((await alice.waitFor("Typing")).state, "COMPOSING");
    });

    test("files come as they were, both ways", async () => {
      const [picture, copy] = [join(world.folder, "picture.png"), join(world.folder, "copy")];
      await writeFile(picture, randomBytes(1_200_001));
      const host = mediaHost(world.messenger.mediaUrl);
      await bob.sendImage(alice.jid, picture, host, { caption: "A cat" });
      const seen = await alice.waitFor("MediaReceived");
      await alice.download(seen.media, copy);
      assert.deepEqual(await readFile(copy), await readFile(picture));
      assert.equal(seen.media.name, "A cat");

      const shares: number[] = [];
      await alice.sendDocument(bob.jid, picture, "image/png", (sent, total) => shares.push(sent / total));
      const { media } = await bob.waitFor("MediaReceived");
      // Blobs do not go through a proxy.
      await bob.download(media, copy, way === "direct" ? "" : world.endpoint.http);
      assert.deepEqual(await readFile(copy), await readFile(picture));
      assert.deepEqual([media.name, media.mimetype, shares.at(-1)], ["picture.png", "image/png", 1]);
    });

    test("blocking, reports and lookups", async () => {
      await alice.block(bob.jid);
      assert.deepEqual(await alice.getBlocklist(), [bob.jid]);
      await assert.rejects(alice.sendText(bob.jid, "?"), { name: "ServerRefusal" });
      await alice.unblock(bob.jid);
      assert.deepEqual(await alice.getBlocklist(), []);
      await bob.sendText(alice.jid, "Buy this");
      const spam = await alice.waitFor("TextReceived");
      assert.ok(await alice.report(bob.jid, [spam], true));
      assert.equal(await bob.resolve(`+${alice.jid.split("@")[0]}`), alice.jid);
    });

    test("what waited comes in order, and prekeys are kept up", async () => {
      await bob.close();
      const texts = ["one", "two", "three"];
      for (const text of texts) {
        await alice.sendText(bob.jid, text);
      }
      await bob.connect();
      await bob.waitFor((event) => event.kind === "OfflinePreview" && event.messages === texts.length);
      const seen = [];
      for (const _ of texts) {
        seen.push((await bob.waitFor("TextReceived")).text);
      }
      assert.deepEqual(seen, texts);
      assert.ok(await bob.hasIntactPrekeys());
      await bob.rotateSignedPrekey();
      assert.ok(await bob.hasIntactPrekeys());
      const before = await bob.countPrekeys();
      await bob.addPrekeys(5);
      assert.equal(await bob.countPrekeys(), before + 5);
    });

    test("the account is deleted, and its connection ends", async () => {
      await bob.deleteAccount();
      assert.ok((await bob.waitFor("ConnectionLost")).reason);
      await assert.rejects(alice.sendText(bob.jid, "Are you there?"), { name: "ServerRefusal" });
    });
  });
}

test("a WhatsApp user chooses, and what they choose holds", async () => {
  const alice = await world.whatsApp(false);
  const bob = await world.thirdParty();
  const { integrator } = world.messenger;
  assert.deepEqual(
    (await alice.listPartners()).filter((each) => each.optedIn).map((each) => each.integrator),
    [],
  );
  await assert.rejects(alice.optIn([integrator]), { reason: "TERMS_NOT_ACCEPTED" });
  await bob.sendReachabilityPing(`+${alice.jid.split("@")[0]}`, "Bob of the tests");
  assert.equal((await alice.waitFor("ReachabilityPing")).displayName, "Bob of the tests");
  await alice.acceptTerms();
  await alice.optIn([integrator]);
  await alice.setInboxMode(InboxMode.COMBINED);
  const settings = await alice.getSettings();
  assert.deepEqual(
    [settings.enabled, settings.integrators, settings.inboxMode],
    [true, [integrator], InboxMode.COMBINED],
  );

  await bob.sendText(alice.jid, "May I?");
  const asked = await alice.waitFor("TextReceived");
  assert.deepEqual([asked.requestState, asked.inboxMode], ["REQUESTED", "COMBINED"]);
  await alice.acceptMessageRequest(bob.jid);
  assert.equal((await bob.waitFor("TrustedContact")).jid, alice.jid);
  for await (const chat of alice.listChats()) {
    assert.deepEqual([chat.peerJid, chat.readOnly], [bob.jid, false]);
  }
  await alice.setReachability(false, [integrator]);
  assert.deepEqual((await alice.getReachability()).mutedIntegrators, [integrator]);
  await alice.deleteChat(bob.jid);
  await alice.optOut([integrator]);
  await assert.rejects(bob.sendText(alice.jid, "Still there?"), (error) => error instanceof ServerRefusal);
  await alice.setThirdPartyChats(false);
  assert.equal((await alice.getSettings()).enabled, false);
});
