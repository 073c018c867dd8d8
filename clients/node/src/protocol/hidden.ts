/** Keeps secrets out of what `console.log`, a debugger's console and a trace show of an object; protects nothing else. */

import { type InspectOptions, inspect } from "node:util";

/**
 * Makes `util.inspect` leave out some fields of an object, or of all that have it as prototype. Returns the object.
 *
 * @param target An object, or the prototype of a class.
 * @param secrets The fields that hold a key, a plaintext or a token.
 */
export function hide<T extends object>(target: T, ...secrets: readonly (keyof T & string)[]): T {
  const hidden: readonly string[] = secrets;
  return Object.defineProperty(target, inspect.custom, {
    value(this: object, depth: number, options: InspectOptions): string {
      const name = this.constructor === Object ? "" : `${this.constructor.name} `;
      if (depth < 0) {
        return `[${name.trim() || "Object"}]`;
      }
      const shown = Object.entries(this).filter(([field]) => !hidden.includes(field));
      return name + inspect(Object.fromEntries(shown), { ...options, depth });
    },
  });
}
