/** The fields of a command to a person's device, as JSON has them; knows no command. */

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The command, or a field of it, is not as it must be. */
export class FieldWrong extends Error {
  override readonly name = "FieldWrong";
}

/** Reads the fields of a command. */
export class Fields {
  constructor(private readonly values: Json) {}

  /**
   * Returns a text.
   *
   * @param name The field.
   * @param absent What it is when it is not there; without it, it must be.
   */
  text(name: string, absent?: string): string {
    const value = this.values[name] ?? absent;
    if (typeof value !== "string") {
      throw new FieldWrong(`\`${name}\` must be a text`);
    }
    return value;
  }

  /** Returns a number; 0 when it is not there. */
  number(name: string): number {
    const value = this.values[name] ?? 0;
    if (typeof value !== "number") {
      throw new FieldWrong(`\`${name}\` must be a number`);
    }
    return value;
  }

  /** Says whether something is so; no when it is not there. */
  flag(name: string): boolean {
    return this.values[name] === true;
  }

  /** Returns the texts of a list. */
  texts(name: string): string[] {
    return this.#list(name).map(String);
  }

  /** Returns the numbers of a list. */
  numbers(name: string): number[] {
    return this.#list(name).map(Number);
  }

  /** Returns the fields of an object. */
  object(name: string): Fields {
    const value = this.values[name];
    if (typeof value !== "object" || value === null) {
      throw new FieldWrong(`\`${name}\` must be an object`);
    }
    return new Fields(value as Json);
  }

  #list(name: string): unknown[] {
    const value = this.values[name];
    if (!Array.isArray(value)) {
      throw new FieldWrong(`\`${name}\` must be a list`);
    }
    return value;
  }
}
