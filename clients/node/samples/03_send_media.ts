/** Files in both directions: Alice uploads an encrypted document; Bob's messenger hosts his encrypted picture. */

import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { mediaHost } from "interopsim-client";

import { endpoint, expect, Messenger, TemporaryFolder, whatsAppUser } from "./stage.js";

await using bobsMessenger = await Messenger.open(113);
const bob = bobsMessenger.user("bob");
await bob.enlist(await bobsMessenger.token("bob"));
await bob.connect();
await bob.publishPrekeys();
const alice = await whatsAppUser([113]);
await using folder = await TemporaryFolder.make("sample-");
const { path } = folder;
const [document, picture, copy] = [join(path, "report.pdf"), join(path, "cat.png"), join(path, "copy")];
const isSame = async (original: string) => (await readFile(copy)).equals(await readFile(original));
try {
  await writeFile(document, randomBytes(3_000_000));
  await writeFile(picture, randomBytes(500_000));

  let parts = 0;
  await alice.sendDocument(bob.jid, document, "application/pdf", () => {
    parts += 1;
  });
  console.log(`Alice uploads report.pdf, encrypted, in ${parts} parts.`);
  const { media } = await bob.waitFor("MediaReceived");
  expect(media.directPath.startsWith("/v/t") && media.name === "report.pdf", `Path: ${media.directPath}`);
  await bob.download(media, copy);
  expect(await isSame(document), "Bob downloads and decrypts it, over gRPC,");
  await bob.download(media, copy, endpoint().http);
  expect(await isSame(document), "and over HTTP.");

  await bob.sendImage(alice.jid, picture, mediaHost(bobsMessenger.mediaUrl), { caption: "A cat" });
  const seen = (await alice.waitFor("MediaReceived")).media;
  const isHosted = seen.directPath.startsWith("/interop/whatsapp/download/113/");
  expect(isHosted, `Alice is told of a picture at ${seen.directPath}`);
  await alice.download(seen, copy);
  expect(await isSame(picture), `Alice sees Bob's picture: ${seen.name}`);
} finally {
  await Promise.all([bob.close(), alice.close()]);
}
