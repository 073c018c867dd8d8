/**
 * Encrypts files and uploads their blobs to the server or to a partner's media server; knows no message.
 *
 * Source: MED-05 to MED-07; interop_api/v1/media.proto.
 */

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { MessageInitShape } from "@bufbuild/protobuf";

import { sleep } from "../asynchrony.js";
import { httpRequest } from "../connection/http.js";
import type { BlobStreams, Transport } from "../connection/transport.js";
import { ServerRefusal } from "../errors.js";
import { MediaService, type UploadRequestSchema } from "../gen/interop_api/v1/media_pb.js";
import { mediaToken } from "../protocol/encoding.js";
import {
  CHUNK_BYTES,
  ciphertextLength,
  type EncryptedMedia,
  encryptFile,
  MEDIA_KEY_BYTES,
  type MediaType,
} from "./crypto.js";

/** How often a broken upload is resumed before it fails. */
export const MAX_RESUMPTIONS = 5;

/** Called with the number of bytes sent so far and the total. */
export type Progress = (sent: number, total: number) => void;

/** Stores a blob on the partner's own media server and returns its storage reference (MED-02). */
export type MediaHost = (path: string) => Promise<string>;

/** The gRPC statuses without a refusal, and the refusal, after which the upload may be resumable. */
const BREAKS = ["UNAVAILABLE", "CANCELLED", "UNKNOWN", "INTERNAL", "ABORTED", "UPLOAD_OFFSET_MISMATCH"];
/** The wait before the first resumption, doubled before each further one: the server may still hold the old stream. */
const FIRST_PAUSE_SECONDS = 0.1;
/** Who is told to come back later than this is told so, and does not wait unheard. */
const MOST_PAUSE_SECONDS = 30;
const REFERENCE_BYTES = 16;

/** A file encrypted for sending. */
export interface Blob {
  /** Path of the file with the ciphertext and its MAC. */
  readonly path: string;
  /** Decides which keys the media key expands to. */
  readonly mediaType: MediaType;
  /** 32 bytes, used for this file only. */
  readonly mediaKey: Uint8Array;
  /** The description of the blob for the recipient. */
  readonly encrypted: EncryptedMedia;
}

/**
 * Encrypts a file to a temporary one, which is deleted when the work with it is done. Fails where the file cannot be
 * read, or the blob cannot be written.
 */
export async function withEncryptedBlob<T>(
  source: string,
  mediaType: MediaType,
  work: (blob: Blob) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "interop-"));
  try {
    const path = join(folder, "blob");
    const mediaKey = new Uint8Array(randomBytes(MEDIA_KEY_BYTES));
    const encrypted = await encryptFile(source, path, mediaKey, mediaType);
    return await work({ path, mediaType, mediaKey, encrypted });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Returns a host that stores each blob with a PUT of `{baseUrl}/{storage_reference}`, under a random reference.
 *
 * The host throws ServerRefusal, `HTTP_{status}`, Unreachable or TimeoutError.
 *
 * @param baseUrl Of the partner's own media server.
 */
export function mediaHost(baseUrl: string): MediaHost {
  return async (path) => {
    const reference = randomBytes(REFERENCE_BYTES).toString("hex");
    const url = `${baseUrl.replace(/\/$/u, "")}/${reference}`;
    return httpRequest({ method: "PUT", url, body: { file: path } }, () => Promise.resolve(reference));
  };
}

/**
 * Uploads a blob and returns its path; after a broken stream, resumes with the bytes that the server lacks.
 *
 * @param transport An open connection of a WhatsApp user.
 * @param blobs Of the same connection.
 * @param blob The blob.
 * @param progress Called after each chunk; the number can fall after a break.
 * @throws ServerRefusal The server refused the upload, for more than half a minute; or it broke more than
 *   `MAX_RESUMPTIONS` times.
 */
export async function uploadBlob(
  transport: Transport,
  blobs: BlobStreams,
  blob: Blob,
  progress?: Progress,
): Promise<string> {
  const { auth } = await transport.call(MediaService.method.getMediaConnection, {});
  const uploadToken = mediaToken(blob.encrypted.ciphertextSha256);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const status = await transport.call(MediaService.method.getUploadStatus, { auth, uploadToken });
      if (status.directPath) {
        return status.directPath;
      }
      const start = { auth, uploadToken, offset: status.committedBytes };
      return (await blobs.upload(requests(blob, start, progress))).directPath;
    } catch (error) {
      if (!(error instanceof ServerRefusal) || attempt > MAX_RESUMPTIONS) {
        throw error;
      }
      const canGoOn = error.recovery === "SAME_AGAIN" || BREAKS.includes(error.reason);
      const pause = Math.max(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), (error.retryAfterMs ?? 0) / 1_000);
      if (!canGoOn || pause > MOST_PAUSE_SECONDS) {
        throw error;
      }
      await sleep(pause);
    }
  }
}

async function* requests(
  blob: Blob,
  start: { readonly auth: string; readonly uploadToken: string; readonly offset: bigint },
  progress: Progress | undefined,
): AsyncGenerator<MessageInitShape<typeof UploadRequestSchema>> {
  const length = ciphertextLength(blob.encrypted);
  yield { part: { case: "start", value: { ...start, length: BigInt(length) } } };
  let sent = Number(start.offset);
  for await (const chunk of createReadStream(blob.path, { start: sent, highWaterMark: CHUNK_BYTES })) {
    const value = chunk as Buffer<ArrayBuffer>;
    yield { part: { case: "chunk", value } };
    sent += value.length;
    progress?.(sent, length);
  }
}
