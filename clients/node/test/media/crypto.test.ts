/** Media encryption: files of awkward lengths, and every way to tamper with a blob. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import {
  CHUNK_BYTES,
  ciphertextLength,
  decryptFile,
  type EncryptedMedia,
  encryptFile,
  type MediaCheck,
  MediaTampered,
  MediaType,
} from "../../src/media/crypto.js";

const KEY = Uint8Array.from({ length: 32 }, (_, at) => at);
const PLAINTEXT = Buffer.from("a picture worth a thousand words");

describe("media", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "interop-media-"));
  });
  after(() => rm(folder, { recursive: true }));

  async function encrypted(plaintext: Buffer = PLAINTEXT): Promise<[Buffer, EncryptedMedia]> {
    const [source, target] = [join(folder, "plaintext"), join(folder, "blob")];
    await writeFile(source, plaintext);
    const described = await encryptFile(source, target, KEY, MediaType.IMAGE);
    return [await readFile(target), described];
  }

  async function decrypted(
    blob: Buffer,
    expected: EncryptedMedia,
    mediaType: MediaType = MediaType.IMAGE,
  ): Promise<Buffer> {
    const [source, target] = [join(folder, "blob"), join(folder, "decrypted")];
    await writeFile(source, blob);
    await decryptFile(source, target, KEY, mediaType, expected);
    return readFile(target);
  }

  /** Checks which check a blob fails; up to the MAC, no plaintext may have come out. */
  async function fails(check: MediaCheck, blob: Buffer, expected: EncryptedMedia, type?: MediaType): Promise<void> {
    await assert.rejects(
      decrypted(blob, expected, type),
      (error) => error instanceof MediaTampered && error.check === check,
    );
    if (["CIPHERTEXT_LENGTH", "CIPHERTEXT_SHA256", "MAC"].includes(check)) {
      assert.equal((await stat(join(folder, "decrypted"))).size, 0);
    }
  }

  function flipped(blob: Buffer, at: number): Buffer {
    const altered = Buffer.from(blob);
    altered[at] = (altered[at] ?? 0) ^ 1;
    return altered;
  }

  function sha256(bytes: Uint8Array): Uint8Array {
    return new Uint8Array(createHash("sha256").update(bytes).digest());
  }

  for (const length of [0, 1, 15, 16, 17, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]) {
    test(`a file of ${length} bytes comes back`, async () => {
      const plaintext = Buffer.alloc(length, "0123456789abcdef!");
      const [blob, described] = await encrypted(plaintext);
      assert.equal(blob.length, ciphertextLength(described));
      assert(plaintext.equals(await decrypted(blob, described)));
    });
  }

  test("every flipped byte is found before any plaintext: by the hash, or by the MAC if that is forged along", async () => {
    const [blob, described] = await encrypted();
    for (let at = 0; at < blob.length; at += 1) {
      const altered = flipped(blob, at);
      await fails("CIPHERTEXT_SHA256", altered, described);
      await fails("MAC", altered, { ...described, ciphertextSha256: sha256(altered) });
    }
  });

  test("a blob of another length is refused", async () => {
    const [blob, described] = await encrypted();
    for (const other of [blob.subarray(0, -1), Buffer.concat([blob, Buffer.alloc(1)]), Buffer.alloc(0)]) {
      await fails("CIPHERTEXT_LENGTH", other, described);
    }
  });

  test("what the sender said of the file must be so", async () => {
    const [blob, described] = await encrypted();
    await fails("PLAINTEXT_LENGTH", blob, { ...described, plaintextLength: PLAINTEXT.length + 1 });
    await fails("PLAINTEXT_SHA256", blob, { ...described, plaintextSha256: new Uint8Array(32) });
    await fails("CIPHERTEXT_LENGTH", blob, { ...described, plaintextLength: PLAINTEXT.length + 16 });
  });

  test("the keys of another type do not open a blob", async () => {
    const [blob, described] = await encrypted();
    await fails("MAC", blob, described, MediaType.VIDEO);
  });

  test("a media key has 32 bytes, and files are for their owner only", async () => {
    const [, described] = await encrypted();
    const paths = [join(folder, "blob"), join(folder, "other")] as const;
    await assert.rejects(encryptFile(...paths, KEY.slice(1), MediaType.IMAGE), RangeError);
    await assert.rejects(decryptFile(...paths, KEY.slice(1), MediaType.IMAGE, described), RangeError);
    await decryptFile(...paths, KEY, MediaType.IMAGE, described);
    assert.equal((await stat(paths[1])).mode & 0o777, 0o600);
  });
});
