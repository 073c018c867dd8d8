/** The queue in which events wait until the application takes them; knows no particular event. */

import { Change, type Deferred, deferred, within } from "../asynchrony.js";
import { ConnectionEnded } from "../errors.js";
import { log } from "../log.js";
import type { Event } from "./events.js";

/** Says whether an event is the wanted one. */
export type Predicate = (event: Event) => boolean;

interface Waiter {
  readonly isWanted: Predicate;
  readonly given: Deferred<Event>;
}

/** Events that the application has not taken yet. The first matching `take` gets an event, in order of arrival. */
export class EventQueue {
  readonly #events: Event[] = [];
  readonly #waiters = new Set<Waiter>();
  readonly #changed = new Change();
  #isClosed = false;
  #isBounded = true;
  #hasTold = false;

  /** @param capacity How many events may wait before `room` waits. */
  constructor(private readonly capacity: number) {}

  /** Waits for room. There is always room while a `take` waits: the next event may be the wanted one. */
  async room(): Promise<void> {
    const hasRoom = () => !this.#isBounded || this.#events.length < this.capacity || this.#waiters.size > 0;
    if (!hasRoom() && !this.#hasTold) {
      this.#hasTold = true; // an application that has only `onEvent` would not know why nothing comes any more
      log.warn(`no more is delivered until the application takes one of ${this.#events.length} events`);
    }
    await this.#changed.until(hasRoom);
  }

  /** Gives an event to the `take` that waits for it, or keeps it. Never refuses an event: `room` is the bound. */
  put(event: Event): void {
    if (!this.#give(event)) {
      this.#events.push(event);
    }
  }

  /** Puts an event that no delivery brought, unless the queue is full and no `take` waits for it. */
  offer(event: Event): void {
    if (!this.#give(event) && this.#events.length < this.capacity) {
      this.#events.push(event);
    }
  }

  /**
   * Takes the first wanted event, which may have come already; other events stay.
   *
   * @param isWanted Says which event.
   * @param timeoutSeconds How long to wait; Infinity waits for ever.
   * @throws TimeoutError The event did not come in time.
   * @throws ConnectionEnded The queue is closed and does not hold the event.
   * @throws Error What the predicate throws.
   */
  async take(isWanted: Predicate, timeoutSeconds: number): Promise<Event> {
    const at = this.#events.findIndex(isWanted);
    if (at >= 0) {
      this.#changed.notify();
      return this.#events.splice(at, 1)[0] as Event;
    }
    if (this.#isClosed) {
      throw new ConnectionEnded("CLOSED");
    }
    const waiter = { isWanted, given: deferred<Event>() };
    this.#waiters.add(waiter);
    this.#changed.notify();
    try {
      return await within(timeoutSeconds, "the event", waiter.given.promise);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  /** Yields events as they come, until the queue is closed and empty. */
  async *all(): AsyncGenerator<Event, void, undefined> {
    try {
      while (true) {
        yield await this.take(() => true, Number.POSITIVE_INFINITY);
      }
    } catch (error) {
      if (!(error instanceof ConnectionEnded)) {
        throw error;
      }
    }
  }

  /** Ends all waiting for room: the connection that fills the queue is about to stop. */
  liftBound(): void {
    this.#isBounded = false;
    this.#changed.notify();
  }

  /** Ends all waiting for events. The application can still take those in the queue. */
  close(): void {
    this.#isClosed = true;
    for (const waiter of this.#waiters) {
      waiter.given.reject(new ConnectionEnded("CLOSED"));
    }
    this.#waiters.clear();
  }

  /** Makes waiting possible again after `liftBound` and `close`. */
  open(): void {
    this.#isBounded = true;
    this.#isClosed = false;
  }

  /** Gives an event to the first who waits for it, if any; a predicate that throws ends its own `take`. */
  #give(event: Event): boolean {
    for (const waiter of this.#waiters) {
      try {
        if (waiter.isWanted(event)) {
          this.#waiters.delete(waiter);
          waiter.given.resolve(event);
          return true;
        }
      } catch (error) {
        this.#waiters.delete(waiter);
        waiter.given.reject(error as Error); // the application's: it is told, and nobody else
      }
    }
    return false;
  }
}
