/** Reads what a client has saved as JSON, and makes sure that each value is of its kind; knows no state. */

import { InvalidSnapshot } from "./errors.js";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Returns what saved bytes say.
 *
 * @throws InvalidSnapshot They are no JSON in UTF-8.
 */
export function readSaved(saved: Uint8Array): unknown {
  try {
    return JSON.parse(utf8.decode(saved));
  } catch {
    throw new InvalidSnapshot("the saved state is no JSON");
  }
}

/** The members of a saved object, each checked for its type as it is read. */
export class Fields {
  readonly #members: ReadonlyMap<string, unknown>;

  /** @throws InvalidSnapshot It is no object. */
  constructor(saved: unknown) {
    if (typeof saved !== "object" || saved === null || Array.isArray(saved)) {
      throw damaged("an object");
    }
    this.#members = new Map(Object.entries(saved));
  }

  /** Returns a member as it is; undefined when there is none. */
  get(name: string): unknown {
    return this.#members.get(name);
  }

  /** Returns a member that is a whole number. */
  number(name: string): number {
    return asNumber(this.get(name));
  }

  /** Returns a member that is a text. */
  text(name: string): string {
    return asText(this.get(name));
  }

  /** Returns a member that is a list. */
  list(name: string): readonly unknown[] {
    return asList(this.get(name));
  }

  /** Returns the members of a member that is an object. */
  entries(name: string): readonly (readonly [string, unknown])[] {
    return [...new Fields(this.get(name)).#members];
  }

  /** Reads a member; undefined when it is null. */
  nullable<Value>(name: string, read: (saved: unknown) => Value): Value | undefined {
    const saved = this.get(name);
    return saved === null ? undefined : read(saved);
  }
}

/** Returns bytes as they are saved. */
export function text(value: Uint8Array): string {
  return Buffer.from(value).toString("base64");
}

/** @throws InvalidSnapshot It is no text. */
export function asText(saved: unknown): string {
  if (typeof saved !== "string") {
    throw damaged("a text");
  }
  return saved;
}

/**
 * @param length How many they must be; any number when undefined.
 * @throws InvalidSnapshot These are no bytes, or too many or few.
 */
export function asBytes(saved: unknown, length?: number): Uint8Array {
  const value = Buffer.from(asText(saved), "base64");
  if (value.toString("base64") !== saved || (length !== undefined && value.length !== length)) {
    throw damaged(length === undefined ? "base64" : `base64 of ${length} bytes`);
  }
  return new Uint8Array(value);
}

/** @throws InvalidSnapshot It is no whole number, or is negative: nothing that is counted is. */
export function asNumber(saved: unknown): number {
  if (typeof saved !== "number" || !Number.isSafeInteger(saved) || saved < 0) {
    throw damaged("a number");
  }
  return saved;
}

/** @throws InvalidSnapshot It is no list. */
export function asList(saved: unknown): readonly unknown[] {
  if (!Array.isArray(saved)) {
    throw damaged("a list");
  }
  return saved;
}

/** Returns the error of a state in which something is not what it must be. */
export function damaged(expected: string): InvalidSnapshot {
  return new InvalidSnapshot(`the saved state is damaged: ${expected} is missing`);
}
