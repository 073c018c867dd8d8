/** The driver on stdin and stdout, as a program: `node dist/driver.js`; knows no command. */

import { fstatSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Change, within } from "../asynchrony.js";
import { sentenceOf } from "../errors.js";
import type { DriveRequest, DriveResponse } from "../gen/interop_api/conformance/v1/driver_pb.js";
import { printable } from "../protocol/printable.js";
import { Driver } from "./driver.js";
import { delimited, MessageMalformed, readRequests } from "./frames.js";

/** Exit status after what is no message, or where there is no pipe. */
const MALFORMED = 2;
/** Most messages that wait for the kit to read them: then devices wait too. */
const MAX_WAITING = 64;
/** How long the kit may take to read what is left at the end. */
const FLUSH_SECONDS = 1;

/** Drives until stdin ends, or SIGINT or SIGTERM comes, and returns the exit status. */
export async function driveOverPipes(): Promise<number> {
  if (![0, 1].every((descriptor) => isPipe(descriptor))) {
    process.stderr.write("Error: Stdin and stdout must be pipes: a kit starts the driver.\n");
    return MALFORMED;
  }
  const folder = await mkdtemp(join(tmpdir(), "interop-driver-"));
  const output = new Output();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => process.stdin.destroy());
  }
  try {
    await new Driver(folder, (response) => output.send(response)).run(requestsFrom(output));
    return 0;
  } catch (error) {
    if (!(error instanceof MessageMalformed)) {
      throw error;
    }
    process.stderr.write(`Error: ${printable(sentenceOf(error))}\n`);
    return MALFORMED;
  } finally {
    await output.flush();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The kit's end of stdout. */
class Output {
  readonly #changed = new Change();
  #waiting = 0;
  #isGone = false;

  constructor() {
    process.stdout.on("error", () => {
      this.#isGone = true; // the kit has closed its end
      process.stdin.destroy();
      this.#changed.notify();
    });
  }

  /** Sends a message; fulfilled when there is room for the next. */
  async send(response: DriveResponse): Promise<void> {
    await this.#changed.until(() => this.#waiting < MAX_WAITING || this.#isGone);
    if (this.#isGone) {
      return;
    }
    this.#waiting += 1;
    process.stdout.write(delimited(response), () => {
      this.#waiting -= 1;
      this.#changed.notify();
    });
  }

  /** Waits until the kit has all, not for ever. */
  async flush(): Promise<void> {
    const flushed = this.#changed.until(() => this.#waiting === 0 || this.#isGone);
    await within(FLUSH_SECONDS, "the kit", flushed).catch(() => undefined);
  }
}

async function* requestsFrom(_output: Output): AsyncGenerator<DriveRequest, void, undefined> {
  try {
    yield* readRequests(process.stdin);
  } catch (error) {
    if (!process.stdin.destroyed || error instanceof MessageMalformed) {
      throw error;
    } // ended by a signal, or because the kit is gone
  }
}

function isPipe(descriptor: number): boolean {
  try {
    const status = fstatSync(descriptor);
    return status.isFIFO() || status.isSocket();
  } catch {
    return false;
  }
}
