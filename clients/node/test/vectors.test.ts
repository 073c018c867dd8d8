/** Every test vector of the contract, replayed from its file alone. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { type Replay, vectorFiles } from "./vectors/facts.js";
import { MEDIA } from "./vectors/media.js";
import { OUTER } from "./vectors/outer.js";
import { PROTOCOL } from "./vectors/protocol.js";
import { SIGNAL } from "./vectors/signal.js";

const REPLAYS: Readonly<Record<string, Replay>> = { ...PROTOCOL, ...SIGNAL, ...MEDIA, ...OUTER };
/** What a server computes, and no client: ranges of blobs, and the tokens of a messenger's own server. */
const OF_SERVERS: readonly string[] = ["media_ranges", "tokens"];

test("no file of vectors is left out", () => {
  const files = vectorFiles().map((file) => file.name);
  assert.deepEqual(files.sort(), [...Object.keys(REPLAYS), ...OF_SERVERS].sort());
});

for (const { name, vectors } of vectorFiles()) {
  const replay = REPLAYS[name];
  if (replay !== undefined) {
    describe(name, () => {
      for (const vector of vectors) {
        test(`${vector.text("name")}: ${vector.text("comment")}`, () => replay(vector));
      }
    });
  }
}
