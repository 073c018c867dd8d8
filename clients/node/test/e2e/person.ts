/**
 * A third-party user as a process that can be killed at any moment: `node person.js SETTINGS`, with a state in a file.
 *
 * It writes a line for each message that its user was shown, and makes it durable, before the client acks the delivery. Told
 * so, it sends texts one after the other, and writes a line for each that the server has accepted. What it has written in an
 * earlier life it knows: a delivery that it had not finished comes again, as `ClientOptions.onEvent` says.
 */

import { open, readFile } from "node:fs/promises";
import { join } from "node:path";

import { type Event, type ServerAddress, StateFile, ThirdPartyClient } from "../../src/index.js";

/** What the process is told. */
export interface PersonSettings {
  readonly server: Omit<ServerAddress, "rootPublicKey"> & { readonly rootPublicKey: string };
  /** Where its state is, and what it writes: `state`, `shown`, `sent`. */
  readonly folder: string;
  /** A token for its one login. */
  readonly token: string;
  /** To whom it sends; absent when it only reads. */
  readonly sendsTo?: string;
}

const settings = JSON.parse(process.argv[2] ?? "") as PersonSettings;
const { folder, token, sendsTo } = settings;
const server = { ...settings.server, rootPublicKey: new Uint8Array(Buffer.from(settings.server.rootPublicKey, "hex")) };

const file = new StateFile(join(folder, "state"));
const state = await file.load();
if (state === undefined) {
  throw new Error("there is no state: enlist first");
}
const [shown, sent] = [await open(join(folder, "shown"), "a"), await open(join(folder, "sent"), "a")];
const known = new Set((await readFile(join(folder, "shown"), "utf8")).split("\n"));

async function onEvent(event: Event): Promise<void> {
  if (event.kind === "TextReceived" && !known.has(event.id)) {
    known.add(event.id);
    await shown.writeFile(`${event.id}\n`);
    await shown.datasync();
    console.log(JSON.stringify({ shown: event.text }));
  } else if (event.kind === "Undecryptable" || event.kind === "MessageAwaited") {
    console.log(JSON.stringify({ lost: event.kind }));
  }
}

const client = ThirdPartyClient.direct(server, state, () => Promise.resolve(token), file, { onEvent });
await client.connect();
console.log(JSON.stringify({ event: "ready" }));
if (sendsTo !== undefined) {
  for (let number = 0; ; number += 1) {
    const { id } = await client.sendText(sendsTo, `text ${number} of process ${process.pid}`);
    await sent.writeFile(`${id}\n`);
    console.log(JSON.stringify({ sent: id }));
  }
}
process.stdin.resume();
await new Promise((resolve) => process.stdin.once("end", resolve));
await client.close();
process.exit(0);
