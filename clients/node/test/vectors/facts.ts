/** Reads protos/vectors: JSON of which every member is checked for its type as it is read. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../../../../protos/vectors", import.meta.url));
const SCHEMA = "schema.json";

/** Replays one vector, and throws when the client computes something else. */
export type Replay = (vector: Facts) => void | Promise<void>;

/** One file of vectors. */
export interface VectorFile {
  readonly name: string;
  readonly vectors: readonly Facts[];
}

/** Returns every file of vectors. */
export function vectorFiles(): VectorFile[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json") && name !== SCHEMA);
  return names.sort().map((name) => {
    const file = new Facts(JSON.parse(readFileSync(join(FOLDER, name), "utf8")));
    return { name: file.text("name"), vectors: file.list("vectors") };
  });
}

/** A JSON object. */
export class Facts {
  readonly #members: ReadonlyMap<string, unknown>;

  constructor(json: unknown) {
    if (typeof json !== "object" || json === null) {
      throw new TypeError(`${JSON.stringify(json)} is no object`);
    }
    this.#members = new Map(Object.entries(json));
  }

  /** All of it, as it stands in the file. */
  json(): unknown {
    return Object.fromEntries(this.#members);
  }

  /** Whether this member says something. */
  has(name: string): boolean {
    return this.#member(name) !== null;
  }

  text(name: string): string {
    return this.#typed(name, "string");
  }

  number(name: string): number {
    return this.#typed(name, "number");
  }

  flag(name: string): boolean {
    return this.#typed(name, "boolean");
  }

  bytes(name: string): Uint8Array {
    return new Uint8Array(Buffer.from(this.text(name), "hex"));
  }

  /** What `read` returns, or undefined for null. */
  optional<Value>(name: string, read: (facts: Facts, name: string) => Value): Value | undefined {
    return this.has(name) ? read(this, name) : undefined;
  }

  facts(name: string): Facts {
    return new Facts(this.#member(name));
  }

  texts(name: string): string[] {
    return this.#array(name).map(String);
  }

  list(name: string): Facts[] {
    return this.#array(name).map((json) => new Facts(json));
  }

  #array(name: string): readonly unknown[] {
    const member = this.#member(name);
    if (!Array.isArray(member)) {
      throw new TypeError(`${name} is no list`);
    }
    return member;
  }

  #member(name: string): unknown {
    const member = this.#members.get(name);
    if (member === undefined) {
      throw new TypeError(`${name} is missing`);
    }
    return member;
  }

  #typed(name: string, type: "string"): string;
  #typed(name: string, type: "number"): number;
  #typed(name: string, type: "boolean"): boolean;
  #typed(name: string, type: string): unknown {
    const member = this.#member(name);
    if (typeof member !== type) {
      throw new TypeError(`${name} is no ${type}`);
    }
    return member;
  }
}

/** Reads bytes; for `Facts.optional`. */
export function bytes(facts: Facts, name: string): Uint8Array {
  return facts.bytes(name);
}

/** Reads a number; for `Facts.optional`. */
export function number(facts: Facts, name: string): number {
  return facts.number(name);
}

/** Reads a text; for `Facts.optional`. */
export function text(facts: Facts, name: string): string {
  return facts.text(name);
}
