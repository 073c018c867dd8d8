/** Every sample runs as it is, against a live simulator, and is short enough to read. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Child } from "../../samples/stage.js";
import { startSimulator } from "./world.js";

const BUILT = fileURLToPath(new URL("../../samples/", import.meta.url));
const WRITTEN = fileURLToPath(new URL("../../../samples/", import.meta.url));
const SAMPLES = readdirSync(WRITTEN).filter((name) => /^[0-9]{2}_.*\.ts$/u.test(name));
const MAX_LINES = 60;

let folder: string;
let simulator: Child;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "interop-test-"));
  simulator = await startSimulator(folder);
});
after(async () => {
  await simulator[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test("there are samples", () => {
  assert.ok(SAMPLES.length >= 3);
});

test("one that is interrupted leaves no file and no process", { timeout: 60_000 }, async () => {
  const left = await mkdtemp(join(folder, "interrupted-"));
  const sample = spawn(process.execPath, [`${BUILT}03_send_media.js`], {
    env: { ...process.env, INTEROPSIM: JSON.stringify(simulator.ready), TMPDIR: left },
    stdio: ["ignore", "pipe", "pipe"],
  });
  sample.stderr.resume();
  sample.stdout.once("data", () => sample.kill("SIGINT"));
  const [status] = await once(sample, "close"); // when the messenger's server, which has the same stderr, is gone, too
  assert.equal(status, 130);
  assert.deepEqual(await readdir(left), []);
});

test("a child that a signal has ended is not waited for, and one that is not there is an error", async () => {
  const script = "console.log(JSON.stringify({ pid: String(process.pid) })); setInterval(() => undefined, 1000)";
  const child = await Child.start(process.execPath, ["-e", script]);
  const pid = Number(child.ready["pid"]);
  process.kill(pid, "SIGKILL");
  while (isAlive(pid)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  await child[Symbol.asyncDispose]();
  await assert.rejects(Child.start(join(folder, "nothing"), []), { code: "ENOENT" });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

for (const name of SAMPLES) {
  describe(name, () => {
    test("is short, and begins by saying what happens", () => {
      const lines = readFileSync(WRITTEN + name, "utf8").split("\n");
      assert.ok(lines.length < MAX_LINES);
      assert.match(lines[0] ?? "", /^\/\*\* .*\. \*\/$/u);
    });

    test("runs and succeeds", async () => {
      const sample = spawn(process.execPath, [BUILT + name.replace(/\.ts$/u, ".js")], {
        env: { ...process.env, INTEROPSIM: JSON.stringify(simulator.ready) },
        stdio: ["ignore", "pipe", "inherit"],
      });
      const said: Buffer[] = [];
      sample.stdout.on("data", (chunk: Buffer) => said.push(chunk));
      const status = await new Promise((resolve) => sample.once("close", resolve));
      assert.equal(status, 0, Buffer.concat(said).toString());
      assert.ok(said.length > 0, "it says what happens");
    });
  });
}
