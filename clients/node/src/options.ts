/** The application's choices for a client; knows nothing of the code that uses them. */

import type { Event } from "./messaging/events.js";
import type { FindSent } from "./messaging/outgoing.js";
import { MAX_KEM_PREKEYS, MAX_ONE_TIME_PREKEYS } from "./protocol/sizes.js";

/** The application's choices for a client. */
export interface ClientOptions {
  /**
   * How many one-time prekeys the client adds when the server has few left, 0 to 20,000; 0 adds none. The application
   * must publish the first ones. 100 by default.
   */
  readonly refillCount?: number;
  /**
   * How many one-time post-quantum prekeys the client publishes too, with a last-resort one, 0 to 5,000; 0, the
   * default, publishes none. The server must have them switched on (KEY-15).
   */
  readonly kemPrekeys?: number;
  /**
   * Whether the client begins no session with a bundle that lacks a KEM prekey although the peer is known to have
   * published some. It gives `PqDowngrade` in any case (KEY-16). No by default.
   */
  readonly refusesPqDowngrade?: boolean;
  /** Whether the client tells senders that their messages have arrived. Yes by default. */
  readonly sendsDeliveredReceipts?: boolean;
  /**
   * How many events may wait for the application before the client opens no further deliveries, at least 1. 10,000 by
   * default. The client logs a warning when it waits first.
   */
  readonly eventCapacity?: number;
  /**
   * Awaited for each event before the client acks its delivery. An application that must not lose a message stores it
   * here. It is awaited for one delivery at a time, also when it connects anew. A delivery that it has not finished
   * when it crashes comes again, so it should recognise messages by sender and id. Each event is among `events()`
   * afterwards, and has to be taken there, too.
   */
  readonly onEvent?: (event: Event) => Promise<void>;
  /**
   * Finds the content sent to a JID under an id, to send it again, when it is not among the last 512 of this process.
   * An application that keeps `SentMessage.content` can find it even after a restart. The client applies the edits and
   * deletions of this process; what changed before, the application returns as it is now.
   */
  readonly findSent?: FindSent;
}

/**
 * Refuses here what would fail later, in the client's own work.
 *
 * @throws RangeError A number is out of range.
 */
export function checkOptions({ refillCount = 0, kemPrekeys = 0, eventCapacity = 1 }: ClientOptions): void {
  check("refillCount", refillCount, 0, MAX_ONE_TIME_PREKEYS);
  check("kemPrekeys", kemPrekeys, 0, MAX_KEM_PREKEYS);
  check("eventCapacity", eventCapacity, 1, Number.MAX_SAFE_INTEGER);
}

function check(name: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new RangeError(`${name} is a whole number, ${least} to ${most}: it cannot be ${value}`);
  }
}
