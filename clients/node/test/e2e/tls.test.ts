/** A simulator that speaks TLS is reached by clients that trust its authority, and by no others. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ThirdPartyClient } from "../../src/index.js";
import { World } from "./world.js";

let world: World;
before(async () => {
  world = await World.open("--tls", "auto");
});
after(() => world[Symbol.asyncDispose]());

test("chat, calls, uploads and downloads go over TLS", async () => {
  assert.match(world.endpoint.ca, /BEGIN CERTIFICATE/u);
  assert.match(world.endpoint.http, /^https:/u);
  const [bob, alice] = [await world.thirdParty(), await world.whatsApp()];
  await bob.enlistOverHttp(world.endpoint.http, await world.messenger.token("user1"));
  await bob.sendText(alice.jid, "sealed twice");
  assert.equal((await alice.waitFor("TextReceived")).text, "sealed twice");
  const [file, copy] = [join(world.folder, "file"), join(world.folder, "copy")];
  await writeFile(file, "a file");
  await alice.sendDocument(bob.jid, file);
  const { media } = await bob.waitFor("MediaReceived");
  await bob.download(media, copy);
  await bob.download(media, copy, world.endpoint.http);
});

test("without the authority's certificate there is no connection", async () => {
  const bob = await world.thirdParty();
  await bob.close();
  const getToken = () => world.messenger.token("user2");
  const distrusting = ThirdPartyClient.direct({ ...world.endpoint, ca: "" }, bob.state, getToken);
  await assert.rejects(distrusting.connect(), { name: "ServerRefusal" });
  await assert.rejects(distrusting.enlistOverHttp(world.endpoint.http, await getToken()), { name: "Unreachable" });
  await distrusting.close();
});
