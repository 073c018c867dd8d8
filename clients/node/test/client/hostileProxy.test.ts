/** A client against a messenger's proxy that breaks its protocol, falls silent, or never answers. */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import { type WebSocket, WebSocketServer } from "ws";

import { BatchSchema } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { ClientState, ConnectionEnded, ProxyTransport, ThirdPartyClient } from "../../src/index.js";
import type { StanzaInit } from "./falseServer.js";

const BATCH = 1;
const REQUEST = 2;
const RESPONSE = 3;
const MORE_THAN_A_FRAME = 5 << 20;

function batch(...stanzas: StanzaInit[]): Buffer {
  return Buffer.concat([Uint8Array.of(BATCH), toBinary(BatchSchema, create(BatchSchema, { stanzas }))]);
}

const LOGIN = batch({ kind: { case: "loginSuccess", value: { jid: "1-1@interop" } } });
const ENDED = JSON.stringify({
  reason: "constructor",
  advice: "",
  requirement: "",
  request_id: "",
  recovery: "__proto__",
});

/** Calls the work with a client whose proxy does as the script says, and closes both. */
async function withClient(
  script: (socket: WebSocket) => void,
  work: (client: ThirdPartyClient, proxy: WebSocketServer) => Promise<void>,
): Promise<void> {
  const proxy = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(proxy, "listening");
  proxy.on("connection", (socket) => {
    socket.on("error", () => undefined);
    script(socket);
  });
  const login = { user: "bob", jid: "1-1@interop", getToken: () => Promise.resolve("token") };
  const transport = new ProxyTransport(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/proxy`, login);
  const client = new ThirdPartyClient(transport, ClientState.generate("1-1@interop"));
  try {
    await work(client, proxy);
  } finally {
    await client.close();
    for (const socket of proxy.clients) {
      socket.terminate();
    }
    await new Promise((resolve) => proxy.close(resolve));
  }
}

describe("instead of a login", { timeout: 20_000 }, () => {
  for (const [what, answer, reason] of [
    ["a frame of no known type", Uint8Array.of(9), "PROXY_FRAME_MALFORMED"],
    ["an empty frame", new Uint8Array(), "PROXY_FRAME_MALFORMED"],
    ["a batch of no stanza", batch(), "PROXY_FRAME_MALFORMED"],
    ["an answer that nobody asked for", Uint8Array.of(RESPONSE, 0, 0, 0, 1, 0), "PROXY_FRAME_MALFORMED"],
    ["a text that is no JSON", "hello", "PROXY_FRAME_MALFORMED"],
    ["null", "null", "PROXY_FRAME_MALFORMED"],
    ["a reason with a name of JavaScript's own", ENDED, "constructor"],
  ] as const) {
    test(what, async () => {
      await withClient(
        (socket) => socket.send(answer),
        (client) => assert.rejects(client.connect(), { name: "ServerRefusal", reason }),
      );
    });
  }
});

describe("after the login", { timeout: 20_000 }, () => {
  for (const [what, frame, reason] of [
    ["what is no batch", Uint8Array.of(BATCH, 255, 255), "PROXY_FRAME_MALFORMED"],
    ["an end that is none", "{}", "PROXY_FRAME_MALFORMED"],
    ["an end, and an open socket", ENDED, "constructor"],
    ["more than a frame may hold", new Uint8Array(MORE_THAN_A_FRAME), "BROKEN"],
  ] as const) {
    test(what, async () => {
      const script = (socket: WebSocket) => {
        socket.send(LOGIN);
        socket.send(frame);
      };
      await withClient(script, async (client) => {
        await client.connect();
        assert.equal((await client.waitFor("ConnectionLost")).reason, reason);
      });
    });
  }

  test("an answer that is no message, and one to another call", async () => {
    const script = (socket: WebSocket) => {
      socket.send(LOGIN);
      socket.on("message", (data: Buffer) => {
        if (data[0] === REQUEST) {
          socket.send(Uint8Array.of(RESPONSE, 255, 255, 255, 255, 0));
          socket.send(Buffer.concat([Uint8Array.of(RESPONSE), data.subarray(1, 5), Uint8Array.of(0, 255)]));
        }
      });
    };
    await withClient(script, async (client) => {
      await client.connect();
      await assert.rejects(client.countPrekeys(), { reason: "PROXY_FRAME_MALFORMED" });
    });
  });

  test("no answer: closing does not wait for it", async () => {
    await withClient(
      (socket) => socket.send(LOGIN),
      async (client) => {
        await client.connect();
        const counting = client.countPrekeys().catch((error: unknown) => error);
        await client.close();
        assert.equal(((await counting) as { readonly reason?: string }).reason, "SESSION_DEAD");
      },
    );
  });
});

test("a URL that names no host is that of no proxy", async () => {
  for (const url of ["", "http://", "http://a b/", "ftp://127.0.0.1/"]) {
    const login = { user: "bob", jid: "1-1@interop", getToken: () => Promise.resolve("token") };
    await assert.rejects(new ProxyTransport(url, login).connect(), { name: "ServerRefusal", reason: "UNAVAILABLE" });
  }
});

test("two that connect at the same time leave one connection", { timeout: 20_000 }, async () => {
  await withClient(
    (socket) => socket.send(LOGIN),
    async (client, proxy) => {
      const [first, second] = await Promise.allSettled([client.connect(), client.connect()]);
      assert.ok(first.status === "rejected" && first.reason instanceof ConnectionEnded);
      assert.equal(second.status, "fulfilled");
      assert.equal(proxy.clients.size, 1);
    },
  );
});

test("a login that never comes does not keep a client from closing", { timeout: 10_000 }, async () => {
  await withClient(
    () => undefined,
    async (client, proxy) => {
      const connecting = client.connect().catch((error: unknown) => error);
      await once(proxy, "connection");
      await client.close();
      assert.ok((await connecting) instanceof ConnectionEnded);
    },
  );
});

test("a token that never comes does not keep a client from closing", { timeout: 10_000 }, async () => {
  const login = { user: "bob", jid: "1-1@interop", getToken: () => new Promise<string>(() => undefined) };
  const transport = new ProxyTransport("http://127.0.0.1:1/proxy", login);
  const client = new ThirdPartyClient(transport, ClientState.generate("1-1@interop"));
  const connecting = client.connect().catch((error: unknown) => error);
  await new Promise((resolve) => setImmediate(resolve));
  await client.close();
  assert.equal(((await connecting) as ConnectionEnded).reason, "CLOSED");
});
