/** What became of a command, from what it returned or threw; knows no command. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { ConnectionEnded, ServerRefusal, sentenceOf, TimeoutError, Unreachable } from "../errors.js";
import {
  type CommandResultSchema,
  type DriveResponse,
  DriveResponseSchema,
  FailureKind,
} from "../gen/interop_api/conformance/v1/driver_pb.js";
import { log } from "../log.js";
import { CertificateError } from "../protocol/certificates.js";
import { JidError } from "../protocol/jid.js";
import { RemoteProtocolError } from "../protocol/noise.js";
import { InvalidContent, SignalError, UntrustedIdentity } from "../signal/index.js";

/** One of the outcomes in driver.proto. */
export type Outcome = NonNullable<MessageInitShape<typeof CommandResultSchema>["outcome"]>;

/** The outcome of what is done and returns nothing. */
export const DONE: Outcome = { case: "done", value: {} };

const MAX_DETAIL = 1_000;

/** The command cannot be done on this device. The message is a sentence that says why. */
export class WrongCommand extends Error {
  override readonly name = "WrongCommand";
}

/** The client has no such thing. The message says what. */
export class UnsupportedCommand extends Error {
  override readonly name = "UnsupportedCommand";
}

type ErrorClass = abstract new (...parameters: never[]) => Error;

/** The first class that fits counts. */
const KINDS: readonly (readonly [ErrorClass, FailureKind])[] = [
  [WrongCommand, FailureKind.WRONG_COMMAND],
  [InvalidContent, FailureKind.WRONG_COMMAND],
  [JidError, FailureKind.WRONG_COMMAND],
  [CertificateError, FailureKind.UNTRUSTED_SERVER],
  [RemoteProtocolError, FailureKind.UNTRUSTED_SERVER],
  [UntrustedIdentity, FailureKind.UNTRUSTED_IDENTITY],
  [SignalError, FailureKind.UNUSABLE_KEYS],
  [ConnectionEnded, FailureKind.CONNECTION_ENDED],
  [TimeoutError, FailureKind.TIMED_OUT],
  [Unreachable, FailureKind.UNREACHABLE],
];

/** Returns the answer to a command. */
export function resultOf(id: bigint, outcome: Outcome): DriveResponse {
  return create(DriveResponseSchema, { kind: { case: "result", value: { id, outcome } } });
}

/** Returns the outcome of a command that threw something. */
export function outcomeOf(error: unknown): Outcome {
  if (error instanceof ServerRefusal) {
    const { reason, requirement, advice, requestId, code, retryAfterMs } = error;
    const delay = retryAfterMs === undefined ? {} : { retryAfterMs: BigInt(retryAfterMs) };
    return { case: "refused", value: { reason, requirement, advice, requestId, code, ...delay } };
  }
  const detail = sentenceOf(error).slice(0, MAX_DETAIL);
  if (error instanceof UnsupportedCommand) {
    return { case: "unsupported", value: { detail } };
  }
  const kind = KINDS.find(([known]) => error instanceof known)?.[1];
  if (kind === undefined) {
    log.error("a command failed", error);
    return { case: "failed", value: { detail } };
  }
  return { case: "failed", value: { kind, detail } };
}

/** Returns what went wrong, for people: at most 1,000 characters. */
export function detailOf(error: unknown): string {
  return sentenceOf(error).slice(0, MAX_DETAIL);
}
