/** Where the client says what went wrong that nobody waits for; an application may put another in its place. */

import { sentenceOf } from "./errors.js";
import { printable, printableLines } from "./protocol/printable.js";

/** Takes what went wrong. */
export interface Log {
  /** What the client goes on from. */
  warn(sentence: string): void;
  /** What ends a connection: a fault of the application, the disk, or the client. */
  error(sentence: string, error: unknown): void;
}

/**
 * The log in use; on stderr by default. Nothing in it is a key, a token or a plaintext. What came from outside cannot
 * steer a terminal, or forge a record.
 */
export const log: Log = {
  warn: (sentence) => {
    process.stderr.write(`WARNING ${printable(sentence)}\n`);
  },
  error: (sentence, error) => {
    const trace = error instanceof Error ? (error.stack ?? sentenceOf(error)) : sentenceOf(error);
    process.stderr.write(`ERROR ${printable(sentence)}\n    ${printableLines(trace)}\n`);
  },
};
