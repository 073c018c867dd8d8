/** Replays the vectors of the room `signal`. */

import assert from "node:assert/strict";

import { toJson } from "@bufbuild/protobuf";

import { type Message, MessageSchema } from "../../src/gen/interop_api/e2ee/v1/content_pb.js";
import { type Entropy, hkdfSha256 } from "../../src/protocol/primitives.js";
import { ChainKey, expandMessageKeys, ReceivingChain } from "../../src/signal/chain.js";
import {
  contentFields,
  pad,
  parseMessage,
  serializeMessage,
  unpad,
  unsupportedKind,
} from "../../src/signal/content.js";
import {
  InvalidContent,
  InvalidKey,
  InvalidSignature,
  SignalError,
  UnsupportedContent,
} from "../../src/signal/errors.js";
import { KemKeys } from "../../src/signal/kem.js";
import { KeyPair, SignedPreKey } from "../../src/signal/keys.js";
import { decodePreKeySignalMessage, SignalMessage } from "../../src/signal/messages.js";
import { DoubleRatchet } from "../../src/signal/ratchet.js";
import { Session, SessionRecord } from "../../src/signal/session.js";
import { CiphertextType, SignalState } from "../../src/signal/store.js";
import { initiatorRootKey, type PreKeyBundle, responderRootKey, verifyBundle } from "../../src/signal/x3dh.js";
import { bytes, type Facts, number, type Replay, text } from "./facts.js";

const PEER = "peer";

/** Draws what a vector says, in that order; more than that is an error. */
function drawing(...values: Uint8Array[]): Entropy {
  return (length) => {
    const value = values.shift();
    assert.equal(value?.length, length, "nothing is left to draw, or something else was expected");
    return value ?? new Uint8Array();
  };
}

/** Returns the state of a party as a vector gives it: keys, and no more than one session. */
function party(identity: KeyPair, registrationId: number, entropy: Entropy, session?: Session): SignalState {
  const parts = {
    registrationId,
    identity,
    signedPrekeys: new Map<number, SignedPreKey>(),
    oneTimePrekeys: new Map<number, Uint8Array>(),
    nextOneTimePrekeyId: 1,
    records: new Map(session && [[PEER, new SessionRecord(session.remoteIdentity, [session])]]),
    kem: new KemKeys(),
    offeredSignedPrekey: undefined,
    confirmedSignedPrekeyId: 1,
    offeredOneTimePrekeys: [],
    retiredOneTimePrekeys: [],
  };
  return new SignalState(parts, entropy);
}

function bundleOf(vector: Facts): PreKeyBundle {
  const oneTime = vector.optional("one_time_prekey", bytes);
  return {
    registrationId: vector.number("responder_registration_id"),
    deviceId: 0,
    identityKey: vector.bytes("responder_identity_key"),
    signedPrekey: {
      keyId: vector.number("signed_prekey_id"),
      publicKey: vector.bytes("signed_prekey"),
      signature: vector.bytes("signed_prekey_signature"),
    },
    // Protobuf reads an id that is absent as 0.
    oneTimePrekey: oneTime && { keyId: vector.optional("one_time_prekey_id", number) ?? 0, publicKey: oneTime },
    kemWithdrawn: false,
  };
}

function x3dh(vector: Facts): void {
  const bundle = bundleOf(vector);
  verifyBundle(bundle);
  const base = KeyPair.fromPrivate(vector.bytes("base_private_key"));
  const initiatorIdentity = KeyPair.fromPrivate(vector.bytes("initiator_identity_private_key"));
  assert.deepEqual(initiatorRootKey(initiatorIdentity, base, bundle), vector.bytes("root_key"));
  const rootKey = hkdfSha256(vector.bytes("secret"), new Uint8Array(32), "WhisperText", 32);
  assert.deepEqual(rootKey, vector.bytes("root_key"));

  const initiator = party(
    initiatorIdentity,
    vector.number("initiator_registration_id"),
    drawing(base.privateKey, vector.bytes("first_ratchet_private_key")),
  );
  initiator.processBundle(PEER, bundle);
  const sent = initiator.encrypt(PEER, vector.bytes("plaintext"));
  assert.equal(sent.type, CiphertextType.PREKEY);
  assert.deepEqual(sent.body, vector.bytes("message"));
  assert.deepEqual(described(initiator), vector.facts("initiator_session").json());
  respond(vector);
}

function respond(vector: Facts): void {
  const identity = KeyPair.fromPrivate(vector.bytes("responder_identity_private_key"));
  const signed = KeyPair.fromPrivate(vector.bytes("signed_prekey_private_key"));
  const oneTime = vector.optional("one_time_prekey_private_key", bytes);
  const rootKey = responderRootKey(identity, signed, oneTime && KeyPair.fromPrivate(oneTime), {
    identityKey: vector.bytes("initiator_identity_key"),
    baseKey: vector.bytes("base_key"),
  });
  assert.deepEqual(rootKey, vector.bytes("root_key"));

  const entropy = drawing(vector.bytes("responder_ratchet_private_key"));
  const responder = party(identity, vector.number("responder_registration_id"), entropy);
  const signedId = vector.number("signed_prekey_id");
  responder.signedPrekeys.set(signedId, new SignedPreKey(signedId, signed, vector.bytes("signed_prekey_signature")));
  if (oneTime !== undefined) {
    responder.oneTimePrekeys.set(vector.number("one_time_prekey_id"), oneTime);
  }
  const read = responder.decrypt(PEER, CiphertextType.PREKEY, vector.bytes("message"));
  assert.deepEqual(read, vector.bytes("plaintext"));
  assert.equal(responder.oneTimePrekeys.size, 0);
  assert.deepEqual(described(responder), vector.facts("responder_session").json());
}

function bundleRefusals(vector: Facts): void {
  const expected = { INVALID_KEY: InvalidKey, INVALID_SIGNATURE: InvalidSignature };
  const [, error] = Object.entries(expected).find(([reason]) => reason === vector.text("reason")) ?? [];
  assert(error !== undefined);
  assert.throws(() => verifyBundle(bundleOf(vector)), error);
}

function ratchet(vector: Facts): void {
  const before = vector.facts("state_before");
  const entropy = drawing(...optionalList(vector.optional("new_ratchet_private_key", bytes)));
  const identity = KeyPair.fromPrivate(before.bytes("local_identity_private_key"));
  const state = party(identity, before.number("local_registration_id"), entropy, sessionOf(before, identity));
  const [type, body] = [vector.text("message_type"), vector.bytes("message")];
  assert(type === CiphertextType.PREKEY || type === CiphertextType.DOUBLE_RATCHET);
  if (vector.text("action") === "encrypt") {
    assert.deepEqual(state.encrypt(PEER, vector.bytes("plaintext")), { type, body });
    checkMessage(vector);
  } else if (vector.has("error")) {
    assert.throws(
      () => state.decrypt(PEER, type, body),
      (error) =>
        error instanceof SignalError &&
        nameOf(error) === vector.text("error") &&
        error.retryReason === vector.number("retry_reason"),
    );
  } else {
    assert.deepEqual(state.decrypt(PEER, type, body), vector.bytes("plaintext"));
    checkMessage(vector);
  }
  assert.deepEqual(described(state), vector.facts("state_after").json());
}

/** Compares the parts of a message, and the keys that open it. */
function checkMessage(vector: Facts): void {
  const body = vector.bytes("message");
  const isFirst = vector.text("message_type") === CiphertextType.PREKEY;
  const message = isFirst ? decodePreKeySignalMessage(body).message : SignalMessage.decode(body);
  assert.deepEqual(message.encode(), vector.bytes("signal_message"));
  assert.deepEqual(message.header.ratchetKey, vector.bytes("ratchet_key"));
  assert.equal(message.header.counter, vector.number("counter"));
  assert.equal(message.header.previousCounter, vector.number("previous_counter"));
  assert.deepEqual(message.ciphertext, vector.bytes("ciphertext"));
  assert.deepEqual(message.mac, vector.bytes("mac"));
  const keys = expandMessageKeys(vector.bytes("message_secret"));
  assert.deepEqual(keys.cipherKey, vector.bytes("cipher_key"));
  assert.deepEqual(keys.macKey, vector.bytes("mac_key"));
  assert.deepEqual(keys.iv, vector.bytes("iv"));
}

function messageRefusals(vector: Facts): void {
  const body = vector.bytes("message");
  const decode =
    vector.text("message_type") === CiphertextType.PREKEY ? decodePreKeySignalMessage : SignalMessage.decode;
  assert.throws(
    () => decode(body),
    (error) =>
      error instanceof SignalError &&
      nameOf(error) === vector.text("error") &&
      error.retryReason === vector.number("retry_reason"),
  );
}

function contentPadding(vector: Facts): void {
  const padded = vector.bytes("padded");
  if (vector.flag("valid")) {
    assert.deepEqual(pad(vector.bytes("content"), vector.number("padding_length")), padded);
    assert.deepEqual(unpad(padded), vector.bytes("content"));
  } else {
    assert.throws(() => unpad(padded), InvalidContent);
  }
}

function contents(vector: Facts): void {
  const serialized = vector.bytes("serialized");
  if (vector.text("shown") === "nothing") {
    assert.throws(() => parseMessage(serialized), InvalidContent);
    return;
  }
  const message = parseMessage(serialized);
  assert.deepEqual(toJson(MessageSchema, message), vector.facts("json").json());
  assert.equal(contentFields(message)[0] ?? null, vector.has("content_field") ? vector.text("content_field") : null);
  assert.equal(unsupportedKind(message), vector.optional("unsupported_kind", text));
  assert.equal(textOf(message), vector.optional("text", text));
  if (vector.text("shown") === "content" && message.$unknown === undefined) {
    assert.deepEqual(serializeMessage(message), serialized);
  } else {
    assert.throws(() => serializeMessage(message), UnsupportedContent);
  }
}

/** Returns what there is to read in a message. */
function textOf({ conversation, extendedTextMessage, imageMessage, videoMessage, ...others }: Message) {
  const { documentMessage, reactionMessage, protocolMessage } = others;
  const captions = [imageMessage?.caption, videoMessage?.caption, documentMessage?.title, reactionMessage?.text];
  const texts = [conversation, extendedTextMessage?.text, ...captions, protocolMessage?.editedMessage?.conversation];
  return texts.find((each) => each !== undefined);
}

function sessionOf(saved: Facts, identity: KeyPair): Session {
  assert.deepEqual(identity.publicKey, saved.bytes("local_identity_key"));
  const ratchetKey = KeyPair.fromPrivate(saved.bytes("ratchet_private_key"));
  assert.deepEqual(ratchetKey.publicKey, saved.bytes("ratchet_key"));
  const chains = saved.list("receiving_chains").map((chain) => {
    const skipped = chain
      .list("skipped")
      .map((each) => [each.number("counter"), each.bytes("message_secret")] as const);
    const position = new ChainKey(chain.bytes("chain_key"), chain.number("counter"));
    return new ReceivingChain(chain.bytes("ratchet_key"), position, new Map(skipped));
  });
  const sending = saved.optional("sending_chain", (facts, name) => {
    const chain = facts.facts(name);
    return new ChainKey(chain.bytes("chain_key"), chain.number("counter"));
  });
  const pending = saved.optional("pending_prekey", (facts, name) => {
    const ids = facts.facts(name);
    return {
      signedPrekeyId: ids.number("signed_prekey_id"),
      oneTimePrekeyId: ids.optional("one_time_prekey_id", number),
    };
  });
  return new Session({
    localIdentity: identity.publicKey,
    remoteIdentity: saved.bytes("remote_identity_key"),
    remoteRegistrationId: saved.number("remote_registration_id"),
    baseKey: saved.bytes("base_key"),
    ratchet: new DoubleRatchet(saved.bytes("root_key"), ratchetKey, sending, saved.number("previous_counter"), chains),
    pending,
  });
}

/** Returns the current session of a party in the words of the vectors. */
function described(state: SignalState): unknown {
  const session = state.records.get(PEER)?.current;
  assert(session !== undefined);
  const { ratchet, pending } = session;
  const sending = ratchet.sendingChain;
  return {
    local_identity_private_key: hex(state.identity.privateKey),
    local_identity_key: hex(session.localIdentity),
    local_registration_id: state.registrationId,
    remote_identity_key: hex(session.remoteIdentity),
    remote_registration_id: session.remoteRegistrationId,
    base_key: hex(session.baseKey),
    pending_prekey: pending
      ? { signed_prekey_id: pending.signedPrekeyId, one_time_prekey_id: pending.oneTimePrekeyId ?? null }
      : null,
    root_key: hex(ratchet.rootKey),
    ratchet_private_key: hex(ratchet.ratchetKey.privateKey),
    ratchet_key: hex(ratchet.ratchetKey.publicKey),
    sending_chain: sending ? { chain_key: hex(sending.key), counter: sending.counter } : null,
    previous_counter: ratchet.previousCounter,
    receiving_chains: ratchet.receivingChains.map((chain) => ({
      ratchet_key: hex(chain.ratchetKey),
      chain_key: hex(chain.chainKey.key),
      counter: chain.chainKey.counter,
      skipped: [...chain.skipped].map(([counter, secret]) => ({ counter, message_secret: hex(secret) })),
    })),
  };
}

function hex(value: Uint8Array): string {
  return Buffer.from(value).toString("hex");
}

function nameOf(error: SignalError): string {
  return error.name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

function optionalList<Value>(value: Value | undefined): Value[] {
  return value === undefined ? [] : [value];
}

/** The replays, by file. */
export const SIGNAL: Readonly<Record<string, Replay>> = {
  x3dh,
  bundle_refusals: bundleRefusals,
  ratchet,
  message_refusals: messageRefusals,
  content_padding: contentPadding,
  contents,
};
