/** Where the client says what went wrong that nobody waits for; an application may put another in its place. */

import { sentenceOf } from "./errors.js";

/** Takes what went wrong. */
export interface Log {
  /** What the client goes on from. */
  warn(sentence: string): void;
  /** What ends a connection: a fault of the application, the disk, or the client. */
  error(sentence: string, error: unknown): void;
}

/** The log in use; on stderr by default. Nothing in it is a key, a token or a plaintext. */
export const log: Log = {
  warn: (sentence) => {
    process.stderr.write(`WARNING ${printable(sentence)}\n`);
  },
  error: (sentence, error) => {
    const trace = error instanceof Error ? (error.stack ?? sentenceOf(error)) : sentenceOf(error);
    process.stderr.write(`ERROR ${printable(sentence)}\n${printable(trace)}\n`);
  },
};

/** What came from outside must not steer a terminal. */
function printable(text: string): string {
  return text.replace(/(?!\n)[\p{Cc}\p{Cf}]/gu, "\u{fffd}");
}
