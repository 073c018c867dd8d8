/** What no chat needs, over a real simulator: post-quantum prekeys, a challenge, and what is always refused. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import { StanzaSchema } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { LoginRefused } from "../../src/index.js";
import { World } from "./world.js";

const KEM_PREKEYS = 10;

let world: World;
before(async () => {
  world = await World.open("--limit", "kem_prekeys=true");
});
after(() => world[Symbol.asyncDispose]());

test("post-quantum prekeys are published, given out and refilled", async () => {
  const bob = await world.thirdParty("direct", { kemPrekeys: KEM_PREKEYS });
  const alice = await world.whatsApp();
  assert.ok((await alice.takePrekeyBundle(bob.jid)).kemPrekey);
  await bob.waitFor("PreKeysLow");
  while (bob.state.signal.kem.oneTime.size <= KEM_PREKEYS) {
    await bob.ping(); // the client makes new ones by itself
  }
  assert.ok(await bob.hasIntactPrekeys());
});

test("a challenge is answered with the code that comes", async () => {
  const bob = await world.thirdParty();
  const { challengeId } = await bob.requestChallenge();
  const code = await bob.waitFor("ChallengeCode");
  assert.equal(code.challengeId, challengeId);
  await assert.rejects(bob.answerChallenge(challengeId, "x"), { reason: "CHALLENGE_INVALID" });
  const again = await bob.requestChallenge();
  await bob.answerChallenge(again.challengeId, (await bob.waitFor("ChallengeCode")).digits);
});

test("a call between people is refused", async () => {
  const [bob, alice] = [await world.thirdParty(), await world.whatsApp()];
  const value = { id: "call", toJid: alice.jid };
  await bob.transport.send(create(StanzaSchema, { kind: { case: "callOffer", value } }));
  assert.equal((await bob.waitFor("StanzaRefused")).reason, "CALLS_NOT_SUPPORTED");
});

test("an account that is deleted cannot log in", async () => {
  const bob = await world.thirdParty();
  await bob.deleteAccount();
  assert.ok((await bob.waitFor("ConnectionLost")).reason);
  await assert.rejects(bob.connect(), (error) => error instanceof LoginRefused);
});
