/** Messages of the driver protocol on a pipe, with their lengths before them; knows no command. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";

import {
  type DriveRequest,
  DriveRequestSchema,
  type DriveResponse,
  DriveResponseSchema,
} from "../gen/interop_api/conformance/v1/driver_pb.js";

/** Longest message, either way: bytes. */
export const MAX_MESSAGE_BYTES = 2 << 20;

/** Of a varint that says no more than the longest message. */
const MAX_LENGTH_BYTES = 4;

/** What came is no message, or too long: the rest of the stream cannot be read. The message is a sentence. */
export class MessageMalformed extends Error {
  override readonly name = "MessageMalformed";
}

/**
 * Yields the requests on a pipe, until it ends.
 *
 * @throws MessageMalformed What came is no request, is too long, or was cut.
 */
export async function* readRequests(pipe: AsyncIterable<Buffer>): AsyncGenerator<DriveRequest, void, undefined> {
  let buffered: Buffer = Buffer.alloc(0);
  for await (const chunk of pipe) {
    buffered = Buffer.concat([buffered, chunk]);
    for (let message = nextMessage(buffered); message !== undefined; message = nextMessage(buffered)) {
      buffered = buffered.subarray(message.end);
      yield requestOf(message.body);
    }
  }
  if (buffered.length > 0) {
    throw new MessageMalformed("The stream ended within a message.");
  }
}

/** Returns a message with its length before it. */
export function delimited(response: DriveResponse): Uint8Array {
  return new BinaryWriter().bytes(toBinary(DriveResponseSchema, response)).finish();
}

function nextMessage(buffered: Buffer): { readonly body: Buffer; readonly end: number } | undefined {
  let length = 0;
  let at = 0;
  for (let byte = 0x80; byte >= 0x80; at += 1) {
    if (at === MAX_LENGTH_BYTES) {
      throw new MessageMalformed("The length of a message takes more than four bytes.");
    }
    const next = buffered[at];
    if (next === undefined) {
      return undefined;
    }
    byte = next;
    length |= (byte & 0x7f) << (7 * at);
  }
  if (length > MAX_MESSAGE_BYTES) {
    throw new MessageMalformed(`A message has ${length} bytes, the limit is ${MAX_MESSAGE_BYTES}.`);
  }
  const end = at + length;
  return buffered.length < end ? undefined : { body: buffered.subarray(at, end), end };
}

function requestOf(body: Buffer): DriveRequest {
  try {
    return fromBinary(DriveRequestSchema, new Uint8Array(body));
  } catch {
    throw new MessageMalformed("What came is no DriveRequest.");
  }
}
