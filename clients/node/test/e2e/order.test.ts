/** A thousand messages in random order, half of them from a backlog: each is shown once, whoever began the session. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import {
  CiphertextType as EncType,
  MessageSchema,
  type Message as MessageStanza,
  MessageType,
} from "../../src/gen/interop_api/v1/stanza_pb.js";
import type { InteropClient } from "../../src/index.js";
import { textContent } from "../../src/messaging/contents.js";
import { CiphertextType, encodeMessage } from "../../src/signal/index.js";
import { WAYS, World } from "./world.js";

const MESSAGES = 1_000;
const AT_ONCE = 50;

let world: World;
before(async () => {
  world = await World.open();
});
after(() => world[Symbol.asyncDispose]());

/** Encrypts texts in order, as one session does, and returns the stanzas in a random order that is always the same. */
function shuffled(sender: InteropClient, toJid: string, name: string): MessageStanza[] {
  const stanzas = Array.from({ length: MESSAGES }, (_, number) => {
    const { type, body } = sender.state.signal.encrypt(toJid, encodeMessage(textContent(`${name} ${number}`)));
    const enc = type === CiphertextType.PREKEY ? EncType.PREKEY_MESSAGE : EncType.DOUBLE_RATCHET;
    return create(MessageSchema, {
      id: `${name}-${number}`,
      toJid,
      type: MessageType.TEXT,
      enc: [{ type: enc, ciphertext: body }],
    });
  });
  const place = ({ id }: MessageStanza) => createHash("sha256").update(id).digest("hex");
  return stanzas.sort((one, other) => (place(one) < place(other) ? -1 : 1));
}

async function send(sender: InteropClient, stanzas: readonly MessageStanza[]): Promise<void> {
  for (let at = 0; at < stanzas.length; at += AT_ONCE) {
    await Promise.all(stanzas.slice(at, at + AT_ONCE).map((stanza) => sender.sendEncrypted(stanza)));
  }
}

for (const way of WAYS) {
  for (const role of ["third-party user", "WhatsApp user"] as const) {
    test(`of the ${role}, ${way}`, async () => {
      const [bob, alice] = [await world.thirdParty(way), await world.whatsApp()];
      const [sender, recipient] = role === "third-party user" ? [bob, alice] : [alice, bob];
      const name = `${role} ${way}`.replaceAll(" ", "-");
      sender.state.signal.processBundle(recipient.jid, await sender.takePrekeyBundle(recipient.jid));
      const stanzas = shuffled(sender, recipient.jid, name);

      await recipient.close(); // the first half waits for it
      await send(sender, stanzas.slice(0, MESSAGES / 2));
      await recipient.connect();
      await send(sender, stanzas.slice(MESSAGES / 2));

      const seen: string[] = [];
      for (const _ of stanzas) {
        seen.push((await recipient.waitFor("TextReceived", 60)).text);
      }
      assert.deepEqual(new Set(seen), new Set(stanzas.map((_, number) => `${name} ${number}`)));
      await recipient.ping();
      await assert.rejects(
        recipient.waitFor((event) => "sender" in event && event.sender === sender.jid, 0),
        {
          name: "TimeoutError",
        },
      );
    });
  }
}
