/** The plaintext of a message: its padding, and which contents are refused on either side. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { MessageSchema } from "../../src/gen/interop_api/e2ee/v1/content_pb.js";
import { checkDescription } from "../../src/messaging/contents.js";
import { MAX_CONTENT_BYTES, MAX_PADDING_BYTES, MAX_TEXT_BYTES, pad } from "../../src/signal/content.js";
import {
  decodeMessage,
  encodeMessage,
  InvalidContent,
  serializeMessage,
  UnsupportedContent,
  unpad,
} from "../../src/signal/index.js";

describe("padding", () => {
  test("every length comes off again", () => {
    const text = Buffer.from("text");
    for (let length = 1; length <= MAX_PADDING_BYTES; length += 1) {
      assert.deepEqual(Buffer.from(unpad(pad(text, length))), text);
    }
    for (const length of [0, 1.5, MAX_PADDING_BYTES + 1]) {
      assert.throws(() => pad(text, length), RangeError);
    }
  });

  test("the length comes from the randomness given, and takes each value", () => {
    const message = create(MessageSchema, { conversation: "héllo" });
    const lengths = new Set<number | undefined>();
    for (let byte = 0; byte < 256; byte += 1) {
      const plaintext = encodeMessage(message, (length) => new Uint8Array(length).fill(byte));
      lengths.add(plaintext.at(-1));
      assert.deepEqual(decodeMessage(plaintext), message);
    }
    assert.equal(lengths.size, MAX_PADDING_BYTES);
  });
});

describe("contents", () => {
  const unsound: [string, MessageInitShape<typeof MessageSchema>][] = [
    ["no content", {}],
    ["two contents", { conversation: "a", imageMessage: {} }],
    ["a long text", { conversation: `${"é".repeat(MAX_TEXT_BYTES / 2)}a` }],
    ["a long reply", { extendedTextMessage: { text: "a".repeat(MAX_TEXT_BYTES + 1) } }],
    ["a long edit", { protocolMessage: { type: 14, editedMessage: { conversation: "a".repeat(MAX_TEXT_BYTES + 1) } } }],
  ];
  for (const [what, fields] of unsound) {
    test(`${what} is refused by the sender as by the receiver`, () => {
      const message = create(MessageSchema, fields);
      assert.throws(() => encodeMessage(message), InvalidContent);
      assert.throws(() => decodeMessage(pad(toBinary(MessageSchema, message), 1)), InvalidContent);
    });
  }

  test("a text comes as it was sent, with a byte order mark too", () => {
    for (const text of ["\ufeffhello", "\ufeff", "a\u0000b", "__proto__", ""]) {
      assert.equal(decodeMessage(encodeMessage(create(MessageSchema, { conversation: text }))).conversation, text);
    }
  });

  test("half of a surrogate pair is not sent as something else", () => {
    const text = "a\ud83d";
    const contents: MessageInitShape<typeof MessageSchema>[] = [
      { conversation: text },
      { extendedTextMessage: { text, contextInfo: { stanzaId: "1" } } },
      { extendedTextMessage: { text: "", contextInfo: { quotedMessage: { conversation: text } } } },
      { reactionMessage: { key: { id: "1" }, text } },
      { protocolMessage: { type: 14, editedMessage: { conversation: text } } },
    ];
    for (const content of contents) {
      assert.throws(() => encodeMessage(create(MessageSchema, content)), InvalidContent);
    }
  });

  test("the longest text is sent", () => {
    const message = create(MessageSchema, { conversation: "é".repeat(MAX_TEXT_BYTES / 2) });
    assert.deepEqual(decodeMessage(encodeMessage(message)), message);
  });

  test("what would be too long for the first message of a session is not sent, and a file not uploaded", () => {
    for (const name of ["imageMessage", "videoMessage"] as const) {
      const sized = (length: number) => create(MessageSchema, { [name]: { caption: "c".repeat(length) } });
      const room = MAX_CONTENT_BYTES - toBinary(MessageSchema, sized(MAX_TEXT_BYTES)).length + MAX_TEXT_BYTES;
      assert.equal(serializeMessage(sized(room)).length, MAX_CONTENT_BYTES);
      assert.throws(() => encodeMessage(sized(room + 1)), InvalidContent);
      assert.equal(decodeMessage(pad(toBinary(MessageSchema, sized(room + 1)), 1))[name]?.caption?.length, room + 1);
    }
    checkDescription("image/png", "c".repeat(MAX_TEXT_BYTES));
    assert.throws(() => checkDescription("image/png", "c".repeat(MAX_CONTENT_BYTES)), InvalidContent);
    assert.throws(() => checkDescription("m".repeat(MAX_CONTENT_BYTES), ""), InvalidContent);
  });

  test("what third-party chats do not support is not sent", () => {
    const unknown = { no: 26, wireType: 2, data: Uint8Array.of(0) };
    const sticker = create(MessageSchema);
    sticker.$unknown = [unknown];
    const beside = create(MessageSchema, { conversation: "a" });
    beside.$unknown = [unknown];
    const withoutType = create(MessageSchema, { protocolMessage: {} });
    for (const message of [sticker, beside, withoutType]) {
      assert.throws(() => encodeMessage(message), UnsupportedContent);
    }
  });
});
