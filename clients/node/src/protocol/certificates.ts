/**
 * The two-level chain that certifies the server's static key; knows neither key storage nor a clock.
 *
 * Leaf ← intermediate ← root. The chain travels as the payload of the handshake's second message, as protobufs with the
 * observed field numbers: `CertificateChain`, `Certificate` and `CertificateDetails` (chat.proto). Each signature is
 * XEdDSA under the issuer's key over the details as they came.
 *
 * Source: CHN-04.
 */

import { fromBinary } from "@bufbuild/protobuf";

import {
  type CertificateChain as CertificateChainProto,
  CertificateChainSchema,
  type CertificateDetails,
  CertificateDetailsSchema,
  type Certificate as CertificateProto,
} from "../gen/interop_api/v1/chat_pb.js";
import { equalBytes } from "./primitives.js";
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "./sizes.js";
import { verifyXeddsa } from "./xeddsaKeys.js";

/** The root has no certificate; its serial is that of WhatsApp's root. */
export const ROOT_SERIAL = 0;

/** Why a chain is not trusted. */
export type CertificateErrorReason =
  | "WRONG_ROOT"
  | "WRONG_LEAF_KEY"
  | "EXPIRED"
  | "NOT_YET_VALID"
  | "MALFORMED"
  | "BROKEN_CHAIN";

/** A certificate chain is not trusted. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";

  constructor(
    readonly reason: CertificateErrorReason,
    detail: string,
  ) {
    super(`${reason}: ${detail}`);
  }
}

/** A certificate: what it says, and the signature over exactly the bytes in which it says so. */
export interface Certificate {
  /** As received: not encoded anew, because they are signed. */
  readonly details: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
  /** What `details` says, not verified: `verifyChain` does that. */
  readonly decoded: CertificateDetails;
}

/** The certificates that a server sends to prove its static key. */
export interface CertificateChain {
  /** Certifies the static key. */
  readonly leaf: Certificate;
  /** Certifies the key that signed the leaf; signed by the root. */
  readonly intermediate: Certificate;
}

/**
 * Reads a chain and verifies nothing but its form.
 *
 * @param payload The payload of the handshake's second message.
 * @throws CertificateError: MALFORMED: this is no `CertificateChain`, or a part is missing or has a wrong length.
 */
export function decodeChain(payload: Uint8Array): CertificateChain {
  let read: CertificateChainProto;
  try {
    read = fromBinary(CertificateChainSchema, payload);
  } catch {
    throw new CertificateError("MALFORMED", "the payload is no CertificateChain");
  }
  return { leaf: certificate(read.leaf), intermediate: certificate(read.intermediate) };
}

/**
 * Checks that the trusted root certifies, through the chain, a server's static key. Returns if so.
 *
 * @param chain The chain that the server sent.
 * @param rootPublic The trusted root, 32 bytes.
 * @param serverStatic The static key that the handshake proved, 32 bytes.
 * @param now Unix seconds.
 * @throws CertificateError: WRONG_ROOT (the root did not sign the intermediate), BROKEN_CHAIN (the intermediate did not
 *   sign the leaf, or serials do not link), WRONG_LEAF_KEY (another key is certified), NOT_YET_VALID, EXPIRED.
 * @throws RangeError: `rootPublic` has a wrong length.
 */
export function verifyChain(
  chain: CertificateChain,
  rootPublic: Uint8Array,
  serverStatic: Uint8Array,
  now: number,
): void {
  const { leaf, intermediate } = chain;
  if (!verifyXeddsa(rootPublic, intermediate.details, intermediate.signature)) {
    throw new CertificateError("WRONG_ROOT", "the intermediate certificate is not signed by the trusted root");
  }
  if (!verifyXeddsa(intermediate.decoded.key, leaf.details, leaf.signature)) {
    throw new CertificateError("BROKEN_CHAIN", "the leaf certificate is not signed by the intermediate's key");
  }
  if (intermediate.decoded.issuerSerial !== ROOT_SERIAL || leaf.decoded.issuerSerial !== intermediate.decoded.serial) {
    throw new CertificateError("BROKEN_CHAIN", "a certificate names another issuer");
  }
  if (!equalBytes(leaf.decoded.key, serverStatic)) {
    throw new CertificateError("WRONG_LEAF_KEY", "the leaf certifies another key than the server proved");
  }
  checkValidity("intermediate", intermediate.decoded, BigInt(now));
  checkValidity("leaf", leaf.decoded, BigInt(now));
}

function checkValidity(name: string, details: CertificateDetails, now: bigint): void {
  if (now < details.notBefore) {
    throw new CertificateError("NOT_YET_VALID", `the ${name} is valid from ${details.notBefore}`);
  }
  if (now > details.notAfter) {
    throw new CertificateError("EXPIRED", `the ${name} was valid until ${details.notAfter}`);
  }
}

function certificate(read: CertificateProto | undefined): Certificate {
  const { details = new Uint8Array(), signature = new Uint8Array() } = read ?? {};
  if (signature.length !== SIGNATURE_BYTES) {
    throw new CertificateError("MALFORMED", `a signature has ${SIGNATURE_BYTES} bytes, not ${signature.length}`);
  }
  return { details, signature, decoded: decodeDetails(details) };
}

function decodeDetails(details: Uint8Array): CertificateDetails {
  let decoded: CertificateDetails;
  try {
    decoded = fromBinary(CertificateDetailsSchema, details);
  } catch {
    throw new CertificateError("MALFORMED", "a certificate's details are no CertificateDetails");
  }
  if (decoded.key.length !== PUBLIC_KEY_BYTES) {
    throw new CertificateError("MALFORMED", `a certified key has ${PUBLIC_KEY_BYTES} bytes, not ${decoded.key.length}`);
  }
  return decoded;
}
