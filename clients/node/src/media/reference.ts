/**
 * A message's description of its file; knows no upload or download.
 *
 * Source: MED-01 to MED-06.
 */

import type { EncryptedMedia, MediaType } from "./crypto.js";

/** The path of a blob, its key and its digests. Part of an encrypted message. */
export interface MediaReference {
  /** Decides which keys the media key expands to. */
  readonly mediaType: MediaType;
  /** `/v/t…` or `/interop/whatsapp/download/{integrator}/{storage_reference}/`. */
  readonly directPath: string;
  /** 32 bytes. */
  readonly mediaKey: Uint8Array;
  /** Lengths and digests that the blob must match. */
  readonly encrypted: EncryptedMedia;
  /** From the sender, not verified; may be empty. */
  readonly mimetype: string;
  /** File name of a document, harmless as in `fileNames`, or caption of an image or video; may be empty. */
  readonly name: string;
}
