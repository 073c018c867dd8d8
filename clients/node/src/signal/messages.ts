/**
 * The two messages of a session as bytes, session version 3; knows how to authenticate them, not the choice of the key.
 *
 *     SignalMessage        version byte ‖ protobuf ‖ MAC (8 bytes)
 *     PreKeySignalMessage  version byte ‖ protobuf, which contains a whole SignalMessage
 *
 * Fields that this release does not know are ignored, as in all protobufs; the MAC covers the bytes as received.
 * Source: libsignal session version 3; field numbers in `interop_api/e2ee/v1/session.proto`.
 */

import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";

import { PreKeySignalMessageSchema, SignalMessageSchema } from "../gen/interop_api/e2ee/v1/session_pb.js";
import { concat, equalBytes, hmacSha256 } from "../protocol/primitives.js";
import { BadMac, InvalidMessage } from "./errors.js";
import { decodePublicKey, encodePublicKey } from "./keys.js";

/** The only version of sessions here. */
export const SESSION_VERSION = 3;
/** Length of a SignalMessage's MAC in bytes. */
export const MAC_BYTES = 8;
/** Longest message that a device reads, in bytes; policy, as long as the server's longest frame. */
export const MAX_MESSAGE_BYTES = 1 << 20;

const VERSION_BYTE = Uint8Array.of((SESSION_VERSION << 4) | SESSION_VERSION);
const BLOCK_BYTES = 16;

/** The part of a SignalMessage that is not encrypted. */
export interface Header {
  /** The sender's ratchet key, 32 bytes. */
  readonly ratchetKey: Uint8Array;
  /** Number of the message in its chain, from 0. */
  readonly counter: number;
  /** How many messages the sender sent in the chain before. */
  readonly previousCounter: number;
}

/** The values that bind a SignalMessage to its sender and recipient. */
export interface Authentication {
  /** 32 bytes. */
  readonly macKey: Uint8Array;
  /** 32 bytes. */
  readonly senderIdentity: Uint8Array;
  /** 32 bytes. */
  readonly receiverIdentity: Uint8Array;
}

/** One Double Ratchet message. */
export class SignalMessage {
  /**
   * @param header The part that is not encrypted.
   * @param ciphertext One or more blocks of 16 bytes.
   * @param covered The bytes that the MAC covers: version byte and protobuf, as received.
   * @param mac 8 bytes.
   */
  private constructor(
    readonly header: Header,
    readonly ciphertext: Uint8Array,
    readonly covered: Uint8Array,
    readonly mac: Uint8Array,
  ) {}

  /** Makes a message with its MAC. */
  static seal(header: Header, ciphertext: Uint8Array, authentication: Authentication): SignalMessage {
    const proto = create(SignalMessageSchema, {
      ratchetKey: encodePublicKey(header.ratchetKey),
      counter: header.counter,
      previousCounter: header.previousCounter,
      ciphertext,
    });
    const covered = concat(VERSION_BYTE, toBinary(SignalMessageSchema, proto));
    return new SignalMessage(header, ciphertext, covered, macOf(covered, authentication));
  }

  /**
   * Reads a message without authenticating it.
   *
   * @throws InvalidMessage: The bytes are not a SignalMessage of session version 3.
   * @throws InvalidKey: Its ratchet key is malformed.
   */
  static decode(body: Uint8Array): SignalMessage {
    checkVersion(body);
    const covered = body.slice(0, -MAC_BYTES);
    const proto = parse(SignalMessageSchema, covered.subarray(1));
    const { ratchetKey, counter, previousCounter = 0, ciphertext = new Uint8Array() } = proto;
    if (ratchetKey === undefined || counter === undefined) {
      throw new InvalidMessage("a SignalMessage lacks its ratchet key or its counter");
    }
    if (ciphertext.length === 0 || ciphertext.length % BLOCK_BYTES) {
      throw new InvalidMessage("the ciphertext is not one or more blocks of 16 bytes");
    }
    const header = { ratchetKey: decodePublicKey(ratchetKey), counter, previousCounter };
    return new SignalMessage(header, ciphertext, covered, body.slice(-MAC_BYTES));
  }

  /** Returns the bytes for the wire. */
  encode(): Uint8Array {
    return concat(this.covered, this.mac);
  }

  /**
   * Checks the MAC.
   *
   * @throws BadMac: The MAC does not match.
   */
  verify(authentication: Authentication): void {
    if (!equalBytes(this.mac, macOf(this.covered, authentication))) {
      throw new BadMac("the MAC does not match");
    }
  }
}

/** A first message of a session, with the keys from which the recipient builds the session. */
export interface PreKeySignalMessage {
  /** The initiator's; 0 when the message does not say. */
  readonly registrationId: number;
  /** Id of the recipient's signed prekey that the initiator used. */
  readonly signedPrekeyId: number;
  /** Id of the recipient's one-time prekey that the initiator used; undefined when it used none. */
  readonly oneTimePrekeyId: number | undefined;
  /** The initiator's base key, 32 bytes; it names the session. */
  readonly baseKey: Uint8Array;
  /** The initiator's identity key, 32 bytes. */
  readonly identityKey: Uint8Array;
  /** The message itself. */
  readonly message: SignalMessage;
}

/** Returns a PreKeySignalMessage as bytes for the wire. */
export function encodePreKeySignalMessage(message: PreKeySignalMessage): Uint8Array {
  const proto = create(PreKeySignalMessageSchema, {
    ...(message.oneTimePrekeyId === undefined ? {} : { preKeyId: message.oneTimePrekeyId }),
    baseKey: encodePublicKey(message.baseKey),
    identityKey: encodePublicKey(message.identityKey),
    message: message.message.encode(),
    registrationId: message.registrationId,
    signedPreKeyId: message.signedPrekeyId,
  });
  return concat(VERSION_BYTE, toBinary(PreKeySignalMessageSchema, proto));
}

/**
 * Reads a PreKeySignalMessage without authenticating it.
 *
 * @throws InvalidMessage: The bytes are not a PreKeySignalMessage of session version 3.
 * @throws InvalidKey: One of its keys is missing or malformed.
 */
export function decodePreKeySignalMessage(body: Uint8Array): PreKeySignalMessage {
  checkVersion(body);
  const proto = parse(PreKeySignalMessageSchema, body.subarray(1));
  if (proto.signedPreKeyId === undefined) {
    throw new InvalidMessage("a PreKeySignalMessage lacks the id of the signed prekey");
  }
  return {
    registrationId: proto.registrationId ?? 0,
    signedPrekeyId: proto.signedPreKeyId,
    oneTimePrekeyId: proto.preKeyId ?? undefined,
    baseKey: decodePublicKey(proto.baseKey ?? new Uint8Array()),
    identityKey: decodePublicKey(proto.identityKey ?? new Uint8Array()),
    message: SignalMessage.decode(proto.message ?? new Uint8Array()),
  };
}

function macOf(covered: Uint8Array, { macKey, senderIdentity, receiverIdentity }: Authentication): Uint8Array {
  const identities = [encodePublicKey(senderIdentity), encodePublicKey(receiverIdentity)];
  return hmacSha256(macKey, ...identities, covered).slice(0, MAC_BYTES);
}

function checkVersion(body: Uint8Array): void {
  const [versionByte = 0] = body;
  if (body.length < 2 || body.length > MAX_MESSAGE_BYTES) {
    throw new InvalidMessage(`a message has ${body.length} bytes`);
  }
  // libsignal writes 0x34 for session version 3: the low nibble is only the highest version that the sender knows.
  if (versionByte >> 4 !== SESSION_VERSION || (versionByte & 0x0f) < SESSION_VERSION) {
    const hexadecimal = versionByte.toString(16).padStart(2, "0");
    throw new InvalidMessage(`version byte 0x${hexadecimal}: only session version ${SESSION_VERSION} is supported`);
  }
}

function parse<Schema extends DescMessage>(schema: Schema, body: Uint8Array): MessageShape<Schema> {
  try {
    return fromBinary(schema, body);
  } catch {
    throw new InvalidMessage("the message is not a protobuf");
  }
}
