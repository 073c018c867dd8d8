/** The client's calls in any order, and an application whose code fails, closes or never returns. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { queryObjects, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { create } from "@bufbuild/protobuf";

import { deferred } from "../../src/asynchrony.js";
import { REPEAT_SECONDS } from "../../src/connection/calls.js";
import type { Transport } from "../../src/connection/transport.js";
import { MediaService } from "../../src/gen/interop_api/v1/media_pb.js";
import { PreKeyService } from "../../src/gen/interop_api/v1/prekeys_pb.js";
import {
  LoginSuccessSchema,
  MessageSchema,
  ReceiptType,
  StanzaSchema,
} from "../../src/gen/interop_api/v1/stanza_pb.js";
import { ClientState, ConnectionEnded, LoginRefused, log, ServerRefusal, ThirdPartyClient } from "../../src/index.js";
import { Connection } from "../../src/messaging/openConnection.js";
import type { ClientOptions } from "../../src/options.js";
import { FalseServer, type Frame, type Session, type StanzaInit } from "./falseServer.js";

const RECEIPT: StanzaInit = {
  deliveryId: 1n,
  kind: { case: "receipt", value: { fromJid: "2-1@interop", type: ReceiptType.READ, messageIds: ["1"] } },
};

function clientOf(server: FalseServer, options: ClientOptions = {}, state = newState()): ThirdPartyClient {
  return ThirdPartyClient.direct(server, state, () => Promise.resolve("token"), undefined, options);
}

function newState(): ClientState {
  return ClientState.generate("1-1@interop");
}

/** Delivers another receipt on each connection, without a server. */
class Delivering implements Transport {
  readonly blobs = undefined;
  readonly ca = "";
  #closed = deferred<void>();
  #deliveryId = 0n;

  connect() {
    this.#closed = deferred<void>();
    return Promise.resolve(create(LoginSuccessSchema, { jid: "1-1@interop" }));
  }

  async *receive() {
    const closed = this.#closed.promise;
    this.#deliveryId += 1n;
    yield [create(StanzaSchema, { ...RECEIPT, deliveryId: this.#deliveryId })];
    await closed;
  }

  send() {
    return Promise.resolve();
  }

  call() {
    return Promise.reject(new Error("there is no server"));
  }

  abort(): void {
    this.#closed.resolve();
  }

  close() {
    this.#closed.resolve();
    return Promise.resolve();
  }
}

/** Logs in, delivers a receipt, notes what is acked, and reads until the client has gone. */
function delivering(acked: bigint[]) {
  return async function* (session: Session): AsyncGenerator<Frame> {
    yield session.login();
    yield session.frame(RECEIPT);
    for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
      acked.push(...stanzas.flatMap(({ kind }) => (kind.case === "ack" ? kind.value.deliveryIds : [])));
    }
  };
}

/** Answers pings until the client has gone. */
async function* answering(session: Session): AsyncGenerator<Frame> {
  for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
    for (const { kind } of stanzas) {
      if (kind.case === "ping") {
        yield session.frame({ kind: { case: "pong", value: { id: kind.value.id } } });
      }
    }
  }
}

test("before it connects, and after it is closed, a client sends nothing and says so", async () => {
  await using server = await FalseServer.start(delivering([]));
  const client = clientOf(server);
  const isRefused = async () => {
    const message = create(MessageSchema, { id: "1", toJid: "2-1@interop" });
    for (const call of [
      () => client.ping(),
      () => client.sendEncrypted(message),
      () => client.refuseIdentity("2-1@interop"),
    ]) {
      await assert.rejects(call, ConnectionEnded);
    }
  };
  await client.close();
  await isRefused();
  await client.connect();
  await client.close();
  await client.close();
  await isRefused();
  await client.abort();
  assert.equal(server.opened, 1);
});

test("without a chat channel, no connection stays open", { timeout: 20_000 }, async () => {
  let isRefused = false;
  await using server = await FalseServer.start(
    async function* (session) {
      yield isRefused ? session.frame({ kind: { case: "loginFailure", value: {} } }) : session.login();
      while ((await session.next()) !== undefined) {
        // It hears until the client has gone.
      }
    },
    (router) => {
      router.service(PreKeyService, { countOneTimePreKeys: () => ({ count: 1 }) });
    },
  );
  const client = clientOf(server);
  await client.countPrekeys(); // before it connects
  await server.left();
  await client.connect();
  await client.countPrekeys();
  assert.equal(server.connections, 1);
  await client.close();
  await client.countPrekeys();
  await server.left();
  isRefused = true;
  await assert.rejects(client.connect(), LoginRefused);
  await server.left();
});

test("what waits for an answer when the client closes learns that none will come", { timeout: 20_000 }, async () => {
  await using server = await FalseServer.start(delivering([]));
  const client = clientOf(server);
  await client.connect();
  const message = create(MessageSchema, { id: "1", toJid: "2-1@interop" });
  const waiting = [client.ping(), client.sendEncrypted(message), client.waitFor("TextReceived", 60)];
  const ended = Promise.allSettled(waiting);
  await client.close();
  for (const each of await ended) {
    assert.ok(each.status === "rejected" && each.reason instanceof ConnectionEnded);
  }
});

test("calls under which the client closes end so, are not repeated, and leave nothing open", {
  timeout: 20_000,
}, async () => {
  const never = deferred<never>();
  let asked = 0;
  const allAsked = deferred<void>();
  const answer = () => {
    asked += 1;
    if (asked === 3) {
      allAsked.resolve();
    }
    return never.promise;
  };
  await using server = await FalseServer.start(delivering([]), (router) => {
    router.service(PreKeyService, {
      countOneTimePreKeys: answer,
      addOneTimePreKeys: answer,
      takePreKeyBundles: answer,
    });
  });
  const client = clientOf(server);
  await client.connect();
  // The second of each kind waits for the first one.
  const sendings = ["Hello!", "Are you there?"].map((text) => client.sendText("2-1@interop", text));
  const calls = [client.countPrekeys(), client.addPrekeys(1), client.addPrekeys(1), ...sendings];
  const ended = Promise.allSettled(calls);
  await allAsked.promise;
  await client.close();
  for (const each of await ended) {
    assert.ok(each.status === "rejected" && each.reason instanceof ConnectionEnded);
    assert.equal(each.reason.reason, "CLOSED");
  }
  await new Promise((resolve) => setTimeout(resolve, 1_000 * (REPEAT_SECONDS[0] + REPEAT_SECONDS[1])));
  await server.left();
  assert.equal(asked, 3);
  never.reject(new Error("the test is over"));
});

test("an upload and a download under which the client closes end so", { timeout: 20_000 }, async () => {
  const never = deferred<never>();
  const [isUploading, isDownloading] = [deferred<void>(), deferred<void>()];
  await using server = await FalseServer.start(delivering([]), (router) => {
    router.service(MediaService, {
      upload: () => {
        isUploading.resolve();
        return never.promise;
      },
      async *download() {
        isDownloading.resolve();
        yield await never.promise;
      },
    });
  });
  const client = clientOf(server);
  await client.connect();
  const { blobs } = client.transport;
  assert.ok(blobs);
  async function* requests() {
    yield { part: { case: "chunk", value: new Uint8Array(1) } } as const;
    await never.promise;
  }
  const downloading = blobs.download({ directPath: "/v/1" })[Symbol.asyncIterator]().next();
  const ended = Promise.allSettled([blobs.upload(requests()), downloading]);
  await Promise.all([isUploading.promise, isDownloading.promise]);
  await client.close();
  for (const each of await ended) {
    assert.ok(each.status === "rejected" && each.reason instanceof ConnectionEnded);
    assert.equal(each.reason.reason, "CLOSED");
  }
  await server.left();
  never.reject(new Error("the test is over"));
});

describe("what cannot be sent is no refusal of the server's", () => {
  const half = "Hi \ud83d"; // of an emoji, as a program cuts it that counts in UTF-16

  test("a content that is no Unicode text", async () => {
    await using server = await FalseServer.start(delivering([]));
    const client = clientOf(server);
    const jid = "2-1@interop";
    for (const send of [
      () => client.sendText(jid, half),
      () => client.sendReaction(jid, "1", half),
      () => client.sendEdit(jid, "1", half),
      () => client.sendDeletion(jid, half),
    ]) {
      await assert.rejects(send(), { name: "InvalidContent" });
    }
  });

  test("a name that is none, or a number out of range", async () => {
    await using server = await FalseServer.start(delivering([]));
    const client = clientOf(server);
    await client.connect();
    for (const call of [
      () => client.resolve(half),
      () => client.resolve("ada", -1),
      () => client.sendText(half, "Hi"),
      () => client.sendEncrypted(create(MessageSchema, { id: half, toJid: "2-1@interop" })),
    ]) {
      await assert.rejects(call(), (error) => error instanceof Error && !(error instanceof ServerRefusal));
    }
    await client.close();
  });
});

describe("what is out of range is refused where it is given", () => {
  for (const options of [
    { refillCount: -1 },
    { refillCount: 20_001 },
    { refillCount: 1.5 },
    { kemPrekeys: -1 },
    { kemPrekeys: 5_001 },
    { eventCapacity: 0 },
    { eventCapacity: Number.NaN },
  ] satisfies ClientOptions[]) {
    test(`${Object.keys(options)} ${Object.values(options)}`, async () => {
      await using server = await FalseServer.start(delivering([]));
      assert.throws(() => clientOf(server, options), RangeError);
      clientOf(server, { refillCount: 20_000, kemPrekeys: 5_000, eventCapacity: 1 });
    });
  }

  test("a number of prekeys: nothing is made or published, nor replaced", async () => {
    let calls = 0;
    const answer = () => {
      calls += 1;
      return {};
    };
    await using server = await FalseServer.start(delivering([]), (router) => {
      router.service(PreKeyService, { setPreKeys: answer, addOneTimePreKeys: answer });
    });
    const state = newState();
    state.signal.offerOneTimePrekeys(3);
    const before = state.toBytes();
    const client = clientOf(server, {}, state);
    await client.connect();
    for (const count of [-1, 1.5, 20_001, Number.NaN]) {
      await assert.rejects(client.publishPrekeys(count), RangeError);
      await assert.rejects(client.addPrekeys(count), RangeError);
    }
    await assert.rejects(client.addPrekeys(0), RangeError);
    await client.close();
    assert.equal(calls, 0);
    assert.deepEqual(state.toBytes(), before);
  });
});

describe("the application's code", { timeout: 20_000 }, () => {
  for (const how of ["close", "abort", "connect"] as const) {
    test(`may call ${how} while its event waits for it`, async () => {
      await using server = await FalseServer.start(delivering([]));
      const called = deferred<void>();
      let isFirst = true;
      const client = clientOf(server, {
        onEvent: async () => {
          if (isFirst) {
            isFirst = false;
            await client[how]();
            called.resolve();
          }
        },
      });
      await client.connect();
      await called.promise;
      await client.close();
      await server.left();
    });
  }

  for (const times of [1, 3]) {
    test(`connects anew ${times} times: what it is at work on is handed over once, and acked after that`, async () => {
      const acked: bigint[] = [];
      const isAcked = deferred<void>();
      await using server = await FalseServer.start(async function* (session) {
        yield session.login();
        yield session.frame(RECEIPT);
        for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
          for (const { kind } of stanzas) {
            if (kind.case === "ping") {
              yield session.frame({ kind: { case: "pong", value: { id: kind.value.id } } });
            } else if (kind.case === "ack") {
              acked.push(...kind.value.deliveryIds);
              isAcked.resolve();
            }
          }
        }
      });
      const seen: string[] = [];
      const client = clientOf(server, {
        onEvent: async () => {
          seen.push("begins");
          for (let count = 0; count < times; count += 1) {
            await client.connect();
          }
          await client.ping(); // the delivery that comes after the login is there by now
          assert.deepEqual(acked, []);
          seen.push("ends");
        },
      });
      await client.connect();
      await isAcked.promise;
      await client.close();
      assert.deepEqual(seen, ["begins", "ends"]);
      assert.deepEqual(acked, [1n]);
      assert.equal(server.opened, 1 + times);
    });

    test(`fails after it has connected anew ${times} times: the new connection fails, too`, async (context) => {
      context.mock.method(log, "error", () => undefined);
      const acked: bigint[] = [];
      await using server = await FalseServer.start(delivering(acked));
      const client = clientOf(server, {
        onEvent: async () => {
          for (let count = 0; count < times; count += 1) {
            await client.connect();
          }
          throw new Error("the disk is full");
        },
      });
      await client.connect();
      assert.equal((await client.waitFor("ConnectionLost")).reason, "CLIENT_FAULT");
      await assert.rejects(client.connect(), { name: "ConnectionEnded", reason: "CLIENT_FAULT" });
      await client.close();
      assert.deepEqual(acked, []);
    });
  }

  test("connects anew each time: no connection is kept by those after it", async () => {
    const before = queryObjects(Connection, { format: "count" }); // of other tests
    const transport = new Delivering();
    const isLast = deferred<void>();
    let connections = 1;
    const onEvent = async () => {
      if (connections < 20) {
        connections += 1;
        await client.connect();
      } else {
        isLast.resolve();
      }
    };
    const client = new ThirdPartyClient(transport, newState(), undefined, { onEvent });
    await client.connect();
    await isLast.promise;
    await client.close();
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
    await new Promise((resolve) => setImmediate(resolve)); // what a collection frees, the next one collects
    const kept = queryObjects(Connection, { format: "count" }) - before;
    assert.ok(kept <= 3, `${kept} of ${connections} connections are kept`);
  });

  for (const [what, error] of [
    ["fails", new Error("the disk is full")],
    ["lets out the end of another connection", new ConnectionEnded("CLOSED")],
  ] as const) {
    for (const where of ["onEvent", "save"] as const) {
      test(`${what} in ${where}: nothing is acked, and this client does not go on`, async (context) => {
        context.mock.method(log, "error", () => undefined);
        const acked: bigint[] = [];
        await using server = await FalseServer.start(delivering(acked));
        const fail = () => Promise.reject(error);
        const token = () => Promise.resolve("token");
        const client =
          where === "onEvent"
            ? clientOf(server, { onEvent: fail })
            : ThirdPartyClient.direct(server, newState(), token, { save: fail });
        await client.connect();
        assert.equal((await client.waitFor("ConnectionLost")).reason, "CLIENT_FAULT");
        await assert.rejects(client.connect(), { name: "ConnectionEnded", reason: "CLIENT_FAULT" });
        await client.close();
        assert.deepEqual(acked, []);
      });
    }
  }

  test("closes when the server asks to compare keys: it is asked again, and acks when they are compared", async () => {
    const acked: bigint[] = [];
    const isAcked = deferred<void>();
    const seen: bigint[][] = [];
    const notification = { event: { case: "digestRequested", value: {} } } as const;
    await using server = await FalseServer.start(
      async function* (session) {
        yield session.login();
        yield session.frame({ deliveryId: 7n, kind: { case: "notification", value: notification } });
        for (let stanzas = await session.next(); stanzas !== undefined; stanzas = await session.next()) {
          for (const { kind } of stanzas) {
            if (kind.case === "ack") {
              acked.push(...kind.value.deliveryIds);
              isAcked.resolve();
            }
          }
        }
      },
      (router) => {
        router.service(PreKeyService, {
          getKeyDigest: () => {
            seen.push([...acked]);
            return {};
          },
          setPreKeys: () => ({}),
        });
      },
    );
    const closed = deferred<void>();
    let isFirst = true;
    const client = clientOf(server, {
      refillCount: 1,
      onEvent: async () => {
        if (isFirst) {
          isFirst = false;
          await client.close();
          closed.resolve();
        }
      },
    });
    await client.connect();
    await closed.promise;
    await client.connect();
    assert.equal((await client.waitFor("PreKeysCompared")).wereIntact, false);
    await isAcked.promise;
    await client.close();
    assert.deepEqual(acked, [7n]);
    assert.deepEqual(seen, [[]]);
  });

  test("never finds what was sent: closing does not wait for it", async () => {
    const asked = deferred<void>();
    const retryReceipt = { fromJid: "2-1@interop", messageId: "1", retryCount: 1 };
    await using server = await FalseServer.start(async function* (session) {
      yield session.login();
      yield session.frame({ deliveryId: 1n, kind: { case: "retryReceipt", value: retryReceipt } });
      yield* answering(session);
    });
    const client = clientOf(server, {
      findSent: () => {
        asked.resolve();
        return new Promise(() => undefined);
      },
    });
    await client.connect();
    await asked.promise;
    await client.close();
    await server.left();
  });

  test("lets out the end of its own connection: that is told, and the client may connect anew", async () => {
    const called = deferred<void>();
    await using server = await FalseServer.start(async function* (session) {
      yield session.login();
      yield session.frame(RECEIPT);
      await called.promise;
    });
    let isFirst = true;
    const client = clientOf(server, {
      onEvent: async () => {
        if (isFirst) {
          isFirst = false;
          const answered = client.ping();
          called.resolve();
          await answered;
        }
      },
    });
    await client.connect();
    assert.equal((await client.waitFor("ConnectionLost")).reason, "OK");
    await client.connect();
    await client.close();
  });
});

test("a predicate that throws ends its own wait, and not the connection", { timeout: 20_000 }, async () => {
  const refused = { kind: { case: "stanzaRefused", value: { id: "1" } } } as const;
  const isWaiting = deferred<void>();
  await using server = await FalseServer.start(async function* (session) {
    yield session.login();
    await isWaiting.promise;
    yield session.frame(refused);
    yield session.frame(RECEIPT);
    yield* answering(session);
  });
  const client = clientOf(server);
  await client.connect();
  const failing = client.waitFor(() => {
    throw new Error("the application's own");
  });
  const other = client.waitFor("ReceiptReceived");
  isWaiting.resolve();
  await assert.rejects(failing, { message: "the application's own" });
  assert.deepEqual((await other).messageIds, ["1"]);
  await client.ping();
  await client.close();
});

test("the end of a connection is told while the client's own work still waits for the server", async () => {
  const asked = deferred<void>();
  const never = deferred<never>();
  await using server = await FalseServer.start(
    async function* (session) {
      yield session.login();
      const event = { case: "prekeysLow", value: { count: 1 } } as const;
      yield session.frame({ deliveryId: 1n, kind: { case: "notification", value: { event } } });
      await asked.promise;
    },
    (router) => {
      router.service(PreKeyService, {
        countOneTimePreKeys: () => {
          asked.resolve();
          return never.promise;
        },
      });
    },
  );
  const state = newState();
  state.signal.generateOneTimePrekeys(1);
  const client = clientOf(server, {}, state);
  await client.connect();
  assert.equal((await client.waitFor("ConnectionLost", 5)).reason, "OK");
  await client.close();
  never.reject(new Error("the test is over"));
});
