/** The driver as a program: each request is answered, and what is no message ends it as driver.proto says. */

import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

import {
  type CommandResult,
  DriveRequestSchema,
  DriveResponseSchema,
  FailureKind,
} from "../../src/gen/interop_api/conformance/v1/driver_pb.js";

const PROGRAM = fileURLToPath(new URL("../../driver.js", import.meta.url));

let folder: string;
let driver: ChildProcessWithoutNullStreams;
let said: Buffer[];
let complaints: Buffer[];
let status: Promise<number | null>;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "interop-test-"));
});
after(() => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  driver = spawn(process.execPath, [PROGRAM], { env: { ...process.env, TMPDIR: folder } });
  [said, complaints] = [[], []];
  driver.stdout.on("data", (chunk: Buffer) => said.push(chunk));
  driver.stderr.on("data", (chunk: Buffer) => complaints.push(chunk));
  status = new Promise((resolve) => driver.once("close", resolve));
});
afterEach(async () => {
  driver.kill("SIGKILL");
  await status;
  assert.deepEqual(await readdir(folder), [], "nothing is left");
});

function ask(request: MessageInitShape<typeof DriveRequestSchema>): void {
  const message = toBinary(DriveRequestSchema, create(DriveRequestSchema, request));
  driver.stdin.write(new BinaryWriter().bytes(message).finish());
}

/** Ends the requests, and returns the results by the ids of their requests. */
async function results(): Promise<Map<bigint, CommandResult["outcome"]>> {
  driver.stdin.end();
  assert.equal(await status, 0, Buffer.concat(complaints).toString());
  const reader = new BinaryReader(new Uint8Array(Buffer.concat(said)));
  const outcomes = new Map<bigint, CommandResult["outcome"]>();
  while (reader.pos < reader.len) {
    const { kind } = fromBinary(DriveResponseSchema, reader.bytes());
    if (kind.case === "result") {
      outcomes.set(kind.value.id, kind.value.outcome);
    }
  }
  return outcomes;
}

test("it says what it is, and ends with its input", async () => {
  ask({ id: 1n, command: { case: "describe", value: {} } });
  const outcome = (await results()).get(1n);
  assert.ok(outcome?.case === "description");
  const { commands, features, version } = outcome.value;
  assert.deepEqual([commands.length, features.length], [26, 11]);
  assert.match(version, /^[0-9]+\./u);
});

test("what cannot be done is answered, too, each request once", async () => {
  ask({ id: 1n, device: "nobody", command: { case: "wipe", value: {} } });
  ask({ id: 2n, device: "bob", command: { case: "startDevice", value: { rootPublicKey: Uint8Array.of(1) } } });
  ask({ id: 3n, device: "b o b", command: { case: "startDevice", value: { rootPublicKey: new Uint8Array(32) } } });
  ask({ id: 4n, device: "bob", command: { case: "startDevice", value: { rootPublicKey: new Uint8Array(32) } } });
  ask({ id: 5n, device: "bob", command: { case: "connect", value: {} } });
  ask({ id: 6n, device: "bob", command: { case: "sendText", value: { toJid: "1@s.whatsapp.net", text: "?" } } });
  ask({ id: 7n, device: "bob" });
  const tooLong = `${"é".repeat(32_768)}a`;
  ask({ id: 9n, device: "bob", command: { case: "sendText", value: { toJid: "1@s.whatsapp.net", text: tooLong } } });
  ask({ id: 8n, device: "bob", command: { case: "stopDevice", value: {} } });
  const outcomes = await results();
  const kinds = [1n, 2n, 3n, 5n, 9n].map((id) => outcomes.get(id));
  for (const outcome of kinds) {
    assert.equal(outcome?.case === "failed" && outcome.value.kind, FailureKind.WRONG_COMMAND);
  }
  assert.deepEqual(
    [outcomes.get(4n)?.case, outcomes.get(7n)?.case, outcomes.get(8n)?.case],
    ["done", "unsupported", "done"],
  );
  assert.ok(["failed", "refused"].includes(outcomes.get(6n)?.case ?? ""));
  const bounded = outcomes.get(9n);
  assert.match(bounded?.case === "failed" ? bounded.value.detail : "", /65537: .* are right\./u);
  assert.equal(outcomes.size, 9);
});

for (const [what, bytes] of [
  ["that is too long", "ffffff7f"],
  ["whose length is none", "ffffffffff"],
  ["that is no request", "03ffffff"],
  ["that is cut", "7f01"],
] as const) {
  test(`a message ${what} ends it with status 2 and a sentence`, async () => {
    driver.stdin.end(Buffer.from(bytes, "hex"));
    assert.equal(await status, 2);
    assert.match(Buffer.concat(complaints).toString(), /^Error: .*\.\n$/u);
  });
}

test("a signal ends it, and its devices", async () => {
  ask({ id: 1n, device: "bob", command: { case: "startDevice", value: { rootPublicKey: new Uint8Array(32) } } });
  await new Promise((resolve) => driver.stdout.once("data", resolve));
  driver.kill("SIGTERM");
  assert.equal(await status, 0);
});
