/** What the client logs: text from a server or a peer commands no terminal and forges no record. */

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { log } from "../../src/log.js";
import { printable } from "../../src/protocol/printable.js";

const SHOWN: readonly (readonly [string, string])[] = [
  ["\u001b[31mred", "\\x1b[31mred"],
  ["\u009b31mred", "\\x9b31mred"],
  ["bob\nERROR accepted", "bob\\x0aERROR accepted"],
  ["a\u2028b\u2029c\u0085d\u007f", "a\\u2028b\\u2029c\\x85d\\x7f"],
  ["a\u202ebc\u2066d\u200f", "a\\u202ebc\\u2066d\\u200f"],
  ["a\u200bb\ufeffc\u{e0041}\ud800", "a\\u200bb\\ufeffc\\U000e0041\\ud800"],
  ["Ada Łovelace مرحبا 日本 👩‍💻👍🏽", "Ada Łovelace مرحبا 日本 👩‍💻👍🏽"],
];

test("what a terminal would obey is escaped, as in Python", () => {
  for (const [text, shown] of SHOWN) {
    assert.equal(printable(text), shown);
  }
});

test("a record is one line, and a trace is indented below it", () => {
  const written: string[] = [];
  mock.method(process.stderr, "write", (text: string) => written.push(text) > 0);
  try {
    log.warn("said: a\nERROR forged\u001b[2J");
    log.error("failed", Object.assign(new Error("x"), { stack: "Error: x\nWARNING forged\u202e" }));
  } finally {
    mock.restoreAll();
  }
  assert.deepEqual(written, [
    "WARNING said: a\\x0aERROR forged\\x1b[2J\n",
    "ERROR failed\n    Error: x\n    WARNING forged\\u202e\n",
  ]);
});
