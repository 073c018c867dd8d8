/** Stanzas waiting to be sent on a chat channel, in batches as large as the limits allow; knows no cipher or stream. */

import { create, toBinary } from "@bufbuild/protobuf";

import { Change } from "../asynchrony.js";
import { BatchSchema, type ChannelLimits, type Stanza } from "../gen/interop_api/v1/stanza_pb.js";
import { TAG_BYTES } from "../protocol/sizes.js";

/** For a server that names no limit. */
export const DEFAULT_MAX_FRAME_BYTES = 1 << 20;
/** For a server that names no limit. */
export const DEFAULT_MAX_BATCH_STANZAS = 128;

/** How many full batches may wait before `add` waits too. */
const WAITING_BATCHES = 4;

/**
 * Waiting stanzas. A frame costs far more than a stanza, so waiting stanzas share as few frames as possible.
 *
 * Bounded: `add` waits while the outbox is full, so that a slow connection slows the sender down and uses little
 * memory.
 */
export class Outbox {
  readonly #maxStanzas: number;
  readonly #maxBytes: number;
  readonly #waiting: Uint8Array[] = [];
  readonly #changed = new Change();
  #waitingBytes = 0;
  #end: Error | undefined;

  /** @param limits From the server's answer to the login. */
  constructor(limits: ChannelLimits | undefined) {
    this.#maxStanzas = limits?.maxBatchStanzas || DEFAULT_MAX_BATCH_STANZAS;
    this.#maxBytes = (limits?.maxFrameBytes || DEFAULT_MAX_FRAME_BYTES) - TAG_BYTES;
  }

  /**
   * Adds stanzas in order, each as soon as there is room.
   *
   * @throws RangeError A stanza alone is longer than a frame may be; those before it were added.
   * @throws Error The error that was passed to `end`; also without any stanza.
   */
  async add(...stanzas: readonly Stanza[]): Promise<void> {
    if (this.#end !== undefined) {
      throw this.#end;
    }
    for (const stanza of stanzas) {
      // A serialised batch of one stanza. Serialised batches concatenate, so a frame is a plain join of them.
      const encoded = toBinary(BatchSchema, create(BatchSchema, { stanzas: [stanza] }));
      if (encoded.length > this.#maxBytes) {
        throw new RangeError(`a stanza takes ${encoded.length} bytes, a frame holds ${this.#maxBytes}`);
      }
      if (!this.#hasRoom()) {
        await this.#changed.until(() => this.#end !== undefined || this.#hasRoom());
      }
      if (this.#end !== undefined) {
        throw this.#end;
      }
      this.#waiting.push(encoded);
      this.#waitingBytes += encoded.length;
      this.#changed.notify(); // before it waits for room, which comes with the next batch
    }
  }

  /** Waits for content and returns the next batch, serialised; undefined when the outbox has ended and is empty. */
  async nextBatch(): Promise<Uint8Array | undefined> {
    await this.#changed.until(() => this.#waiting.length > 0 || this.#end !== undefined);
    let count = 0;
    let size = 0;
    while (count < Math.min(this.#waiting.length, this.#maxStanzas)) {
      const next = this.#waiting[count]?.length ?? 0;
      if (size + next > this.#maxBytes) {
        break;
      }
      size += next;
      count += 1;
    }
    if (count === 0) {
      return undefined;
    }
    this.#waitingBytes -= size;
    const batch = Buffer.concat(this.#waiting.splice(0, count));
    this.#changed.notify();
    return batch;
  }

  /** Makes further calls of `add` throw this error. `nextBatch` still returns the waiting stanzas. */
  end(reason: Error): void {
    this.#end ??= reason;
    this.#changed.notify();
  }

  #hasRoom(): boolean {
    return (
      this.#waiting.length < this.#maxStanzas * WAITING_BATCHES && this.#waitingBytes < this.#maxBytes * WAITING_BATCHES
    );
  }
}
