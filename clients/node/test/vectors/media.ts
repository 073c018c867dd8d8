/** Replays the vectors of media. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  ciphertextLength,
  decryptFile,
  type EncryptedMedia,
  encryptFile,
  expandMediaKey,
  MAC_BYTES,
  MediaTampered,
  MediaType,
} from "../../src/media/crypto.js";
import { mediaToken } from "../../src/protocol/encoding.js";
import { hkdfSha256, hmacSha256 } from "../../src/protocol/primitives.js";
import type { Facts, Replay } from "./facts.js";

const TYPES: ReadonlyMap<string, MediaType> = new Map([
  ["image", MediaType.IMAGE],
  ["video", MediaType.VIDEO],
  ["audio", MediaType.AUDIO],
  ["voice", MediaType.AUDIO],
  ["document", MediaType.DOCUMENT],
]);

function typeOf(vector: Facts): MediaType {
  const type = TYPES.get(vector.text("kind"));
  assert(type !== undefined, `${vector.text("kind")} is no kind of media`);
  return type;
}

function described(vector: Facts): EncryptedMedia {
  return {
    plaintextSha256: vector.bytes("file_sha256"),
    plaintextLength: Number(vector.text("file_length")),
    ciphertextSha256: vector.bytes("file_enc_sha256"),
  };
}

/** Calls with the paths of two files in a folder that is deleted afterwards. */
async function withFiles(work: (source: string, target: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "interop-vectors-"));
  try {
    await work(join(folder, "source"), join(folder, "target"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function media(vector: Facts): Promise<void> {
  const [mediaKey, type, file, blob] = [vector.bytes("media_key"), typeOf(vector), bytesOf("file"), bytesOf("blob")];
  assert.equal(type, vector.text("info"));
  const keys = expandMediaKey(mediaKey, type);
  assert.deepEqual(keys.iv, vector.bytes("iv"));
  assert.deepEqual(keys.cipherKey, vector.bytes("cipher_key"));
  assert.deepEqual(keys.macKey, vector.bytes("mac_key"));
  const expanded = hkdfSha256(mediaKey, new Uint8Array(32), type, 112);
  assert.deepEqual(expanded.slice(80), vector.bytes("reference_key"));
  assert.deepEqual(hmacSha256(keys.macKey, keys.iv, blob.subarray(0, -MAC_BYTES)), vector.bytes("mac"));
  assert.equal(ciphertextLength(described(vector)), blob.length);
  assert.equal(mediaToken(vector.bytes("file_enc_sha256")), vector.text("upload_token"));
  await withFiles(async (source, target) => {
    await writeFile(source, file);
    assert.deepEqual(await encryptFile(source, target, mediaKey, type), described(vector));
    assert.deepEqual(await readFile(target), blob);
  });
  await withFiles(async (source, target) => {
    await writeFile(source, blob);
    await decryptFile(source, target, mediaKey, type, described(vector));
    assert.deepEqual(await readFile(target), file);
  });

  function bytesOf(name: string): Buffer {
    return Buffer.from(vector.text(name), "hex");
  }
}

async function mediaRefusals(vector: Facts): Promise<void> {
  const check = vector.text("failed_check");
  await withFiles(async (source, target) => {
    await writeFile(source, vector.bytes("blob"));
    await assert.rejects(
      decryptFile(source, target, vector.bytes("media_key"), typeOf(vector), described(vector)),
      (error) => error instanceof MediaTampered && error.check === check,
    );
    if (["CIPHERTEXT_LENGTH", "CIPHERTEXT_SHA256", "MAC"].includes(check)) {
      assert.equal((await readFile(target)).length, 0, "plaintext came out of what is not authentic");
    }
  });
}

/** The replays, by file. */
export const MEDIA: Readonly<Record<string, Replay>> = { media, media_refusals: mediaRefusals };
