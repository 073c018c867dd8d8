/** The Noise handshake and the frames after it, against tampering and against calls out of order. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  InitiatorHandshake,
  LocalProtocolError,
  RemoteProtocolError,
  type ServerHello,
  Transport,
} from "../../src/protocol/noise.js";
import { vectorFiles } from "../vectors/facts.js";

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);
const MAX_FRAMES = 2 ** 32 - 1;

function initiator(): InitiatorHandshake {
  const [vector] = vectorFiles().find((file) => file.name === "noise_handshake")?.vectors ?? [];
  assert(vector !== undefined);
  return new InitiatorHandshake(
    vector.bytes("client_static_private_key"),
    vector.bytes("client_ephemeral_private_key"),
  );
}

function serverHello(): ServerHello {
  const [vector] = vectorFiles().find((file) => file.name === "noise_handshake")?.vectors ?? [];
  assert(vector !== undefined);
  return {
    ephemeral: vector.bytes("server_hello_ephemeral"),
    staticKey: vector.bytes("server_hello_static_key"),
    payload: vector.bytes("server_hello_payload"),
  };
}

function ends(): { client: Transport; server: Transport } {
  return { client: new Transport(KEY, OTHER_KEY), server: new Transport(OTHER_KEY, KEY) };
}

function isAuthenticationFailure(error: unknown): boolean {
  return error instanceof RemoteProtocolError && error.reason === "FRAME_AUTHENTICATION_FAILED";
}

describe("the handshake", () => {
  test("no bit of the server's message may change (CHN-02)", () => {
    for (const part of ["ephemeral", "staticKey", "payload"] as const) {
      const { length } = serverHello()[part];
      for (let at = 0; at < length; at += 3) {
        const handshake = initiator();
        handshake.clientHello();
        const altered = serverHello()[part].map((byte, index) => (index === at ? byte ^ (1 << (at % 8)) : byte));
        assert.throws(() => handshake.readServerHello({ ...serverHello(), [part]: altered }), RemoteProtocolError);
      }
    }
  });

  test("steps come in one order, and none after one that failed", () => {
    const handshake = initiator();
    assert.throws(() => handshake.readServerHello(serverHello()), LocalProtocolError);
    assert.throws(() => handshake.split(), LocalProtocolError);
    handshake.clientHello();
    assert.throws(() => handshake.clientHello(), LocalProtocolError);
    assert.throws(() => handshake.remoteStatic, LocalProtocolError);
    const short = { ...serverHello(), ephemeral: new Uint8Array(31) };
    assert.throws(
      () => handshake.readServerHello(short),
      (error) => error instanceof RemoteProtocolError && error.reason === "HANDSHAKE_MALFORMED",
    );
    assert.throws(() => handshake.readServerHello(serverHello()), LocalProtocolError);
    assert.throws(() => new InitiatorHandshake(new Uint8Array(31), KEY), RangeError);
  });
});

describe("frames", () => {
  test("each direction has its own key and counter (CHN-05)", () => {
    const { client, server } = ends();
    for (let number = 0; number < 300; number += 1) {
      const frame = new Uint8Array(number).fill(number);
      const sealed = client.encrypt(frame);
      assert.equal(sealed.length, number + 16);
      assert.deepEqual(server.decrypt(sealed), frame);
      assert.deepEqual(client.decrypt(server.encrypt(frame)), frame);
    }
  });

  test("one that is changed, repeated, out of order or of another connection is refused", () => {
    const { client, server } = ends();
    const [first, second] = [client.encrypt(Uint8Array.of(1)), client.encrypt(Uint8Array.of(2))];
    assert.throws(() => server.decrypt(second), isAuthenticationFailure);
    assert.deepEqual(server.decrypt(first), Uint8Array.of(1));
    assert.throws(() => server.decrypt(first), isAuthenticationFailure);
    for (let at = 0; at < second.length; at += 1) {
      const altered = second.map((byte, index) => (index === at ? byte ^ 1 : byte));
      assert.throws(() => server.decrypt(altered), isAuthenticationFailure);
    }
    assert.throws(() => server.decrypt(second.slice(0, 15)), isAuthenticationFailure);
    assert.throws(() => client.decrypt(second), isAuthenticationFailure);
    assert.deepEqual(server.decrypt(second), Uint8Array.of(2));
  });

  test("no counter comes twice: a connection ends before", () => {
    const counters = { sealed: MAX_FRAMES - 1, opened: MAX_FRAMES - 1 };
    const [client, server] = [new Transport(KEY, OTHER_KEY, counters), new Transport(OTHER_KEY, KEY, counters)];
    const last = client.encrypt(Uint8Array.of(1));
    assert.deepEqual(server.decrypt(last), Uint8Array.of(1));
    assert.throws(() => client.encrypt(Uint8Array.of(2)), LocalProtocolError);
    assert.throws(() => server.decrypt(last), LocalProtocolError);
  });
});
