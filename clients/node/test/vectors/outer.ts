/** Replays what the rooms around the core read and write: refusals, and enlistment over HTTP. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text as readText } from "node:stream/consumers";

import { fromBinary } from "@bufbuild/protobuf";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";

import { refusalFromCall } from "../../src/connection/calls.js";
import { refusalFromJson, refusalFromProto, ServerRefusal } from "../../src/errors.js";
import { RefusalSchema } from "../../src/gen/interop_api/v1/errors_pb.js";
import { StanzaSchema } from "../../src/gen/interop_api/v1/stanza_pb.js";
import { decodeBase64url } from "../../src/protocol/encoding.js";
import { PROTOCOL_VERSION, SIGNATURE_BYTES } from "../../src/protocol/sizes.js";
import { signedPrekeyMessage, signXeddsa } from "../../src/protocol/xeddsaKeys.js";
import { KeyPair, SignalState } from "../../src/signal/index.js";
import { SignedPreKey } from "../../src/signal/keys.js";
import { ClientState } from "../../src/state.js";
import { ThirdPartyClient } from "../../src/thirdParty.js";
import { type Facts, type Replay, text } from "./facts.js";

const UNREADABLE = Symbol("a status that is no protobuf");
const NOWHERE = { grpc: "127.0.0.1:1", http: "", ca: "", rootPublicKey: new Uint8Array(32) };

/** Reads the refusal in every form that it has, and finds the same in each. */
function refusals(vector: Facts): void {
  const same = (refusal: ServerRefusal) => assert.deepEqual(shown(refusal), expected(vector));
  const trailer = trailerError(vector);
  if (trailer === UNREADABLE) {
    assert.equal(vector.text("recovery"), "UNKNOWN");
    return;
  }
  same(refusalFromCall(trailer));
  if (vector.has("refusal")) {
    same(refusalFromProto(fromBinary(RefusalSchema, vector.bytes("refusal"))));
  }
  if (vector.has("stanza")) {
    const { kind } = fromBinary(StanzaSchema, vector.bytes("stanza"));
    assert(kind.case === "stanzaRefused");
    same(refusalFromProto(kind.value.error));
  }
  if (vector.has("http_body")) {
    same(refusalFromJson(JSON.parse(vector.text("http_body"))));
  }
}

/**
 * Returns what the gRPC library makes of the trailer of a call. A status that is no protobuf fails the call there with
 * DATA_LOSS, without a word of the status beside it: the client's recovery is UNKNOWN, as in the vector, and its reason is
 * that one.
 */
function trailerError(vector: Facts): unknown {
  const trailer = new Headers({
    "grpc-status": `${vector.number("grpc_status")}`,
    "grpc-message": encodeURIComponent(vector.text("grpc_message")),
  });
  if (vector.has("status_details")) {
    trailer.set("grpc-status-details-bin", Buffer.from(vector.bytes("status_details")).toString("base64"));
  }
  try {
    return findTrailerError(trailer);
  } catch (error) {
    assert.deepEqual([refusalFromCall(error).reason, refusalFromCall(error).recovery], ["DATA_LOSS", "UNKNOWN"]);
    return UNREADABLE;
  }
}

function shown(refusal: ServerRefusal): unknown {
  const { reason, requirement, advice, retryAfterMs, requestId, code, recovery, violations } = refusal;
  return { reason, requirement, advice, retryAfterMs, requestId, code, recovery, violations };
}

function expected(vector: Facts): unknown {
  return {
    reason: vector.text("reason"),
    requirement: vector.text("requirement"),
    advice: vector.text("advice"),
    retryAfterMs: vector.optional("retry_after_ms", (facts, name) => Number(facts.text(name))),
    requestId: vector.text("request_id"),
    code: vector.number("code"),
    recovery: vector.text("recovery"),
    violations: vector.list("violations").map((each) => each.json()),
  };
}

/** Makes the form from the private keys, where they are given: the others are for servers. */
async function enlistmentForms(vector: Facts): Promise<void> {
  if (!vector.has("auth_private_key")) {
    return;
  }
  const form = new URLSearchParams(vector.text("body"));
  const identity = KeyPair.fromPrivate(vector.bytes("identity_private_key"));
  const signed = new SignedPreKey(
    vector.number("signed_prekey_id"),
    KeyPair.fromPrivate(vector.bytes("signed_prekey_private_key")),
    decodeBase64url(form.get("e_skey_sig") ?? "", SIGNATURE_BYTES),
  );
  const signature = signXeddsa(
    identity.privateKey,
    signedPrekeyMessage(signed.keyPair.publicKey),
    vector.bytes("nonce"),
  );
  assert.deepEqual(signed.signature, signature);
  assert.equal(PROTOCOL_VERSION, vector.number("protocol_version"));
  const fresh = SignalState.generate(vector.number("registration_id"));
  const signal = new SignalState({ ...fresh, identity, signedPrekeys: new Map([[signed.keyId, signed]]) });
  const state = new ClientState("", vector.bytes("auth_private_key"), signal);
  const [posted, jid] = await enlist(state, vector.text("token"), '{"login": "12-34@interop", "status": "ok"}');
  assert.equal(jid, "12-34@interop");
  assert.deepEqual([...new URLSearchParams(posted)].sort(), [...form].sort());
}

async function enlistmentAnswers(vector: Facts): Promise<void> {
  const enlisting = enlist(ClientState.generate(), "token", vector.text("body"));
  if (vector.has("login")) {
    assert.equal((await enlisting)[1], vector.text("login"));
    return;
  }
  await assert.rejects(enlisting, (error) => {
    assert(error instanceof ServerRefusal);
    assert.equal(error.reason, vector.text("reason"));
    assert.equal(error.recovery, vector.has("recovery") ? vector.text("recovery") : "UNKNOWN");
    const delay = vector.optional("retry_after_ms", (facts, name) => Number(facts.text(name)));
    assert.equal(error.retryAfterMs, delay);
    assert.equal(error.violations[0]?.field, vector.optional("field", text));
    return true;
  });
}

/** Enlists at a server that gives this answer; returns what was posted to it, and the JID. */
async function enlist(state: ClientState, token: string, answer: string): Promise<[posted: string, jid: string]> {
  let posted = "";
  const server = createServer((request, response) => {
    void readText(request).then((body) => {
      posted = body;
      response.end(answer);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    const { port } = server.address() as AddressInfo;
    const client = ThirdPartyClient.direct(NOWHERE, state, () => Promise.reject(new Error("nobody logs in")));
    const jid = await client.enlistOverHttp(`http://127.0.0.1:${port}`, token);
    return [posted, jid];
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The replays, by file. */
export const OUTER: Readonly<Record<string, Replay>> = {
  refusals,
  enlistment_forms: enlistmentForms,
  enlistment_answers: enlistmentAnswers,
};
