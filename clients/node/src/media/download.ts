/**
 * Downloads, verifies and decrypts blobs; knows no message and no session.
 *
 * Source: MED-01 to MED-06; interop_api/v1/media.proto.
 */

import { mkdtemp, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { httpRequest } from "../connection/http.js";
import type { BlobStreams } from "../connection/transport.js";
import { ServerRefusal } from "../errors.js";
import type { DownloadResponse } from "../gen/interop_api/v1/media_pb.js";
import { ciphertextLength, decryptFile, MediaTampered } from "./crypto.js";
import type { MediaReference } from "./reference.js";

const HTTP_REASONS: Readonly<Record<string, string>> = { HTTP_404: "BLOB_NOT_FOUND", HTTP_410: "BLOB_EXPIRED" };

/**
 * Downloads a blob in the session of a connection, and decrypts it.
 *
 * @param streams The connection.
 * @param reference Describes the blob.
 * @param target Path of the plaintext, which is written completely or not at all.
 * @throws ServerRefusal The server does not have the blob.
 * @throws MediaTampered The blob is not the one that the sender described.
 */
export async function downloadOverGrpc(streams: BlobStreams, reference: MediaReference, target: string): Promise<void> {
  await receive(chunksOf(streams.download({ directPath: reference.directPath })), reference, target);
}

/**
 * Downloads a blob with a plain GET of its path, and decrypts it.
 *
 * @param baseUrl Of the server's HTTP surface.
 * @param reference Describes the blob.
 * @param target Path of the plaintext, which is written completely or not at all.
 * @param ca The certificate to trust, as PEM; empty for those of the system.
 * @throws ServerRefusal BLOB_NOT_FOUND for status 404, BLOB_EXPIRED for 410, or else `HTTP_{status}`.
 * @throws MediaTampered The blob is not the one that the sender described.
 * @throws Unreachable The server cannot be reached.
 * @throws TimeoutError The server is too slow.
 */
export async function downloadOverHttp(
  baseUrl: string,
  reference: MediaReference,
  target: string,
  ca = "",
): Promise<void> {
  const url = baseUrl.replace(/\/$/u, "") + reference.directPath;
  try {
    await httpRequest({ method: "GET", url, ca }, (body) => receive(body, reference, target));
  } catch (error) {
    const reason = error instanceof ServerRefusal ? HTTP_REASONS[error.reason] : undefined;
    throw reason === undefined ? error : new ServerRefusal(reason);
  }
}

async function* chunksOf(responses: AsyncIterable<DownloadResponse>): AsyncGenerator<Uint8Array> {
  for await (const { part } of responses) {
    if (part.case === "chunk") {
      yield part.value;
    }
  }
}

async function receive(chunks: AsyncIterable<Uint8Array>, reference: MediaReference, target: string): Promise<void> {
  let left = ciphertextLength(reference.encrypted);
  // Beside the target, so that the plaintext gets the target's name only when it is complete and verified.
  const folder = await mkdtemp(join(dirname(target), ".interop-"));
  const [blobPath, plaintextPath] = [join(folder, "blob"), join(folder, "plaintext")];
  try {
    const blob = await open(blobPath, "w", 0o600);
    try {
      for await (const chunk of chunks) {
        left -= chunk.length;
        if (left < 0) {
          throw new MediaTampered("CIPHERTEXT_LENGTH");
        }
        await blob.writeFile(chunk);
      }
    } finally {
      await blob.close();
    }
    await decryptFile(blobPath, plaintextPath, reference.mediaKey, reference.mediaType, reference.encrypted);
    await rename(plaintextPath, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
