/** A client that is killed at any moment and started again has lost nothing that was acked, and shows nothing twice. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ClientState, StateFile } from "../../src/index.js";
import type { PersonSettings } from "./person.js";
import { World } from "./world.js";

const PROGRAM = fileURLToPath(new URL("./person.js", import.meta.url));
const MESSAGES = 60;
/** After how many lines of a life its process is killed; each life is another moment of saving and sending. */
const LIVES = [1, 2, 3, 5, 8, 13];

type Line = Partial<Record<"event" | "shown" | "sent" | "lost", string>>;

let world: World;
before(async () => {
  world = await World.open();
});
after(() => world[Symbol.asyncDispose]());

/** A person's device: enlisted, with published prekeys, and not running. */
async function device(name: string): Promise<{ readonly jid: string; readonly folder: string }> {
  const folder = join(world.folder, name);
  await mkdir(folder);
  const client = world.messenger.user(name, {}, ClientState.generate(), new StateFile(join(folder, "state")));
  const jid = await client.enlist(await world.messenger.token(name));
  await client.connect();
  await client.publishPrekeys();
  await client.close();
  return { jid, folder };
}

/** Starts the process, hands each of its lines to a reader, and kills it when the reader says so. */
async function live(name: string, folder: string, isEnough: (line: Line) => boolean, sendsTo?: string): Promise<void> {
  const { grpc, http, ca, rootPublicKey } = world.endpoint;
  const settings: PersonSettings = {
    server: { grpc, http, ca, rootPublicKey: Buffer.from(rootPublicKey).toString("hex") },
    folder,
    token: await world.messenger.token(name),
    ...(sendsTo === undefined ? {} : { sendsTo }),
  };
  const child: ChildProcess = spawn(process.execPath, [PROGRAM, JSON.stringify(settings)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  assert.ok(child.stdout);
  for await (const text of createInterface({ input: child.stdout })) {
    const line = JSON.parse(text) as Line;
    assert.equal(line.lost, undefined, "every message can be decrypted");
    if (isEnough(line)) {
      child.kill("SIGKILL");
      break;
    }
  }
  await gone;
}

async function linesOf(folder: string, name: string): Promise<string[]> {
  return (await readFile(join(folder, name), "utf8")).split("\n").filter(Boolean);
}

test("while it reads: all that was sent is shown, each once", async () => {
  const bob = await device("reader");
  const alice = await world.whatsApp();
  const ids: string[] = [];
  for (let number = 0; number < MESSAGES; number += 1) {
    ids.push((await alice.sendText(bob.jid, `text ${number}`)).id);
  }
  for (const lines of LIVES) {
    let seen = 0;
    await live("reader", bob.folder, (line) => line.shown !== undefined && ++seen === lines);
  }
  const last = await alice.sendText(bob.jid, "the last");
  await live("reader", bob.folder, (line) => line.shown === "the last");
  assert.deepEqual(await linesOf(bob.folder, "shown"), [...ids, last.id], "in order, none missing, none twice");
});

test("while it sends: all that was accepted comes, each once, and no message key is used twice", async () => {
  const bob = await device("writer");
  const alice = await world.whatsApp();
  for (const lines of LIVES) {
    let sent = 0;
    await live("writer", bob.folder, (line) => line.sent !== undefined && ++sent === lines, alice.jid);
  }
  const accepted = await linesOf(bob.folder, "sent");
  assert.ok(accepted.length >= LIVES.reduce((sum, lines) => sum + lines), "each life has sent");
  await alice.ping(); // then all that the server had for her has come
  const seen: string[] = [];
  const trouble: string[] = [];
  await alice.close();
  for await (const event of alice.events()) {
    if (event.kind === "TextReceived") {
      seen.push(event.id);
    } else if (event.kind === "Undecryptable" || event.kind === "MessageAwaited") {
      trouble.push(event.reason);
    }
  }
  assert.deepEqual(trouble, []);
  assert.equal(new Set(seen).size, seen.length, "none comes twice");
  assert.deepEqual(
    accepted.filter((id) => !seen.includes(id)),
    [],
    "what was accepted has come",
  );
});
