/**
 * Reads the `google.rpc.Status` of a refused call, where it comes as bytes; knows no transport.
 *
 *     Status: int32 code = 1; string message = 2; repeated Any details = 3      Any: string type_url = 1; bytes value =
 *   2
 */

import "../protocol/texts.js";

import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { Code } from "@connectrpc/connect";

import { refusalFromProto, ServerRefusal } from "../errors.js";
import { RefusalSchema } from "../gen/interop_api/v1/errors_pb.js";
import { statusName } from "./calls.js";

/** What `Any.type_url` ends with for a refusal. */
const TYPE_NAME = `/${RefusalSchema.typeName}`;

/**
 * Returns the refusal in a status. Without the server's own details, it has the gRPC status and its message.
 *
 * @param code gRPC status code.
 * @param body A serialised `google.rpc.Status`.
 * @throws Error The body is no such message.
 */
export function refusalFromStatus(code: number, body: Uint8Array): ServerRefusal {
  let message = "";
  let refusal: ServerRefusal | undefined;
  for (const [field, value] of lengthDelimited(body)) {
    if (field === 2) {
      message = new TextDecoder().decode(value);
    } else if (field === 3) {
      refusal ??= refusalFromAny(value);
    }
  }
  return refusal ?? new ServerRefusal(statusName(code in Code ? code : Code.Unknown), { advice: message });
}

function refusalFromAny(any: Uint8Array): ServerRefusal | undefined {
  const fields = new Map(lengthDelimited(any));
  const value = fields.get(2);
  const type = new TextDecoder().decode(fields.get(1));
  if (value === undefined || !type.endsWith(TYPE_NAME)) {
    return undefined;
  }
  const refusal = fromBinary(RefusalSchema, value);
  return refusal.reason === 0 ? undefined : refusalFromProto(refusal);
}

/** Yields the fields of a message that are texts, bytes or messages. */
function* lengthDelimited(message: Uint8Array): Generator<[field: number, value: Uint8Array]> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) {
      yield [field, reader.bytes()];
    } else {
      reader.skip(type, field);
    }
  }
}
