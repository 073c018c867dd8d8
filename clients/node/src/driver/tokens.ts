/** Tokens for logins, which the kit supplies; knows no token's content. */

import { Change, within } from "../asynchrony.js";

/** Longest wait for a token that the kit was asked for. */
export const TOKEN_SECONDS = 30;

/** The tokens of one device: each is used once. */
export class Tokens {
  readonly #came = new Change();
  #given = "";

  /** @param ask Asks the kit for one. */
  constructor(private readonly ask: () => Promise<void>) {}

  /** Takes a token for the next login; an empty one is none. */
  give(token: string): void {
    this.#given = token;
    this.#came.notify();
  }

  /**
   * Returns the token for a login, after asking for it if there is none.
   *
   * @throws TimeoutError None came.
   */
  async take(): Promise<string> {
    if (!this.#given) {
      await this.ask();
      await within(
        TOKEN_SECONDS,
        "a token",
        this.#came.until(() => this.#given !== ""),
      );
    }
    const token = this.#given;
    this.#given = "";
    return token;
  }
}
