/** What the server, a false server and the network refuse comes as an error of its own, with what to do about it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  CertificateError,
  ClientState,
  ConnectionEnded,
  LoginRefused,
  ProxyTransport,
  ServerRefusal,
  ThirdPartyClient,
  TimeoutError,
} from "../../src/index.js";
import { World } from "./world.js";

let world: World;
before(async () => {
  world = await World.open();
});
after(() => world[Symbol.asyncDispose]());

test("a refused call says reason, requirement, advice, code and recovery", async () => {
  const [bob, stranger] = [await world.thirdParty(), await world.whatsApp(false)];
  await assert.rejects(bob.sendText(stranger.jid, "Hello?"), (error) => {
    assert.ok(error instanceof ServerRefusal);
    assert.deepEqual([error.reason, error.requirement, error.recovery], ["RECIPIENT_NOT_REACHABLE", "OPT-09", "NEVER"]);
    assert.ok(error.advice && error.requestId && error.code > 0);
    assert.match(error.message, /^RECIPIENT_NOT_REACHABLE \(OPT-09, request [0-9a-f]+\): /u);
    return true;
  });
});

test("a refusal for a time says how long", async () => {
  const bob = await world.thirdParty();
  const stranger = await world.whatsApp(false);
  const ping = () => bob.sendReachabilityPing(`+${stranger.jid.split("@")[0]}`, "Bob");
  await assert.rejects(
    async () => {
      for (let attempt = 0; attempt < 100; attempt += 1) {
        await ping();
      }
    },
    (error) => {
      assert.ok(error instanceof ServerRefusal && error.reason === "RATE_LIMITED", String(error));
      assert.ok(error.retryAfterMs !== undefined && error.retryAfterMs > 0);
      assert.equal(error.recovery, "SAME_AGAIN");
      return true;
    },
  );
});

test("a field that is not valid is named", async () => {
  const bob = await world.thirdParty();
  await assert.rejects(bob.sendReachabilityPing("not a number", "Bob"), (error) => {
    assert.ok(error instanceof ServerRefusal);
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      ["phone_number"],
    );
    return true;
  });
});

test("an enlistment is refused in both its forms", async () => {
  const client = world.closeLater(world.messenger.user(world.newName()));
  await assert.rejects(client.enlist("a.false.token"), { name: "ServerRefusal", reason: "TOKEN_MALFORMED" });
  const overHttp = client.enlistOverHttp(world.endpoint.http, "a.false.token");
  await assert.rejects(overHttp, { name: "ServerRefusal", reason: "TOKEN_MALFORMED", requirement: "ENL-05" });
});

test("a login is refused with its code", async () => {
  const name = world.newName();
  const stranger = new ClientState(`${world.messenger.integrator}-12345678901234@interop`, ...keysOf());
  const client = world.closeLater(world.messenger.user(name, {}, stranger));
  await assert.rejects(client.connect(), (error) => {
    assert.ok(error instanceof LoginRefused && error instanceof ServerRefusal);
    assert.ok(error.code >= 400 && error.reason !== "");
    return true;
  });
});

test("a server under another root gets no login", async () => {
  const impostor = { ...world.endpoint, rootPublicKey: new Uint8Array(32).fill(9, 31) };
  let wasAsked = false;
  const getToken = () =>
    Promise.resolve("").finally(() => {
      wasAsked = true;
    });
  const state = new ClientState(`${world.messenger.integrator}-12345678901234@interop`, ...keysOf());
  const client = world.closeLater(ThirdPartyClient.direct(impostor, state, getToken));
  await assert.rejects(client.connect(), (error) => error instanceof CertificateError && error.reason === "WRONG_ROOT");
  assert.ok(wasAsked, "the token was there, and was not sent: the handshake ended before its third message");
});

test("where nobody listens, both ways say so", async () => {
  const nowhere = { ...world.endpoint, grpc: "127.0.0.1:1" };
  const state = new ClientState("200-12345678901234@interop", ...keysOf());
  const direct = world.closeLater(ThirdPartyClient.direct(nowhere, state, () => Promise.resolve("token")));
  await assert.rejects(direct.connect(), { name: "ServerRefusal", reason: "UNAVAILABLE" });
  const login = { user: "bob", jid: state.jid, getToken: () => Promise.resolve("token") };
  const proxied = new ThirdPartyClient(new ProxyTransport("http://127.0.0.1:1/proxy", login), state);
  await assert.rejects(proxied.connect(), { name: "ServerRefusal", reason: "UNAVAILABLE" });
});

test("a connection that another one replaces says why it ended", async () => {
  const name = world.newName();
  const state = ClientState.generate();
  const first = world.closeLater(world.messenger.user(name, {}, state));
  await first.enlist(await world.messenger.token(name));
  await first.connect();
  const second = world.closeLater(world.messenger.user(name, {}, state));
  await second.connect();
  assert.equal((await first.waitFor("ConnectionLost")).reason, "CONNECTION_REPLACED");
  await assert.rejects(
    first.ping(),
    (error) => error instanceof ConnectionEnded && error.reason === "CONNECTION_REPLACED",
  );
  await second.ping();
});

test("what does not come in time is a timeout, and of a closed client an end", async () => {
  const bob = await world.thirdParty();
  await assert.rejects(bob.waitFor("TextReceived", 0), (error) => error instanceof TimeoutError);
  await bob.close();
  await assert.rejects(bob.waitFor("TextReceived", 1), (error) => error instanceof ConnectionEnded);
});

function keysOf() {
  const { authPrivateKey, signal } = ClientState.generate();
  return [authPrivateKey, signal] as const;
}
