/**
 * One call over gRPC, with its refusal as an error; knows no chat channel and no session.
 *
 * Calls that a repetition would do twice have a field `request_id`. They are repeated when their answer is lost, under
 * the same id, and so done once. Source: errors.proto.
 */

import "../protocol/texts.js";

import { randomBytes } from "node:crypto";

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";

import { sleep, unlessAborted } from "../asynchrony.js";
import { refusalFromProto, ServerRefusal, sentenceOf } from "../errors.js";
import { RefusalSchema } from "../gen/interop_api/v1/errors_pb.js";
import type { OpenedConnection } from "./opening.js";

/** Longest wait for the answer of a unary call. */
export const CALL_SECONDS = 30;
/** The wait before each repetition of a call whose answer was lost. */
export const REPEAT_SECONDS = [0.1, 0.5] as const;

const ID_BYTES = 16;
/** The statuses of a call that may have been done although no answer came, unless a refusal comes with them. */
const LOST: readonly Code[] = [Code.Unavailable, Code.Canceled, Code.Unknown, Code.Aborted];

/**
 * Makes a unary call; repeats it when it can be, and its answer was lost.
 *
 * @param connection Makes the call.
 * @param method The method, such as `PreKeyService.method.takePreKeyBundles`.
 * @param request The request.
 * @param headers Such as the session's token.
 * @throws ServerRefusal The call was refused or failed.
 * @throws ConnectionEnded CLOSED: the connection was closed meanwhile; the call may have been done.
 */
export async function unaryCall<I extends DescMessage, O extends DescMessage>(
  { grpc, closed }: OpenedConnection,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  headers: Readonly<Record<string, string>> = {},
): Promise<MessageShape<O>> {
  const message = create(method.input, request);
  encoded(method.input, message); // else it would look as if the server had refused it
  const waits = withRequestId(method.input, message) ? [...REPEAT_SECONDS] : [];
  while (true) {
    try {
      const init = message as MessageInitShape<I>;
      const answer = grpc.unary(method, closed, CALL_SECONDS * 1000, headers, init);
      return (await unlessAborted(closed, answer)).message;
    } catch (error) {
      closed.throwIfAborted();
      const refusal = refusalFromCall(error);
      const wait = !refusal.code && LOST.includes(ConnectError.from(error).code) ? waits.shift() : undefined;
      if (wait === undefined) {
        throw refusal;
      }
      await unlessAborted(closed, sleep(wait));
    }
  }
}

/**
 * Returns a request as it is sent.
 *
 * @throws TypeError A value in it cannot be sent, such as a negative number, or half of a surrogate pair.
 */
export function encoded<I extends DescMessage>(kind: I, message: MessageShape<I>): Uint8Array {
  try {
    return toBinary(kind, message);
  } catch (error) {
    throw new TypeError(`this cannot be sent: ${sentenceOf(error)}`);
  }
}

/**
 * Returns the refusal of a failed call. Without the server's own details, it has the gRPC status and its message.
 */
export function refusalFromCall(error: unknown): ServerRefusal {
  if (error instanceof ServerRefusal) {
    return error;
  }
  const failure = ConnectError.from(error);
  const refusal = failure.findDetails(RefusalSchema).find((detail) => detail.reason !== 0);
  return refusal
    ? refusalFromProto(refusal)
    : new ServerRefusal(statusName(failure.code), { advice: failure.rawMessage });
}

/** Returns gRPC's name of a status code, such as `UNAVAILABLE`. */
export function statusName(code: Code): string {
  if (code === Code.Canceled) {
    return "CANCELLED";
  }
  return (Code[code] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/gu, "_").toUpperCase();
}

/** Gives a call an id of its own, unless the caller did; says whether its kind has one. */
function withRequestId<I extends DescMessage>(kind: I, message: MessageShape<I>): boolean {
  const field = kind.fields.find((each) => each.name === "request_id");
  if (field === undefined) {
    return false;
  }
  const reflected = reflect(kind, message);
  if (!reflected.get(field)) {
    reflected.set(field, randomBytes(ID_BYTES).toString("hex"));
  }
  return true;
}
