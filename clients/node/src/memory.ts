/**
 * A client's memory of deliveries, besides keys and sessions; knows no key and no wire.
 *
 * All of it is bounded and saved with the state: without it, a client would show a message twice, ask for one for ever,
 * or accept an edit of an old text.
 */

import { hide } from "./protocol/hidden.js";
import { asBytes, asList, asNumber, asText, damaged, Fields, text } from "./signal/saved.js";

/** How many messages that this client asked for again it remembers; it forgets the oldest. */
export const MAX_ASKED = 1_000;
/** How long after a text its sender may edit it: twenty minutes, by the server's time; observed. */
export const EDIT_WINDOW_MS = 1_200_000;
/** How many texts that senders may still edit the client remembers; it forgets the oldest. */
export const MAX_TEXTS = 256;
/** How many finished deliveries the client remembers at most; it needs as many as the server may have in flight. */
export const MAX_FINISHED = 10_000;
/** How many opened deliveries the client keeps until they are finished: one at a time, and some that never come. */
export const MAX_OPENED = 64;
/** How many messages that have not come a change can wait for; one more is refused. */
export const MAX_WAITING_CHANGES = 64;
/** How long all waiting changes may be together: bytes. */
export const MAX_WAITING_BYTES = 256 * 1024;
/** How long a change waits: no message waits longer on the server. */
export const MAX_WAIT_MS = 30 * 24 * 3_600_000;
/** Length of a delivery's key: hexadecimal digits. */
export const KEY_DIGITS = 16;

const KEYS = new RegExp(`^([0-9a-f]{${KEY_DIGITS}})*$`, "u");

/** A message by the JID of its sender and its id, as one text that a map can have as key. */
export type MessageName = string;

/** Returns the name of a message. */
export function messageName(sender: string, messageId: string): MessageName {
  return JSON.stringify([sender, messageId]);
}

/** An edit or a deletion of a message that has not come yet. */
export interface WaitingChange {
  /** Id of the change itself. */
  readonly messageId: string;
  /** When the server accepted it. */
  readonly timestampMs: number;
  /** The decrypted change, without padding. */
  readonly plaintext: Uint8Array;
  /** Whether its reporting token was right. */
  readonly isProved: boolean;
}

/** This client's requests to send a message again. */
export interface Asked {
  /** How often it asked. */
  count: number;
  /** One-time prekeys that it gave to the sender alone, and never published. */
  readonly prekeyIds: number[];
}

/** When a text came, and how new its last edit is. */
export interface TextTimes {
  /** When the server accepted the text. */
  readonly cameMs: number;
  /** When its sender made the newest edit that came, on their clock; 0 before the first. */
  editedMs: number;
}

/** The memory as JSON holds it. */
export interface SavedMemory {
  readonly finished: string;
  readonly opened: [key: string, plaintext: string][];
  readonly asked: [name: MessageName, count: number, prekeyIds: number[]][];
  readonly texts: [name: MessageName, cameMs: number, editedMs: number][];
  readonly changes: [name: MessageName, messageId: string, timestampMs: number, plaintext: string, isProved: boolean][];
}

/** A client's memory of deliveries. */
export class DeliveryMemory {
  static {
    hide(DeliveryMemory.prototype, "opened", "changes");
  }

  /** Keys of the deliveries that the application has finished, oldest first: what comes again is acked, not shown. */
  readonly finished = new Set<string>();
  /**
   * Plaintexts of the messages that the application is at work on, by their deliveries' keys: their message keys are
   * used up, so a delivery that comes again after a crash can be opened only with this.
   */
  readonly opened = new Map<string, Uint8Array>();
  /** Messages that this client asked for again, oldest first. */
  readonly asked = new Map<MessageName, Asked>();
  /** Texts that senders may still edit, oldest first. */
  readonly texts = new Map<MessageName, TextTimes>();
  /** The newest change of each message that has not come yet, oldest first. */
  readonly changes = new Map<MessageName, WaitingChange>();

  /** Remembers that the application has finished a delivery, and forgets the oldest beyond the bound. */
  finish(key: string, bound = MAX_FINISHED): void {
    this.opened.delete(key);
    this.finished.delete(key);
    this.finished.add(key);
    forgetOldest(this.finished, Math.min(bound, MAX_FINISHED));
  }

  /** Keeps the plaintext of a message until the application has finished its delivery. */
  keepOpened(key: string, plaintext: Uint8Array): void {
    this.opened.set(key, plaintext);
    forgetOldest(this.opened, MAX_OPENED);
  }

  /** Keeps a change until its message comes, instead of an earlier one; says whether there was room. */
  wait(target: MessageName, change: WaitingChange): boolean {
    const kept = [...this.changes].filter(
      ([name, other]) => name !== target && change.timestampMs - other.timestampMs <= MAX_WAIT_MS,
    );
    const length = kept.reduce((sum, [, other]) => sum + other.plaintext.length, change.plaintext.length);
    if (kept.length >= MAX_WAITING_CHANGES || length > MAX_WAITING_BYTES) {
      return false;
    }
    this.changes.clear();
    for (const [name, other] of [...kept, [target, change] as const]) {
      this.changes.set(name, other);
    }
    return true;
  }

  /** Remembers a text, and forgets those that their senders may no longer edit. */
  textCame(name: MessageName, timestampMs: number): void {
    if (!this.texts.has(name)) {
      this.texts.set(name, { cameMs: timestampMs, editedMs: 0 });
    }
    for (const [other, times] of this.texts) {
      if (timestampMs - times.cameMs > EDIT_WINDOW_MS) {
        this.texts.delete(other);
      }
    }
    forgetOldest(this.texts, MAX_TEXTS);
  }

  /**
   * Returns the times of a text that an edit may change, which the server accepted at that time; undefined otherwise.
   */
  editable(name: MessageName, timestampMs: number): TextTimes | undefined {
    const times = this.texts.get(name);
    return times !== undefined && timestampMs - times.cameMs <= EDIT_WINDOW_MS ? times : undefined;
  }

  /**
   * Counts another request for a message, and returns the requests for it.
   *
   * @param name The message.
   * @param cameWith `retry_count` of the copy that came: a client that has forgotten its requests counts on from it.
   */
  askAgain(name: MessageName, cameWith: number): Asked {
    const asked = this.asked.get(name) ?? { count: 0, prekeyIds: [] };
    this.asked.delete(name);
    this.asked.set(name, asked); // the newest
    asked.count = Math.max(asked.count, cameWith) + 1;
    return asked;
  }

  /** Forgets the requests for a message, and returns the ids of the prekeys given to its sender. */
  forgetAsked(name: MessageName): readonly number[] {
    const asked = this.asked.get(name);
    this.asked.delete(name);
    return asked?.prekeyIds ?? [];
  }

  /** Returns the ids of the prekeys that were given to single senders, and that none of them has used. */
  privatePrekeys(): number[] {
    return [...this.asked.values()].flatMap((asked) => asked.prekeyIds);
  }

  /** Forgets the oldest requests beyond the bound, and returns the ids of the prekeys given to the senders. */
  forgetOldestAsked(): number[] {
    const beyond = [...this.asked.keys()].slice(0, Math.max(0, this.asked.size - MAX_ASKED));
    return beyond.flatMap((name) => this.forgetAsked(name));
  }

  /** Returns the memory as a value that JSON can hold. */
  toJson(): SavedMemory {
    return {
      finished: [...this.finished].join(""),
      opened: [...this.opened].map(([key, plaintext]) => [key, text(plaintext)]),
      asked: [...this.asked].map(([name, asked]) => [name, asked.count, asked.prekeyIds]),
      texts: [...this.texts].map(([name, times]) => [name, times.cameMs, times.editedMs]),
      changes: [...this.changes].map(([name, change]) => [
        name,
        change.messageId,
        change.timestampMs,
        text(change.plaintext),
        change.isProved,
      ]),
    };
  }

  /**
   * Restores the memory from a value of `toJson`.
   *
   * @throws InvalidSnapshot The value is not one.
   */
  static fromJson(saved: unknown): DeliveryMemory {
    const memory = new DeliveryMemory();
    const fields = new Fields(saved);
    const finished = fields.text("finished");
    if (!KEYS.test(finished)) {
      throw damaged("the key of a delivery");
    }
    for (let at = 0; at < finished.length; at += KEY_DIGITS) {
      memory.finished.add(finished.slice(at, at + KEY_DIGITS));
    }
    for (const [key, plaintext] of fields.list("opened").map(asList)) {
      memory.opened.set(asText(key), asBytes(plaintext));
    }
    for (const [name, count, prekeyIds] of fields.list("asked").map(asList)) {
      memory.asked.set(asText(name), { count: asNumber(count), prekeyIds: asList(prekeyIds).map(asNumber) });
    }
    for (const [name, cameMs, editedMs] of fields.list("texts").map(asList)) {
      memory.texts.set(asText(name), { cameMs: asNumber(cameMs), editedMs: asNumber(editedMs) });
    }
    for (const [name, messageId, timestampMs, plaintext, isProved] of fields.list("changes").map(asList)) {
      memory.changes.set(asText(name), {
        messageId: asText(messageId),
        timestampMs: asNumber(timestampMs),
        plaintext: asBytes(plaintext),
        isProved: isProved === true,
      });
    }
    return memory;
  }
}

/** Forgets the oldest entries of a set or map beyond a bound. */
export function forgetOldest<K>(
  memory: { size: number; keys(): Iterable<K>; delete(key: K): boolean },
  bound: number,
): void {
  for (const oldest of memory.keys()) {
    if (memory.size <= bound) {
      return;
    }
    memory.delete(oldest);
  }
}
