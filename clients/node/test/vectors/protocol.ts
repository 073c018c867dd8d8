/** Replays the vectors of the room `protocol`. */

import assert from "node:assert/strict";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  HandshakeMessageSchema,
} from "../../src/gen/interop_api/v1/chat_pb.js";
import { type Certificate, CertificateError, decodeChain, verifyChain } from "../../src/protocol/certificates.js";
import { checkPublicKey, WeakKey } from "../../src/protocol/curveKeys.js";
import { blocklistDigest, keyDigest, phash } from "../../src/protocol/digest.js";
import { decodeBase64url, EncodingError, encodeBase64url } from "../../src/protocol/encoding.js";
import { isReportingToken, reportingToken } from "../../src/protocol/franking.js";
import { JidError, type JidErrorReason, parseJid } from "../../src/protocol/jid.js";
import { encapsulationKeyOf, isEncapsulationKey, verifyKemPrekey } from "../../src/protocol/kemKeys.js";
import { InitiatorHandshake, PROLOGUE, RemoteProtocolError, Transport } from "../../src/protocol/noise.js";
import { hmacSha256, sha1, sha256, X25519Key } from "../../src/protocol/primitives.js";
import { signedPrekeyMessage, signXeddsa, verifySignedPrekey, verifyXeddsa } from "../../src/protocol/xeddsaKeys.js";
import { type Facts, number, type Replay } from "./facts.js";

/** The `ErrorReason` with which a server refuses what is no JID. */
const ERROR_REASONS: Readonly<Record<JidErrorReason, string>> = {
  GROUP_ADDRESS: "GROUPS_NOT_SUPPORTED",
  NUMBER_BASED_ADDRESS: "NUMBER_BASED_NOT_SUPPORTED",
  USER_VISIBLE_IDENTIFIER: "USER_VISIBLE_IDENTIFIER",
  CALL_ADDRESS: "CALLS_NOT_SUPPORTED",
  UNSUPPORTED_ADDRESS: "ADDRESS_MALFORMED",
  UNSUPPORTED_DEVICE: "ADDRESS_NAMES_DEVICE",
  MALFORMED: "ADDRESS_MALFORMED",
};

function jids(vector: Facts): void {
  if (!vector.flag("valid")) {
    assert.throws(
      () => parseJid(vector.text("text")),
      (error) => error instanceof JidError && ERROR_REASONS[error.reason] === vector.text("reason"),
    );
    return;
  }
  const jid = parseJid(vector.text("text"));
  assert.equal(jid.text, vector.text("canonical"));
  assert.equal(jid.user, vector.text("user"));
  assert.equal(jid.server, vector.text("server"));
  assert.equal(jid.integrator, vector.has("integrator") ? vector.number("integrator") : 0);
}

function curveKeys(vector: Facts): void {
  const publicKey = vector.bytes("public_key");
  if (vector.flag("valid")) {
    assert.deepEqual(checkPublicKey(publicKey), vector.bytes("canonical"));
  } else {
    assert.throws(() => checkPublicKey(publicKey), WeakKey);
  }
}

function xeddsa(vector: Facts): void {
  const message = vector.bytes("message");
  if (vector.has("private_key")) {
    const signature = signXeddsa(vector.bytes("private_key"), message, vector.bytes("nonce"));
    assert.deepEqual(signature, vector.bytes("signature"));
  }
  assert.equal(verifyXeddsa(vector.bytes("public_key"), message, vector.bytes("signature")), vector.flag("valid"));
}

function certificates(vector: Facts): void {
  const verify = () =>
    verifyChain(
      decodeChain(vector.bytes("chain")),
      vector.bytes("root_public_key"),
      vector.bytes("server_static_key"),
      Number(vector.text("now")),
    );
  if (vector.flag("valid")) {
    verify();
  } else {
    const reason = vector.text("reason");
    assert.throws(verify, (error) => error instanceof CertificateError && error.reason === reason);
  }
  if (vector.has("leaf")) {
    const { leaf, intermediate } = decodeChain(vector.bytes("chain"));
    checkCertificate(leaf, vector.facts("leaf"));
    checkCertificate(intermediate, vector.facts("intermediate"));
  }
}

function checkCertificate({ details, signature, decoded }: Certificate, expected: Facts): void {
  assert.deepEqual(details, expected.bytes("details"));
  assert.deepEqual(signature, expected.bytes("signature"));
  assert.deepEqual(decoded.key, expected.bytes("key"));
  assert.equal(decoded.serial, expected.number("serial"));
  assert.equal(decoded.issuerSerial, expected.number("issuer_serial"));
  assert.equal(decoded.notBefore, BigInt(expected.text("not_before")));
  assert.equal(decoded.notAfter, BigInt(expected.text("not_after")));
}

function initiator(vector: Facts): InitiatorHandshake {
  return new InitiatorHandshake(
    vector.bytes("client_static_private_key"),
    vector.bytes("client_ephemeral_private_key"),
  );
}

function serverHello(vector: Facts) {
  return {
    ephemeral: vector.bytes("server_hello_ephemeral"),
    staticKey: vector.bytes("server_hello_static_key"),
    payload: vector.bytes("server_hello_payload"),
  };
}

function noiseHandshake(vector: Facts): void {
  assert.deepEqual(PROLOGUE, vector.bytes("prologue"));
  const handshake = initiator(vector);
  assert.deepEqual(
    new X25519Key(vector.bytes("client_static_private_key")).publicKey,
    vector.bytes("client_static_key"),
  );
  assert.deepEqual(handshake.clientHello(), vector.bytes("client_hello_ephemeral"));
  const { frame: answer } = fromBinary(ConnectResponseSchema, vector.bytes("server_hello"));
  assert(answer.case === "handshake" && answer.value.message.case === "serverHello");
  const { ephemeral, staticKey, payload } = answer.value.message.value;
  assert.deepEqual({ ephemeral, staticKey, payload }, serverHello(vector));
  assert.deepEqual(handshake.readServerHello(answer.value.message.value), vector.bytes("server_payload"));
  assert.deepEqual(handshake.remoteStatic, vector.bytes("server_static_key"));
  const finish = handshake.clientFinish(vector.bytes("client_payload"));
  assert.deepEqual(finish.staticKey, vector.bytes("client_finish_static_key"));
  assert.deepEqual(finish.payload, vector.bytes("client_finish_payload"));
  assert.deepEqual(onTheWire("clientFinish", finish), vector.bytes("client_finish"));
  assert.deepEqual(
    onTheWire("clientHello", { ephemeral: vector.bytes("client_hello_ephemeral") }),
    vector.bytes("client_hello"),
  );

  const transport = handshake.split();
  const server = new Transport(vector.bytes("server_key"), vector.bytes("client_key"));
  const counters = { client: 0, server: 0 };
  for (const frame of vector.list("frames")) {
    assert.equal(frame.number("counter"), counters[frame.text("sender") === "client" ? "client" : "server"]++);
    const [plaintext, sealed] = [frame.bytes("plaintext"), frame.bytes("sealed")];
    const [sender, receiver] = frame.text("sender") === "client" ? [transport, server] : [server, transport];
    assert.deepEqual(sender.encrypt(plaintext), sealed);
    assert.deepEqual(receiver.decrypt(sealed), plaintext);
  }
}

/** Returns a handshake message as it stands in the stream. */
function onTheWire(
  step: "clientHello" | "clientFinish",
  value: { ephemeral?: Uint8Array; staticKey?: Uint8Array; payload?: Uint8Array },
): Uint8Array {
  const handshake = create(HandshakeMessageSchema, { message: { case: step, value } });
  return toBinary(
    ConnectRequestSchema,
    create(ConnectRequestSchema, { frame: { case: "handshake", value: handshake } }),
  );
}

function noiseRefusals(vector: Facts): void {
  const handshake = initiator(vector);
  handshake.clientHello();
  const reason = vector.text("reason");
  assert.throws(
    () => handshake.readServerHello(serverHello(vector)),
    (error) => error instanceof RemoteProtocolError && error.reason === reason,
  );
  assert.throws(() => handshake.clientFinish(new Uint8Array()), /clientFinish was called, but nothing is due/);
}

function digestOfKeys(vector: Facts): void {
  const oneTimePrekeys = vector
    .list("one_time_prekeys")
    .map((prekey) => ({ keyId: prekey.number("id"), publicKey: prekey.bytes("public_key") }));
  const digest = keyDigest(
    vector.bytes("identity_key"),
    vector.bytes("signed_prekey"),
    vector.bytes("signed_prekey_signature"),
    oneTimePrekeys.reverse(),
  );
  assert.deepEqual(digest, vector.bytes("key_digest"));
  assert.deepEqual(digest, sha1(vector.bytes("hashed")));
}

function base64url(vector: Facts): void {
  const [text, length] = [vector.text("text"), vector.number("length")];
  if (vector.flag("valid")) {
    assert.deepEqual(decodeBase64url(text, length), vector.bytes("value"));
    assert.equal(encodeBase64url(vector.bytes("value")), vector.text("written"));
  } else {
    assert.throws(() => decodeBase64url(text, length), EncodingError);
  }
}

/** Seals the frame, and opens what is sent of it as a receiver that expects another counter may. */
function frames(vector: Facts): void {
  const plaintext = new Uint8Array(vector.number("plaintext_length"));
  plaintext.set(vector.bytes("plaintext_start"));
  const key = vector.bytes("client_key");
  const sender = new Transport(key, key, { sealed: vector.number("counter"), opened: 0 });
  const sealed = sender.encrypt(plaintext);
  assert.equal(sealed.length, vector.number("sealed_length"));
  assert.deepEqual(sha256(sealed), vector.bytes("sealed_sha256"));

  const altered = vector.optional("altered_byte", number);
  const sent = sealed.slice(0, vector.number("sent_length"));
  if (altered !== undefined) {
    sent[altered] = (sent[altered] ?? 0) ^ 1;
  }
  const receiver = new Transport(key, key, { sealed: 0, opened: vector.number("expected_counter") });
  if (vector.has("reason") && vector.text("reason") === "FRAME_AUTHENTICATION_FAILED") {
    assert.throws(
      () => receiver.decrypt(sent),
      (error) => error instanceof RemoteProtocolError && error.reason === "FRAME_AUTHENTICATION_FAILED",
    );
  } else {
    assert.deepEqual(receiver.decrypt(sent), plaintext); // the other reasons are of a server, which has limits
  }
}

function prekeySignatures(vector: Facts): void {
  const [identityKey, prekey, signature] = [bytesOf("identity_key"), bytesOf("prekey"), bytesOf("signature")];
  const isKem = vector.text("kind") === "kem_prekey";
  const signed = isKem ? prekey : signedPrekeyMessage(prekey);
  if (vector.has("identity_private_key")) {
    assert.deepEqual(signed, vector.bytes("signed_bytes"));
    const made = signXeddsa(vector.bytes("identity_private_key"), signed, vector.bytes("nonce"));
    assert.deepEqual(made, signature);
  }
  if (vector.has("kem_seed")) {
    assert.deepEqual(encapsulationKeyOf(vector.bytes("kem_seed")), prekey);
  }
  const isValid = isKem
    ? isEncapsulationKey(prekey) && verifyKemPrekey(identityKey, prekey, signature)
    : verifySignedPrekey(identityKey, prekey, signature);
  assert.equal(isValid, vector.flag("valid"));

  function bytesOf(name: string): Uint8Array {
    return vector.bytes(name);
  }
}

function reportingTokens(vector: Facts): void {
  const covered = {
    senderJid: vector.text("sender_jid"),
    recipientJid: vector.text("recipient_jid"),
    messageId: vector.text("message_id"),
    plaintext: vector.bytes("content"),
  };
  const [secret, token] = [vector.bytes("message_secret"), vector.bytes("reporting_token")];
  assert.equal(isReportingToken(token, secret, covered), vector.flag("valid"));
  if (vector.flag("valid")) {
    assert.deepEqual(reportingToken(secret, covered), token);
    assert.deepEqual(hmacSha256(secret, vector.bytes("covered")).slice(0, token.length), token);
  }
}

/** The replays, by file. */
export const PROTOCOL: Readonly<Record<string, Replay>> = {
  jids,
  curve_keys: curveKeys,
  xeddsa,
  certificates,
  noise_handshake: noiseHandshake,
  noise_refusals: noiseRefusals,
  base64url,
  frames,
  prekey_signatures: prekeySignatures,
  reporting_tokens: reportingTokens,
  key_digest: digestOfKeys,
  phash: (vector) => assert.equal(phash(vector.texts("device_jids")), vector.text("phash")),
  blocklist_digest: (vector) =>
    assert.deepEqual(blocklistDigest(vector.texts("jids")), vector.bytes("blocklist_digest")),
};
