/**
 * The errors that end a call, a login or a connection; knows of the transport only the two forms of a refusal.
 *
 * Source: interop_api/v1/errors.proto.
 */

import type { Refusal } from "./gen/interop_api/v1/errors_pb.js";
import { ErrorReason, Recovery as RecoveryNumber } from "./gen/interop_api/v1/errors_pb.js";
import type { LoginFailure } from "./gen/interop_api/v1/stanza_pb.js";

const RECOVERIES = [
  "UNKNOWN",
  "NEVER",
  "SAME_AGAIN",
  "RECONNECT",
  "NEW_TOKEN",
  "ENLIST",
  "NEW_KEYS",
  "REFRESH_DEVICES",
  "CHALLENGE",
] as const;

/**
 * What to do after a refusal, by the names of `Recovery` in errors.proto, which says what each means. `UNKNOWN`: the
 * call failed before the server could say, or the server says something newer than this client.
 */
export type Recovery = (typeof RECOVERIES)[number];

/** A field of the request that is not valid. */
export interface Violation {
  /** Path of the field, such as `users[3].external_id`. */
  readonly field: string;
  /** What is wrong with the field, for people. */
  readonly description: string;
}

/** What is known of a refusal. */
export interface RefusalFacts {
  /** Id of the requirement that was broken, such as `OPT-09`; may be empty. */
  readonly requirement: string;
  /** What to do about it, for people, in the server's words; may be empty. */
  readonly advice: string;
  /** Milliseconds after which a new attempt can succeed; undefined when there is no estimate. */
  readonly retryAfterMs: number | undefined;
  /** Names the refusal in the server's journal, for `interopsim explain`; may be empty. */
  readonly requestId: string;
  /**
   * WhatsApp's code for the reason, such as 406 or 503, for information only: act on `recovery`. 0 when there is none.
   */
  readonly code: number;
  /** What to do about it, for programs. */
  readonly recovery: Recovery;
  /** The fields of the request that are not valid. */
  readonly violations: readonly Violation[];
}

const UNEXPLAINED: RefusalFacts = {
  requirement: "",
  advice: "",
  retryAfterMs: undefined,
  requestId: "",
  code: 0,
  recovery: "UNKNOWN",
  violations: [],
};

/** The server refused a request, and said why. */
export class ServerRefusal extends Error implements RefusalFacts {
  override readonly name: string = "ServerRefusal";
  readonly requirement: string;
  readonly advice: string;
  readonly retryAfterMs: number | undefined;
  readonly requestId: string;
  readonly code: number;
  readonly recovery: Recovery;
  readonly violations: readonly Violation[];

  /**
   * @param reason Name of the reason, such as `RECIPIENT_NOT_REACHABLE`: the `ErrorReason` without its prefix. When the
   *   call failed before the server could explain itself, the name of the gRPC status, such as `UNAVAILABLE`.
   * @param facts What else is known.
   */
  constructor(
    readonly reason: string,
    facts: Partial<RefusalFacts> = {},
  ) {
    const all = { ...UNEXPLAINED, ...facts };
    super(describe(reason, all));
    this.requirement = all.requirement;
    this.advice = all.advice;
    this.retryAfterMs = all.retryAfterMs;
    this.requestId = all.requestId;
    this.code = all.code;
    this.recovery = all.recovery;
    this.violations = all.violations;
  }
}

/**
 * The handshake succeeded, the login did not (CHN-10).
 *
 * Its code is one of those observed on the wire: 401 enlist again, 402 banned for a time, 403 locked, 405 client
 * outdated, 406 banned, 500 the server's own fault, 503 try later.
 */
export class LoginRefused extends ServerRefusal {
  override readonly name: string = "LoginRefused";

  /**
   * @param refusal The refusal.
   * @param expiresAfterSeconds For a temporary ban: seconds until it ends.
   * @param subCode For a temporary ban, the cause: 101 too many chats with recipients who do not know the sender, 102
   *   blocked or reported by many users, 103 too many groups, 104 the same message too often, 106 too many broadcasts.
   */
  constructor(
    refusal: ServerRefusal,
    readonly expiresAfterSeconds: number | undefined = undefined,
    readonly subCode: number | undefined = undefined,
  ) {
    super(refusal.reason, refusal);
  }
}

/** The chat channel has ended. The server may or may not have accepted stanzas that it has not acked. */
export class ConnectionEnded extends Error {
  override readonly name = "ConnectionEnded";

  /**
   * @param reason Name of the reason, such as `CONNECTION_REPLACED`; `CLOSED` when this end closed it; otherwise the
   *   name of the gRPC status that ended the stream.
   * @param advice What to do about it, for people; may be empty.
   * @param recovery What to do about it, for programs.
   * @param requirement Id of the requirement that was broken; may be empty.
   * @param requestId Names the refusal in the server's journal; may be empty.
   */
  constructor(
    readonly reason: string,
    readonly advice = "",
    readonly recovery: Recovery = "UNKNOWN",
    readonly requirement = "",
    readonly requestId = "",
  ) {
    super(describe(reason, { ...UNEXPLAINED, advice, requirement, requestId }));
  }
}

/** No answer came in time: whether the other side did what it was asked is not known. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
}

/** Something other than the server cannot be reached, or ended the exchange early: a messenger's media server, say. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";
}

/** Returns the end of a channel that the server has ended with a refusal. */
export function endedBy(refusal: ServerRefusal): ConnectionEnded {
  const { reason, advice, recovery, requirement, requestId } = refusal;
  return new ConnectionEnded(reason, advice, recovery, requirement, requestId);
}

/** Returns the refusal in a stanza of the chat channel or in a response. */
export function refusalFromProto(error: Refusal | undefined): ServerRefusal {
  if (error === undefined) {
    return new ServerRefusal("UNSPECIFIED");
  }
  return new ServerRefusal(ErrorReason[error.reason] ?? `REASON_${error.reason}`, {
    requirement: error.requirement,
    advice: error.advice,
    retryAfterMs: error.retryAfterMs === undefined ? undefined : Number(error.retryAfterMs),
    requestId: error.requestId,
    code: error.code,
    recovery: recoveryNamed(RecoveryNumber[error.recovery] ?? ""),
    violations: error.violations.map(({ field, description }) => ({ field, description })),
  });
}

/** Returns the refusal of a login. */
export function refusalFromLoginFailure(failure: LoginFailure): LoginRefused {
  return new LoginRefused(refusalFromProto(failure.error), failure.expiresAfterSeconds, failure.subCode);
}

/**
 * Returns the refusal in a JSON object from the HTTP surface.
 *
 * @throws TypeError The value is not a refusal.
 */
export function refusalFromJson(value: unknown): ServerRefusal {
  const facts = value as Readonly<Record<string, unknown>> | null;
  if (typeof facts !== "object" || facts === null || typeof facts["reason"] !== "string") {
    throw new TypeError("the object is not a refusal");
  }
  const text = (name: string): string => (typeof facts[name] === "string" ? facts[name] : "");
  const number = (name: string): number | undefined => (typeof facts[name] === "number" ? facts[name] : undefined);
  const violations = Array.isArray(facts["violations"]) ? (facts["violations"] as Partial<Violation>[]) : [];
  return new ServerRefusal(facts["reason"].toUpperCase(), {
    requirement: text("requirement"),
    advice: text("advice"),
    retryAfterMs: number("retry_after_ms"),
    requestId: text("request_id"),
    code: number("code") ?? 0,
    recovery: recoveryNamed(text("recovery").toUpperCase()),
    violations: violations.map((each) => ({ field: String(each.field), description: String(each.description) })),
  });
}

/** Returns the recovery of that name; `UNKNOWN` when this client does not know it. */
export function recoveryNamed(name: string): Recovery {
  return RECOVERIES.find((known) => known === name) ?? "UNKNOWN";
}

/** Returns what went wrong, for people. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

function describe(reason: string, facts: RefusalFacts): string {
  const named = [facts.requirement, facts.requestId && `request ${facts.requestId}`].filter(Boolean).join(", ");
  const head = named ? `${reason} (${named})` : reason;
  const violations = facts.violations
    .filter((each) => !facts.advice.includes(each.description))
    .map((each) => `${each.field}: ${each.description}.`);
  const words = [facts.advice, ...violations].filter(Boolean).join(" ");
  return words ? `${head}: ${words}` : head;
}
