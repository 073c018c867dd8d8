/** Searches files for a key, byte by byte; knows nothing of the programs that wrote the files. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** The result of a search. */
export interface Findings {
  /** How many files were searched. */
  readonly files: number;
  /** The names of those that hold the key. */
  readonly hits: readonly string[];
}

/** Searches all files in some folders, or some files themselves, for a key: its bytes, hexadecimal or base64. */
export async function searchFor(key: Uint8Array, roots: readonly string[]): Promise<Findings> {
  const bytes = Buffer.from(key);
  const forms = [bytes.toString("hex"), bytes.toString("base64").replace(/=+$/u, ""), bytes.toString("base64url")];
  const patterns = [bytes, ...forms.map((form) => Buffer.from(form))];
  const hits: string[] = [];
  let files = 0;
  for (const path of (await Promise.all(roots.map(filesUnder))).flat()) {
    const content = await readFile(path).catch(() => undefined); // one that was deleted meanwhile holds nothing any more
    files += content === undefined ? 0 : 1;
    if (content !== undefined && patterns.some((pattern) => content.includes(pattern))) {
      hits.push(path);
    }
  }
  return { files, hits };
}

async function filesUnder(root: string): Promise<string[]> {
  try {
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [root];
  }
}
