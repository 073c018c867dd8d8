/** A client against servers that break the protocol, or hardly keep it. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { deferred } from "../../src/asynchrony.js";
import { MAX_MESSAGE_BYTES } from "../../src/connection/opening.js";
import { EnlistmentService } from "../../src/gen/interop_api/v1/enlistment_pb.js";
import { InteropService } from "../../src/gen/interop_api/v1/interop_pb.js";
import { PreKeyService } from "../../src/gen/interop_api/v1/prekeys_pb.js";
import { ReceiptType } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { ClientState, ConnectionEnded, ThirdPartyClient } from "../../src/index.js";
import { FalseServer, type Frame, type Session, type StanzaInit } from "./falseServer.js";

const ZEROS = new Uint8Array(50);

function clientOf(server: FalseServer, getToken = () => Promise.resolve("token")): ThirdPartyClient {
  return ThirdPartyClient.direct(server, ClientState.generate("1-1@interop"), getToken);
}

/** Logs in, and answers pings until the client has gone. */
async function* idle(session: Session): AsyncGenerator<Frame> {
  yield session.login();
  for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
    for (const { kind } of stanzas) {
      if (kind.case === "ping") {
        yield session.frame({ kind: { case: "pong", value: { id: kind.value.id } } });
      }
    }
  }
}

describe("calls in a wrong order", () => {
  test("two that connect at the same time leave one channel, and closing ends it", { timeout: 20_000 }, async () => {
    await using server = await FalseServer.start(idle);
    const client = clientOf(server);
    const [first, second] = await Promise.allSettled([client.connect(), client.connect()]);
    assert.equal(second.status, "fulfilled");
    assert.ok(first.status === "rejected" && first.reason instanceof ConnectionEnded);
    await client.ping();
    await client.close();
    await server.left();
  });

  test("what closes while it connects anew is closed", { timeout: 20_000 }, async () => {
    await using server = await FalseServer.start(idle);
    const client = clientOf(server);
    await client.connect();
    const [connecting, closing] = await Promise.allSettled([client.connect(), client.close()]);
    assert.ok(connecting.status === "rejected" && connecting.reason instanceof ConnectionEnded);
    assert.equal(closing.status, "fulfilled");
    await server.left();
    assert.equal(server.opened, 1);
  });

  for (const how of ["close", "abort"] as const) {
    test(`what connects while an earlier ${how} is under way is connected`, { timeout: 20_000 }, async () => {
      await using server = await FalseServer.start(idle);
      const client = clientOf(server);
      await client.connect();
      await Promise.all([client[how](), client.connect()]);
      await client.ping();
      await assert.rejects(client.waitFor("TextReceived", 0), { name: "TimeoutError" });
      await client.close();
      await server.left();
    });
  }

  test("of three that connect anew the last one does", { timeout: 20_000 }, async () => {
    await using server = await FalseServer.start(idle);
    const client = clientOf(server);
    await client.connect();
    const all = await Promise.allSettled([client.connect(), client.connect(), client.connect()]);
    assert.deepEqual(
      all.map((each) => each.status === "fulfilled" || (each.reason as ConnectionEnded).reason),
      ["CLOSED", "CLOSED", true],
    );
    await client.ping();
    await client.close();
    await server.left();
    assert.equal(server.opened, 2);
  });

  test("a login that is overtaken is given up, and takes nothing from the one that won", {
    timeout: 20_000,
  }, async () => {
    const [begun, ended] = [deferred<void>(), deferred<void>()];
    await using server = await FalseServer.start(async function* (session) {
      if (server.opened > 1) {
        yield* idle(session);
        return;
      }
      begun.resolve();
      await session.next().catch(() => undefined); // until the client gives it up
      ended.resolve();
    });
    const client = clientOf(server);
    const overtaken = client.connect().catch((error: unknown) => error);
    await begun.promise;
    await client.connect();
    assert.equal(((await overtaken) as ConnectionEnded).reason, "CLOSED");
    await ended.promise;
    await client.ping();
    await client.close();
    await server.left();
  });

  test("a token that never comes keeps nobody from closing or connecting anew", { timeout: 10_000 }, async () => {
    await using server = await FalseServer.start(idle);
    let asked = 0;
    const client = clientOf(server, () => {
      asked += 1;
      return asked < 3 ? new Promise(() => undefined) : Promise.resolve("token");
    });
    for (const how of ["close", "connect"] as const) {
      const waiting = client.connect().catch((error: unknown) => error);
      await new Promise((resolve) => setImmediate(resolve));
      await client[how]();
      assert.equal(((await waiting) as ConnectionEnded).reason, "CLOSED");
    }
    await client.ping();
    await client.close();
    await server.left();
    assert.equal(server.opened, 1);
  });

  test("what closes while it connects leaves nothing open", { timeout: 20_000 }, async () => {
    await using server = await FalseServer.start(idle);
    const token = deferred<string>();
    const asked = deferred<void>();
    const client = clientOf(server, () => {
      asked.resolve();
      return token.promise;
    });
    const connecting = client.connect().catch((error: unknown) => error);
    await asked.promise;
    const closing = client.close();
    token.resolve("token");
    await closing;
    assert.ok((await connecting) instanceof ConnectionEnded);
    await server.left();
    assert.equal(server.opened, 0);
  });
});

test("a server's limits are beyond what a timer can hold (CHN-12)", { timeout: 20_000 }, async () => {
  let pings = 0;
  await using server = await FalseServer.start(async function* (session) {
    yield session.login({ keepaliveSeconds: 0xffff_ffff });
    for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
      for (const { kind } of stanzas) {
        if (kind.case === "ping" && kind.value.id === 0n) {
          pings += 1;
        } else if (kind.case === "ping") {
          yield session.frame({ kind: { case: "pong", value: { id: kind.value.id } } });
        }
      }
    }
  });
  const client = clientOf(server);
  await client.connect();
  for (let round = 0; round < 20; round += 1) {
    await client.ping();
  }
  await client.close();
  assert.equal(pings, 0);
});

describe("a server that breaks the protocol after the login ends the connection, with the reason", () => {
  const tooLong = new Uint8Array(MAX_MESSAGE_BYTES + 1);
  const receipts = (count: number): StanzaInit[] =>
    Array.from({ length: count }, (_, index) => ({
      deliveryId: BigInt(index + 1),
      kind: { case: "receipt", value: { fromJid: "2-1@interop", type: ReceiptType.READ, messageIds: ["1"] } },
    }));
  const scripts: readonly (readonly [what: string, reason: string, bad: (session: Session) => Frame])[] = [
    ["a batch of no stanza", "FRAME_MALFORMED", (session) => session.frame()],
    ["what is no batch", "FRAME_MALFORMED", (session) => session.sealed(new Uint8Array(50).fill(255))],
    ["a second handshake", "FRAME_MALFORMED", () => ({ frame: { case: "handshake", value: {} } })],
    ["no frame at all", "FRAME_MALFORMED", () => ({})],
    ["what it has not sealed", "FRAME_AUTHENTICATION_FAILED", () => ({ frame: { case: "sealed", value: ZEROS } })],
    ["more than a message may hold", "RESOURCE_EXHAUSTED", (session) => session.sealed(tooLong)],
    ["more deliveries than it may", "TOO_MANY_DELIVERIES", (session) => session.frame(...receipts(75))],
  ];
  for (const [what, reason, bad] of scripts) {
    test(what, { timeout: 20_000 }, async () => {
      await using server = await FalseServer.start(async function* (session) {
        yield session.login({ maxUnackedDeliveries: 10 });
        yield bad(session);
        yield* idle(session);
      });
      const client = clientOf(server);
      await client.connect();
      assert.equal((await client.waitFor("ConnectionLost")).reason, reason);
      await client.close();
    });
  }
});

test("refusals of what nobody sent fill no more than the queue of events", { timeout: 20_000 }, async () => {
  await using server = await FalseServer.start(async function* (session) {
    yield session.login();
    const refused = { kind: { case: "stanzaRefused", value: { id: "never sent" } } } as const;
    yield session.frame(...Array.from({ length: 100 }, () => refused));
    yield* idle(session);
  });
  const state = ClientState.generate("1-1@interop");
  const token = () => Promise.resolve("token");
  const client = ThirdPartyClient.direct(server, state, token, undefined, { eventCapacity: 10 });
  await client.connect();
  await client.ping(); // its answer comes after them
  await client.close();
  const kinds: string[] = [];
  for await (const { kind } of client.events()) {
    kinds.push(kind);
  }
  assert.deepEqual(
    kinds,
    Array.from({ length: 10 }, () => "StanzaRefused"),
  );
});

test("an answer that names nobody is malformed", { timeout: 20_000 }, async () => {
  let login = "";
  await using server = await FalseServer.start(idle, (router) => {
    router.service(InteropService, { resolve: () => ({}) });
    router.service(PreKeyService, { takePreKeyBundles: () => ({}) });
    router.service(EnlistmentService, {
      enlist: () => ({ outcome: { case: "success", value: { login } } }),
    });
  });
  const client = clientOf(server);
  await client.connect();
  await assert.rejects(client.resolve("ada"), { reason: "ANSWER_MALFORMED" });
  await assert.rejects(client.takePrekeyBundle("2-1@interop"), { reason: "ANSWER_MALFORMED" });
  for (login of ["", "ada", "4915112345678@s.whatsapp.net"]) {
    await assert.rejects(client.enlist("token"), { reason: "ANSWER_MALFORMED" });
  }
  assert.equal(client.jid, "1-1@interop");
  await client.close();
});

test("what comes before the login is no login", { timeout: 20_000 }, async () => {
  await using server = await FalseServer.start(async function* (session) {
    yield session.frame({ kind: { case: "pong", value: { id: 1n } } });
    yield* idle(session);
  });
  const client = clientOf(server);
  await assert.rejects(client.connect(), { name: "RemoteProtocolError", reason: "FRAME_MALFORMED" });
  await client.close();
  await server.left();
});

test("a login that never comes does not keep a client from closing", { timeout: 10_000 }, async () => {
  const never = deferred<void>();
  const finished = deferred<void>();
  await using server = await FalseServer.start(async function* (session) {
    finished.resolve();
    await never.promise;
    yield session.login();
  });
  const client = clientOf(server);
  const connecting = client.connect().catch((error: unknown) => error);
  await finished.promise;
  await client.close();
  assert.ok((await connecting) instanceof ConnectionEnded);
  await server.left();
  never.resolve();
});

test("ids of deliveries that repeat, fall or are 0 lose nothing and show nothing twice", {
  timeout: 20_000,
}, async () => {
  const acked: bigint[] = [];
  const allAcked = deferred<void>();
  const receipt = (deliveryId: bigint, id: string): StanzaInit => ({
    deliveryId,
    kind: { case: "receipt", value: { fromJid: "2-1@interop", type: ReceiptType.READ, messageIds: [id] } },
  });
  await using server = await FalseServer.start(async function* (session) {
    yield session.login();
    const unknown = { id: "unknown", timestampMs: 1n };
    yield session.frame(
      receipt(5n, "a"),
      receipt(5n, "a"),
      { kind: { case: "sendAcks", value: { acks: [unknown] } } },
      receipt(3n, "b"),
      receipt(0n, "c"),
      receipt(2n ** 64n - 1n, "d"),
    );
    for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
      acked.push(...stanzas.flatMap(({ kind }) => (kind.case === "ack" ? kind.value.deliveryIds : [])));
      if (acked.length >= 4) {
        allAcked.resolve();
      }
    }
  });
  const client = clientOf(server);
  await client.connect();
  for (const id of ["a", "b", "c", "d"]) {
    assert.deepEqual((await client.waitFor("ReceiptReceived")).messageIds, [id]);
  }
  await allAcked.promise;
  await client.close();
  assert.deepEqual(acked, [5n, 5n, 3n, 2n ** 64n - 1n]);
});
