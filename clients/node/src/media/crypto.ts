/**
 * Media encryption: encrypts a file to a blob, and decrypts a blob to the file; knows no upload, download or message.
 *
 *     blob = AES-256-CBC(plaintext, PKCS #7) ‖ first 10 bytes of HMAC-SHA256(MAC key, IV ‖ ciphertext)
 *
 * IV, cipher key and MAC key come from HKDF over the 32-byte media key, with an info string for each media type. Both
 * directions stream: a file of any size takes a few MiB of memory.
 *
 * Source: MED-01, MED-06.
 */

import { createCipheriv, createDecipheriv, createHash, createHmac, type Hmac } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";

import { equalBytes, hkdfSha256 } from "../protocol/primitives.js";

/** Length of a media key. */
export const MEDIA_KEY_BYTES = 32;
/** Length of the MAC at the end of a blob. */
export const MAC_BYTES = 10;
/** How much of a file is in memory at once. */
export const CHUNK_BYTES = 1 << 20;

const CIPHER = "aes-256-cbc";
const BLOCK_BYTES = 16;
const EXPANDED_BYTES = 112;
const NO_SALT = new Uint8Array(32);

/** The type of a file; its value is the info string with which the media key is expanded. */
export const MediaType = {
  IMAGE: "WhatsApp Image Keys",
  VIDEO: "WhatsApp Video Keys",
  /** Voice messages too. */
  AUDIO: "WhatsApp Audio Keys",
  DOCUMENT: "WhatsApp Document Keys",
} as const;
export type MediaType = (typeof MediaType)[keyof typeof MediaType];

/** The description of a blob that its sender gives to the recipient, besides the media key. */
export interface EncryptedMedia {
  /** 32 bytes. */
  readonly plaintextSha256: Uint8Array;
  /** Length in bytes. */
  readonly plaintextLength: number;
  /** SHA-256 of the blob, MAC included: 32 bytes. */
  readonly ciphertextSha256: Uint8Array;
}

/** Returns the length of a blob in bytes, which follows from that of the plaintext. */
export function ciphertextLength({ plaintextLength }: Pick<EncryptedMedia, "plaintextLength">): number {
  return (Math.floor(plaintextLength / BLOCK_BYTES) + 1) * BLOCK_BYTES + MAC_BYTES;
}

/** The checks that a blob must pass, in this order. */
export type MediaCheck =
  | "CIPHERTEXT_LENGTH"
  | "CIPHERTEXT_SHA256"
  | "MAC"
  | "PADDING"
  | "PLAINTEXT_LENGTH"
  | "PLAINTEXT_SHA256";

/** A blob or its plaintext is not what the sender described. */
export class MediaTampered extends Error {
  override readonly name = "MediaTampered";

  /** @param check The check that failed. */
  constructor(readonly check: MediaCheck) {
    super(`the media failed the check of ${check}`);
  }
}

/** The keys that a media key expands to; the last 32 of the 112 bytes, the reference key, have no use here. */
export interface MediaKeys {
  /** 16 bytes. */
  readonly iv: Uint8Array;
  /** 32 bytes. */
  readonly cipherKey: Uint8Array;
  /** 32 bytes. */
  readonly macKey: Uint8Array;
}

/**
 * Expands a media key.
 *
 * @param mediaKey 32 bytes.
 * @param mediaType The type of the file.
 * @throws RangeError: The media key does not have 32 bytes.
 */
export function expandMediaKey(mediaKey: Uint8Array, mediaType: MediaType): MediaKeys {
  if (mediaKey.length !== MEDIA_KEY_BYTES) {
    throw new RangeError(`a media key has ${mediaKey.length} bytes instead of ${MEDIA_KEY_BYTES}`);
  }
  const okm = hkdfSha256(mediaKey, NO_SALT, mediaType, EXPANDED_BYTES);
  return { iv: okm.slice(0, 16), cipherKey: okm.slice(16, 48), macKey: okm.slice(48, 80) };
}

/**
 * Encrypts a file to a blob.
 *
 * @param source Path of the plaintext.
 * @param target Path of the blob, which is written anew, for its owner only.
 * @param mediaKey 32 random bytes, used for this file only.
 * @param mediaType The type of the file.
 * @returns The description of the blob for the recipient.
 * @throws RangeError: The media key does not have 32 bytes.
 */
export async function encryptFile(
  source: string,
  target: string,
  mediaKey: Uint8Array,
  mediaType: MediaType,
): Promise<EncryptedMedia> {
  const keys = expandMediaKey(mediaKey, mediaType);
  await using files = await Files.open(source, target);
  const cipher = createCipheriv(CIPHER, keys.cipherKey, keys.iv);
  const [mac, plaintextHash, blobHash] = [newMac(keys), createHash("sha256"), createHash("sha256")];
  let plaintextLength = 0;
  const put = async (ciphertext: Uint8Array): Promise<void> => {
    mac.update(ciphertext);
    blobHash.update(ciphertext);
    await files.write(ciphertext);
  };
  for await (const chunk of files.read()) {
    plaintextHash.update(chunk);
    plaintextLength += chunk.length;
    await put(cipher.update(chunk));
  }
  await put(cipher.final());
  const tag = mac.digest().subarray(0, MAC_BYTES);
  blobHash.update(tag);
  await files.write(tag);
  return {
    plaintextSha256: new Uint8Array(plaintextHash.digest()),
    plaintextLength,
    ciphertextSha256: new Uint8Array(blobHash.digest()),
  };
}

/**
 * Decrypts a blob.
 *
 * It reads the blob twice: once to verify all of it, once to decrypt it. So it writes no plaintext before the whole
 * blob is verified, and needs no second copy on disk, as verifying while decrypting would.
 *
 * @param source Path of the blob.
 * @param target Path of the plaintext, which is written anew, for its owner only. Discard it when this function throws.
 * @param mediaKey From the sender, 32 bytes.
 * @param mediaType From the sender.
 * @param expected The sender's description of the blob.
 * @throws MediaTampered: The blob is not what the sender described. The checks from PADDING on run after plaintext was
 *   written: they fail when the sender's description was wrong, or the blob changed between the two reads.
 * @throws RangeError: The media key does not have 32 bytes.
 */
export async function decryptFile(
  source: string,
  target: string,
  mediaKey: Uint8Array,
  mediaType: MediaType,
  expected: EncryptedMedia,
): Promise<void> {
  const keys = expandMediaKey(mediaKey, mediaType);
  await using files = await Files.open(source, target);
  await verifyBlob(files, keys, expected);
  await decryptVerified(files, keys, expected);
}

async function verifyBlob(files: Files, keys: MediaKeys, expected: EncryptedMedia): Promise<void> {
  const end = ciphertextLength(expected);
  if ((await files.sourceLength()) !== end) {
    throw new MediaTampered("CIPHERTEXT_LENGTH");
  }
  const [mac, blobHash] = [newMac(keys), createHash("sha256")];
  for await (const chunk of files.read(0, end - MAC_BYTES)) {
    blobHash.update(chunk);
    mac.update(chunk);
  }
  const tag = Buffer.alloc(MAC_BYTES);
  let tagLength = 0;
  for await (const chunk of files.read(end - MAC_BYTES, end)) {
    tagLength += chunk.copy(tag, tagLength);
  }
  if (tagLength !== MAC_BYTES) {
    throw new MediaTampered("CIPHERTEXT_LENGTH");
  }
  blobHash.update(tag);
  if (!equalBytes(blobHash.digest(), expected.ciphertextSha256)) {
    throw new MediaTampered("CIPHERTEXT_SHA256");
  }
  if (!equalBytes(mac.digest().subarray(0, MAC_BYTES), tag)) {
    throw new MediaTampered("MAC");
  }
}

async function decryptVerified(files: Files, keys: MediaKeys, expected: EncryptedMedia): Promise<void> {
  const decipher = createDecipheriv(CIPHER, keys.cipherKey, keys.iv);
  const plaintextHash = createHash("sha256");
  let plaintextLength = 0;
  const put = async (plaintext: Uint8Array): Promise<void> => {
    plaintextHash.update(plaintext);
    plaintextLength += plaintext.length;
    await files.write(plaintext);
  };
  for await (const chunk of files.read(0, ciphertextLength(expected) - MAC_BYTES)) {
    await put(decipher.update(chunk));
  }
  await put(finalBlock(() => decipher.final()));
  if (plaintextLength !== expected.plaintextLength) {
    throw new MediaTampered("PLAINTEXT_LENGTH");
  }
  if (!equalBytes(plaintextHash.digest(), expected.plaintextSha256)) {
    throw new MediaTampered("PLAINTEXT_SHA256");
  }
}

function finalBlock(final: () => Uint8Array): Uint8Array {
  try {
    return final();
  } catch {
    throw new MediaTampered("PADDING");
  }
}

/** Returns a new MAC, which already covers the IV. */
function newMac({ macKey, iv }: MediaKeys): Hmac {
  return createHmac("sha256", macKey).update(iv);
}

/** The two open files of one encryption or decryption. */
class Files {
  private constructor(
    readonly source: FileHandle,
    readonly target: FileHandle,
  ) {}

  static async open(source: string, target: string): Promise<Files> {
    const reading = await open(source, "r");
    try {
      return new Files(reading, await open(target, "w", 0o600));
    } catch (error) {
      await reading.close();
      throw error;
    }
  }

  async sourceLength(): Promise<number> {
    return (await this.source.stat()).size;
  }

  /** Yields the bytes from one position up to another, or to the end of the file, each chunk valid until the next. */
  async *read(from = 0, to = Number.POSITIVE_INFINITY): AsyncGenerator<Buffer> {
    const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, to - from));
    for (let position = from; position < to; ) {
      const { bytesRead } = await this.source.read(buffer, 0, Math.min(buffer.length, to - position), position);
      if (bytesRead === 0) {
        return;
      }
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.target.writeFile(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
    await this.target.close();
  }
}
