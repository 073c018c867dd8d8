/** The rooms that need no server: queue, outbox, memory, state, inbox, frames of the proxy, statuses, HTTP. */

import assert from "node:assert/strict";
import { lstat, lutimes, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import { Lock, within } from "../../src/asynchrony.js";
import { httpRequest, readBody } from "../../src/connection/http.js";
import { Outbox } from "../../src/connection/outbox.js";
import { decodeEnded, decodeFrame, encodeBatch, encodeRequest } from "../../src/connection/proxyFrames.js";
import { refusalFromStatus } from "../../src/connection/status.js";
import { refusalFromJson } from "../../src/errors.js";
import { ErrorReason, RefusalSchema } from "../../src/gen/interop_api/v1/errors_pb.js";
import {
  BatchSchema,
  ChannelLimitsSchema,
  CiphertextType as EncType,
  MessageType,
  type Stanza,
  StanzaSchema,
} from "../../src/gen/interop_api/v1/stanza_pb.js";
import {
  ClientState,
  ConnectionEnded,
  DurableState,
  harmlessName,
  log,
  StateFile,
  TimeoutError,
} from "../../src/index.js";
import { MediaType } from "../../src/media/crypto.js";
import { wholeCharacters } from "../../src/media/fileNames.js";
import {
  DeliveryMemory,
  EDIT_WINDOW_MS,
  MAX_ASKED,
  MAX_FINISHED,
  MAX_WAITING_CHANGES,
  messageName,
} from "../../src/memory.js";
import { Answers } from "../../src/messaging/answers.js";
import { mediaContent } from "../../src/messaging/contents.js";
import { EventQueue } from "../../src/messaging/eventQueue.js";
import type { Event } from "../../src/messaging/events.js";
import { Inbox } from "../../src/messaging/inbox.js";
import { askAgain } from "../../src/messaging/retries.js";
import { padAtRandom, serializeMessage } from "../../src/signal/content.js";
import { SignalState } from "../../src/signal/index.js";
import { ALICE, BOB, takeBundle } from "../signal/support.js";

const ZEROS = new Uint8Array(32);

const end = (count: number): Event => ({ kind: "OfflineEnd", count });
const ping = (id: number) => create(StanzaSchema, { kind: { case: "ping", value: { id: BigInt(id) } } });

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "interop-test-"));
});
after(() => rm(folder, { recursive: true, force: true }));

describe("names of files", () => {
  for (const [name, harmless] of [
    ["report.pdf", "report.pdf"],
    ["../../etc/passwd", "passwd"],
    ["C:\\Windows\\system.ini", "system.ini"],
    ["evil\u202egnp.exe", "evilgnp.exe"],
    ["a:b?.txt", "a_b_.txt"],
    ["CON.txt", "_CON.txt"],
    ["conin$", "_conin$"],
    ["\u200d\ufe0f", "file"],
    ["  .. ", "file"],
    ["", "file"],
    ["tab\tand\u0000nul", "tabandnul"],
    ["👩‍👩‍👧.png", "👩‍👩‍👧.png"],
    ["trailing. .", "trailing"],
  ] as const) {
    test(JSON.stringify(name), () => {
      assert.equal(harmlessName(name), harmless);
    });
  }

  test("a long one keeps its extension, and its characters stay whole", () => {
    const short = harmlessName(`${"ü".repeat(200)}.jpeg`);
    assert.ok(Buffer.byteLength(short) <= 255 && short.endsWith("ü.jpeg"));
    assert.equal(wholeCharacters("aü", 2), "a");
  });
});

describe("the queue of events", () => {
  test("the first fitting call gets an event, and others stay in order", async () => {
    const queue = new EventQueue(10);
    const second = queue.take((event) => event.kind === "OfflineEnd" && event.count === 2, 5);
    queue.put(end(1));
    queue.put(end(2));
    assert.deepEqual(await second, end(2));
    assert.deepEqual(await queue.take(() => true, 0), end(1));
    await assert.rejects(
      queue.take(() => true, 0),
      TimeoutError,
    );
  });

  test("there is room again once one is taken; that there was none is told once", async (context) => {
    const warn = context.mock.method(log, "warn", () => undefined);
    const queue = new EventQueue(1);
    queue.put(end(1));
    let hasRoom = false;
    const room = queue.room().then(() => {
      hasRoom = true;
    });
    await Promise.resolve();
    assert.equal(hasRoom, false);
    await queue.take(() => true, 0);
    await room;
    queue.put(end(2));
    const again = queue.room();
    queue.liftBound();
    await again;
    assert.equal(warn.mock.callCount(), 1);
  });

  test("what is useless later is not kept in a full one, whoever waits for something else", async () => {
    const queue = new EventQueue(1);
    const typing: Event = { kind: "Typing", sender: "a", state: "COMPOSING", expiresAfterSeconds: 1 };
    const waiting = queue.take((event) => event.kind === "OfflineEnd", 5);
    for (let count = 0; count < 3; count += 1) {
      queue.offer(typing);
    }
    assert.deepEqual(await queue.take(() => true, 0), typing);
    await assert.rejects(
      queue.take(() => true, 0),
      TimeoutError,
    );
    queue.put({ kind: "DigestRequested" });
    const wanted = queue.take((event) => event.kind === "Typing", 5);
    queue.offer(typing);
    assert.deepEqual(await wanted, typing);
    queue.put(end(1));
    assert.deepEqual(await waiting, end(1));
  });

  test("a predicate that throws ends its own call, and no other", async () => {
    const queue = new EventQueue(10);
    const fault = new Error("the application's own");
    const failing = [1, 2].map(() =>
      queue.take(() => {
        throw fault;
      }, 5),
    );
    const failed = Promise.allSettled(failing);
    const other = queue.take((event) => event.kind === "Typing", 5);
    queue.put(end(1));
    queue.offer({ kind: "Typing", sender: "a", state: "COMPOSING", expiresAfterSeconds: 1 });
    assert.deepEqual(
      (await failed).map((each) => each.status === "rejected" && each.reason),
      [fault, fault],
    );
    assert.equal((await other).kind, "Typing");
    assert.deepEqual(await queue.take(() => true, 0), end(1));
  });

  test("after its end what is there can still be taken", async () => {
    const queue = new EventQueue(10);
    const waiting = queue.take((event) => event.kind === "Typing", 5);
    queue.put(end(1));
    queue.close();
    await assert.rejects(waiting, ConnectionEnded);
    const rest: Event[] = [];
    for await (const event of queue.all()) {
      rest.push(event);
    }
    assert.deepEqual(rest, [end(1)]);
  });
});

describe("the outbox", () => {
  test("what waits shares a frame, as far as the limits go", async () => {
    const outbox = new Outbox(create(ChannelLimitsSchema, { maxBatchStanzas: 3 }));
    await outbox.add(...[1, 2, 3, 4].map(ping));
    outbox.end(new ConnectionEnded("CLOSED"));
    const sizes: number[] = [];
    for (let batch = await outbox.nextBatch(); batch !== undefined; batch = await outbox.nextBatch()) {
      sizes.push(fromBinary(BatchSchema, batch).stanzas.length);
    }
    assert.deepEqual(sizes, [3, 1]);
    await assert.rejects(outbox.add(ping(5)), ConnectionEnded);
  });

  test("a stanza that no frame holds is refused", async () => {
    const outbox = new Outbox(create(ChannelLimitsSchema, { maxFrameBytes: 64 }));
    const long = create(StanzaSchema, { kind: { case: "callOffer", value: { id: "x".repeat(100), toJid: "" } } });
    await assert.rejects(outbox.add(long), RangeError);
  });

  test("who adds more than it holds waits for the writer, and the writer is told", async () => {
    const outbox = new Outbox(create(ChannelLimitsSchema, { maxBatchStanzas: 1 }));
    const first = outbox.nextBatch();
    const adding = outbox.add(...[1, 2, 3, 4, 5, 6].map(ping));
    for (let batch = await first, count = 1; count < 6; batch = await outbox.nextBatch(), count += 1) {
      assert.ok(batch);
    }
    await within(5, "room", adding);
  });

  test("who adds to a full one waits", async () => {
    const outbox = new Outbox(create(ChannelLimitsSchema, { maxBatchStanzas: 1 }));
    await outbox.add(...[1, 2, 3, 4].map(ping));
    const waiting = outbox.add(ping(5));
    await assert.rejects(within(0, "room", waiting), TimeoutError);
    await outbox.nextBatch();
    await waiting;
  });
});

describe("the memory of deliveries", () => {
  test("it is bounded, and the oldest goes first", () => {
    const memory = new DeliveryMemory();
    for (let number = 0; number <= MAX_FINISHED; number += 1) {
      memory.finish(number.toString(16).padStart(16, "0"));
    }
    assert.equal(memory.finished.size, MAX_FINISHED);
    assert.ok(!memory.finished.has("0".repeat(16)));
    for (let number = 0; number <= MAX_ASKED; number += 1) {
      memory.askAgain(messageName("a", String(number)), 0).prekeyIds.push(number);
    }
    assert.deepEqual(memory.forgetOldestAsked(), [0]);
    const change = { messageId: "c", timestampMs: 0, plaintext: new Uint8Array(1), isProved: true };
    for (let number = 0; number < MAX_WAITING_CHANGES; number += 1) {
      assert.ok(memory.wait(messageName("a", String(number)), change));
    }
    assert.ok(!memory.wait(messageName("a", "one more"), change));
  });

  test("a text can be edited for twenty minutes", () => {
    const memory = new DeliveryMemory();
    const name = messageName("a", "1");
    memory.textCame(name, 1_000);
    assert.ok(memory.editable(name, 1_000 + EDIT_WINDOW_MS));
    assert.equal(memory.editable(name, 1_001 + EDIT_WINDOW_MS), undefined);
  });

  test("a client that has forgotten its requests counts on from what came", () => {
    assert.equal(new DeliveryMemory().askAgain(messageName("a", "1"), 3).count, 4);
  });
});

describe("the state", () => {
  test("it comes back as it was, from a file that only its owner reads", async () => {
    const file = new StateFile(join(folder, "state"));
    assert.equal(await file.load(), undefined);
    const state = ClientState.generate("101-12345678901234@interop");
    state.deliveries.finish("0123456789abcdef");
    state.deliveries.keepOpened("fedcba9876543210", Uint8Array.of(1, 2));
    state.deliveries.askAgain(messageName("a", "1"), 0).prekeyIds.push(7);
    state.deliveries.textCame(messageName("a", "2"), 5);
    const change = { messageId: "c", timestampMs: 6, plaintext: Uint8Array.of(3), isProved: false };
    state.deliveries.wait(messageName("a", "3"), change);
    const first = state.takeMessageId();
    await new DurableState(state, file).commit();
    const loaded = await file.load();
    assert.deepEqual(loaded?.toBytes(), state.toBytes());
    assert.notEqual(loaded?.takeMessageId().split("-")[0], first.split("-")[0]);
    assert.equal((await stat(file.path)).mode & 0o777, 0o600);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.endsWith(".new")),
      [],
    );
  });

  test("a damaged one is no state, and a failed save leaves the old one", async () => {
    await writeFile(join(folder, "damaged"), '{"format": 1}\n');
    await assert.rejects(new StateFile(join(folder, "damaged")).load(), { name: "InvalidSnapshot" });
    const file = new StateFile(join(folder, "kept"));
    await file.save(Uint8Array.of(1));
    await assert.rejects(new StateFile(join(folder, "missing", "state")).save(Uint8Array.of(2)));
    assert.deepEqual(new Uint8Array(await readFile(file.path)), Uint8Array.of(1));
  });

  test("those who save it at once each write a file of their own", async () => {
    const place = await mkdtemp(join(folder, "place-"));
    const path = join(place, "state");
    const snapshots = [1, 2, 3, 4].map((byte) => new Uint8Array(100_000).fill(byte));
    await Promise.all(snapshots.map((snapshot) => new StateFile(path).save(snapshot)));
    const saved = await readFile(path);
    assert.ok(snapshots.some((snapshot) => saved.equals(snapshot)));
    assert.deepEqual(await readdir(place), ["state"]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
  });

  test("what killed writers have left goes with the first save, and is never written through", async () => {
    const place = await mkdtemp(join(folder, "place-"));
    const precious = join(folder, "precious");
    await writeFile(precious, "precious");
    const [left, link, others] = [".state.new", ".state.01234567.new", [".state.89abcdef.new", ".state.old.new"]];
    await writeFile(join(place, left), "left by a crash");
    await symlink(precious, join(place, link));
    for (const name of others) {
      await writeFile(join(place, name), "another's"); // at work, or of another kind
    }
    for (const name of [left, link, ".state.old.new"]) {
      await lutimes(join(place, name), 0, 0);
    }
    const file = new StateFile(join(place, "state"));
    await file.save(Uint8Array.of(1));
    assert.deepEqual((await readdir(place)).sort(), [...others, "state"].sort());
    assert.equal(await readFile(precious, "utf8"), "precious");
    assert.ok(!(await lstat(file.path)).isSymbolicLink());
    assert.deepEqual(new Uint8Array(await readFile(file.path)), Uint8Array.of(1));
  });

  for (const isThere of [true, false]) {
    test(`one that is a link to what is ${isThere ? "" : "not yet "}there is saved where it leads`, async () => {
      const place = await mkdtemp(join(folder, "place-"));
      const real = join(place, "state");
      if (isThere) {
        await writeFile(real, "old");
      }
      const link = join(folder, `link-${isThere}`);
      await symlink(join(basename(place), "state"), link);
      const file = new StateFile(link);
      const state = ClientState.generate("1-1@interop");
      await file.save(state.toBytes());
      assert.ok((await lstat(link)).isSymbolicLink());
      assert.equal((await stat(real)).mode & 0o777, 0o600);
      assert.deepEqual((await file.load())?.toBytes(), state.toBytes());
      assert.deepEqual(await readdir(place), ["state"]);
    });
  }

  test("one that lacks anything, or was cut anywhere, is no state", () => {
    const saved = Buffer.from(ClientState.generate("1-1@interop").toBytes());
    const end = saved.indexOf("\n");
    const header = JSON.parse(saved.subarray(0, end).toString()) as Record<string, unknown>;
    for (const field of Object.keys(header)) {
      for (const value of [undefined, null, {}, []]) {
        const line = JSON.stringify({ ...header, [field]: value });
        const damaged = Buffer.concat([Buffer.from(line), saved.subarray(end)]);
        assert.throws(() => ClientState.fromBytes(damaged), { name: "InvalidSnapshot" }, `${field}: ${value}`);
      }
    }
    for (let length = 0; length < saved.length; length += 7) {
      assert.throws(() => ClientState.fromBytes(saved.subarray(0, length)), { name: "InvalidSnapshot" });
    }
    const newer = Buffer.from(saved.toString().replace('"format":1', '"format":2'));
    assert.throws(() => ClientState.fromBytes(newer), { message: /another release/u });
  });

  test("one in which anything is of another kind is no state", () => {
    const state = ClientState.generate("1-1@interop");
    const name = messageName("a", "1");
    state.deliveries.finish("0123456789abcdef");
    state.deliveries.keepOpened("fedcba9876543210", Uint8Array.of(1, 2));
    state.deliveries.askAgain(name, 0).prekeyIds.push(7);
    state.deliveries.textCame(name, 5);
    state.deliveries.wait(name, { messageId: "c", timestampMs: 6, plaintext: Uint8Array.of(3), isProved: true });
    state.signal.processBundle(ALICE, takeBundle(SignalState.generate()));
    state.signal.generateKemPrekeys(1);
    state.signal.acceptIdentity(BOB, new Uint8Array(32).fill(9));
    const saved = Buffer.from(state.toBytes()).toString();
    ClientState.fromBytes(Buffer.from(saved));
    const damages: [RegExp, string][] = [
      [/"next_number":1/u, '"next_number":-1'],
      [/"finished":"0/u, '"finished":"'],
      [/"finished":"[0-9a-f]*"/u, '"finished":1'],
      [/"AQI="/u, '"AQ"'],
      [/"asked":\[\[("[^,]*,[^,]*"),1/u, '"asked":[[$1,"1"'],
      [/\[7\]/u, '["7"]'],
      [/,5,0\]/u, ",null,0]"],
      [/,6,"Aw=="/u, ',"6","Aw=="'],
      [/"registration_id":/u, '"registration_id":-'],
      [/"records":\{/u, '"records":[{'],
      [/"identity":"CQkJ/u, '"identity":"'],
      [/"root_key":"..../u, '"root_key":"'],
      [/"one_time":\[\[1,"..../u, '"one_time":[[1,"'],
    ];
    for (const [part, other] of damages) {
      const damaged = saved.replace(part, other);
      assert.notEqual(damaged, saved, `${part}`);
      assert.throws(() => ClientState.fromBytes(Buffer.from(damaged)), { name: "InvalidSnapshot" }, `${part}`);
    }
    const foreign = Buffer.from(saved.replace("1-1@interop", "1-\u00ff@interop"), "latin1"); // is no UTF-8
    assert.throws(() => ClientState.fromBytes(foreign), { name: "InvalidSnapshot" });
  });

  test("what has a name of JavaScript's own is saved like any other", () => {
    const state = ClientState.generate("1-1@interop");
    for (const name of ["__proto__", "constructor", "toString"]) {
      state.signal.acceptIdentity(name, new Uint8Array(32).fill(9));
      state.signal.kem.seen.add(name);
      state.deliveries.textCame(messageName(name, name), 1);
      const loaded = ClientState.fromBytes(state.toBytes());
      assert.deepEqual(loaded.signal.trustedIdentity(name), new Uint8Array(32).fill(9));
      assert.deepEqual(loaded.toBytes(), state.toBytes());
    }
  });

  test("those who commit at once share a save, and each is covered by one that began after it asked", async () => {
    const state = ClientState.generate();
    const saved: number[] = [];
    const store = {
      save: (snapshot: Uint8Array) => {
        saved.push(ClientState.fromBytes(snapshot).nextNumber);
        return new Promise<void>((resolve) => setImmediate(resolve));
      },
    };
    const durable = new DurableState(state, store);
    const commits = [1, 2, 3, 4].map(() => {
      state.takeMessageId();
      return durable.commit();
    });
    await Promise.all(commits);
    assert.ok(saved.length < commits.length);
    assert.equal(saved.at(-1), 5);
  });

  test("a lock lets one work at a time, also after one that failed", async () => {
    const lock = new Lock();
    const order: number[] = [];
    const failing = lock.run(async () => {
      await Promise.resolve();
      order.push(1);
      throw new Error("failed");
    });
    const next = lock.run(async () => {
      order.push(2);
    });
    await assert.rejects(failing);
    await next;
    assert.deepEqual(order, [1, 2]);
  });
});

test("a file whose ack was lost is asked for once, and comes as another copy (MED-08)", () => {
  const [bob, alice] = [ClientState.generate(BOB), SignalState.generate()];
  alice.processBundle(BOB, takeBundle(bob.signal));
  const delivery = (retryCount: number) => {
    const encrypted = { plaintextSha256: ZEROS, plaintextLength: 1, ciphertextSha256: ZEROS };
    const file = { mediaType: MediaType.DOCUMENT, directPath: "/v/1", mediaKey: ZEROS, encrypted };
    const content = mediaContent({ ...file, mimetype: "text/plain", name: "notes.txt" });
    const { body: ciphertext } = alice.encrypt(BOB, padAtRandom(serializeMessage(content)));
    const enc = [{ type: EncType.PREKEY_MESSAGE, ciphertext }];
    const value = { id: "1", fromJid: ALICE, type: MessageType.MEDIA, timestampMs: 1n, retryCount, enc };
    return create(StanzaSchema, { deliveryId: 1n, kind: { case: "message", value } });
  };
  const inbox = new Inbox(bob);
  const kindsOf = (stanza: Stanza) => {
    const answers = new Answers();
    const opened = inbox.open(stanza, answers);
    inbox.finish(opened);
    assert.deepEqual([answers.acks, answers.retries], [[1n], []]);
    return opened.events.map(({ kind }) => kind);
  };
  const first = delivery(0);
  assert.deepEqual(kindsOf(first), ["MediaReceived"]);
  assert.equal(askAgain(bob, { sender: ALICE, messageId: "1", cameWith: 0, mediaStatus: 404 })?.retryCount, 1);
  assert.deepEqual(kindsOf(first), []);
  assert.deepEqual(kindsOf(delivery(1)), ["MediaReceived"]);
  assert.deepEqual(kindsOf(first), []);
});

describe("the proxy's frames", () => {
  test("stanzas, calls and answers", () => {
    assert.deepEqual(decodeFrame(Buffer.from(encodeBatch(Uint8Array.of(9)))), {
      kind: "batch",
      batch: Uint8Array.of(9),
    });
    assert.equal(Buffer.from(encodeRequest(258, "/s/M", Uint8Array.of(7))).toString("hex"), "020000010200042f732f4d07");
    const answer = decodeFrame(Buffer.from("0300000102050a", "hex"));
    assert.deepEqual(answer, { kind: "response", callId: 258, code: 5, body: Uint8Array.of(10) });
  });

  for (const frame of ["", "02", "03000001", "09ff"]) {
    test(`no frame: ${frame || "nothing"}`, () => {
      assert.throws(() => decodeFrame(Buffer.from(frame, "hex")), { name: "FrameMalformed" });
    });
  }

  for (const text of ["", "null", "[]", '{"reason": 1}', '{"reason": "A", "advice": ""}']) {
    test(`no end: ${text || "nothing"}`, () => {
      assert.throws(() => decodeEnded(text), { name: "FrameMalformed" });
    });
  }
});

describe("refusals", () => {
  test("in a google.rpc.Status", () => {
    const refusal = toBinary(RefusalSchema, create(RefusalSchema, { reason: ErrorReason.RATE_LIMITED, code: 429 }));
    const any = new BinaryWriter()
      .tag(1, 2)
      .string("type.googleapis.com/interop_api.v1.Refusal")
      .tag(2, 2)
      .bytes(refusal);
    const status = new BinaryWriter().tag(1, 0).int32(8).tag(2, 2).string("slow down").tag(3, 2).bytes(any.finish());
    const read = refusalFromStatus(8, status.finish());
    assert.deepEqual([read.reason, read.code], ["RATE_LIMITED", 429]);
    const bare = refusalFromStatus(14, new BinaryWriter().tag(2, 2).string("gone").finish());
    assert.deepEqual([bare.reason, bare.advice, bare.recovery], ["UNAVAILABLE", "gone", "UNKNOWN"]);
    assert.throws(() => refusalFromStatus(14, Uint8Array.of(0x12, 0xff)));
  });

  test("in JSON", () => {
    const facts = {
      reason: "token_expired",
      recovery: "new_token",
      retry_after_ms: 5,
      code: 401,
      requirement: "ENL-06",
    };
    const refusal = refusalFromJson(facts);
    assert.deepEqual(
      [refusal.reason, refusal.recovery, refusal.retryAfterMs, refusal.code, refusal.requirement],
      ["TOKEN_EXPIRED", "NEW_TOKEN", 5, 401, "ENL-06"],
    );
    assert.throws(() => refusalFromJson({}), TypeError);
    assert.throws(() => refusalFromJson(null), TypeError);
  });
});

test("an HTTP request follows no redirect, and reads no endless answer", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/redirect") {
      response.writeHead(302, { location: "/" }).end();
    } else {
      response.end("x".repeat(100));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const get = (path: string, most: number) =>
    httpRequest({ method: "GET", url: url + path }, (body) => readBody(body, most));
  try {
    assert.equal((await get("/", 100)).length, 100);
    await assert.rejects(get("/", 99), { reason: "ANSWER_TOO_LARGE" });
    await assert.rejects(get("/redirect", 100), { reason: "HTTP_302" });
  } finally {
    server.close();
  }
  await assert.rejects(get("/", 100), { name: "Unreachable" });
  for (const nowhere of ["", "http://", "http://a b/", "ftp://127.0.0.1/"]) {
    const asking = httpRequest({ method: "GET", url: nowhere }, () => Promise.resolve());
    await assert.rejects(asking, { name: "Unreachable" });
  }
  const file = join(folder, "sent");
  await writeFile(file, "content");
  const put = httpRequest({ method: "PUT", url, body: { file } }, () => Promise.resolve());
  await assert.rejects(put, { name: "Unreachable" });
});

test("a server that falls silent in its answer is late, and not gone", async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-length": "10" });
    response.write("begun");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const answer = httpRequest({ method: "GET", url, idleSeconds: 0.2 }, (body) => readBody(body, 10));
  await assert.rejects(answer, TimeoutError);
  await new Promise((resolve) => server.close(resolve));
});
