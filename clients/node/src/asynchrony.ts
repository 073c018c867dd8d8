/** What waiting needs beside promises: a signal, a lock, a limit in time; knows nothing of what is waited for. */

import { setTimeout as wait } from "node:timers/promises";

import { TimeoutError } from "./errors.js";

/** The longest time of a timer, milliseconds: one that is set to more fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** Makes a promise that is settled from outside. A rejection that nobody waits for any more is no fault. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((resolved, rejected) => {
    resolve = resolved;
    reject = rejected;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Wakes those who wait for a change: each looks for itself what has changed. */
export class Change {
  #next = deferred<void>();

  /** Wakes all who wait. */
  notify(): void {
    const now = this.#next;
    this.#next = deferred<void>();
    now.resolve();
  }

  /** Waits until something is so; it is looked at again after each change. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      await this.#next.promise;
    }
  }
}

/** Lets one at a time do its work, in the order in which they came. */
export class Lock {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = new AbortController();

  /** Does some work once all that came before is done, and returns its result. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const { signal } = this.#waiting;
    const result = this.#last.then(() => {
      signal.throwIfAborted();
      return work();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Ends with an error those who wait for their turn now. Whoever has it goes on. */
  end(reason: Error): void {
    this.#waiting.abort(reason);
    this.#waiting = new AbortController();
  }
}

/**
 * Returns what a promise gives, if it does so in time. What it does goes on all the same.
 *
 * @param seconds How long it may take; Infinity is no limit, nor is more than 24 days.
 * @param what Named in the error.
 * @param promise The promise.
 * @throws TimeoutError It did not.
 */
export async function within<T>(seconds: number, what: string, promise: Promise<T>): Promise<T> {
  if (seconds * 1000 > MAX_TIMER_MS) {
    return promise;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TimeoutError(`${what} did not come within ${seconds} s`));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Returns what a promise gives, unless the signal comes first. What it does goes on all the same.
 *
 * @throws Error The reason of the signal.
 */
export async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  const ended = deferred<never>();
  const end = () => ended.reject(signal.reason as Error);
  signal.addEventListener("abort", end);
  if (signal.aborted) {
    end();
  }
  try {
    const result = await Promise.race([ended.promise, promise]);
    signal.throwIfAborted(); // it came between the result and whoever waits for it
    return result;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Returns some time as a timer takes it: milliseconds, 24 days at most. */
export function timerMs(seconds: number): number {
  return Math.min(seconds * 1000, MAX_TIMER_MS);
}

/**
 * Waits for some time, 24 days at most.
 *
 * @throws AbortError The signal came first.
 */
export async function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  await wait(timerMs(seconds), undefined, signal === undefined ? {} : { signal });
}
