/** Alice turns on third-party chats, and she and Bob talk: texts, an answer, a reaction, receipts. */

import { ServerRefusal } from "interopsim-client";

import { expect, Messenger, whatsAppUser } from "./stage.js";

await using bobsMessenger = await Messenger.open(112);
const bob = bobsMessenger.user("bob");
await bob.enlist(await bobsMessenger.token("bob"));
await bob.connect();
await bob.publishPrekeys();
const alice = await whatsAppUser();
try {
  const refusal = await bob.sendText(alice.jid, "Hello?").catch((error: unknown) => error);
  const isRefused = refusal instanceof ServerRefusal && refusal.reason === "RECIPIENT_NOT_REACHABLE";
  expect(isRefused, `Before the opt-in: ${String(refusal)}`);

  await alice.acceptTerms();
  await alice.optIn([112]);
  const peer = await alice.resolve("bob", 112);
  expect(peer === bob.jid, `Alice has opted in, and finds bob as ${peer}.`);

  const sent = await alice.sendText(peer, "Hello from WhatsApp");
  const received = await bob.waitFor("TextReceived");
  expect(received.text === "Hello from WhatsApp", `Bob reads: ${received.text}`);
  const delivered = await alice.waitFor("ReceiptReceived");
  expect(delivered.messageIds.includes(sent.id) && !delivered.isRead, "Alice sees that it was delivered,");
  await bob.markRead(received);
  expect((await alice.waitFor("ReceiptReceived")).isRead, "and that it was read.");

  await bob.sendText(alice.jid, "Hello from elsewhere", received);
  const answer = await alice.waitFor("TextReceived");
  expect(answer.replyTo === sent.id, `Alice reads an answer to it: ${answer.text}`);
  await alice.sendReaction(bob.jid, answer.id, "👍");
  const reaction = await bob.waitFor("ReactionReceived");
  expect(reaction.targetId === answer.id, `Bob sees her reaction: ${reaction.emoji}`);
} finally {
  await Promise.all([bob.close(), alice.close()]);
}
