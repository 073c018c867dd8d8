/** A real simulator in a child process, and people of both sides in it. */

import { execFile } from "node:child_process";
import { randomInt, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { Child, interopsim, Messenger, whatsAppUser } from "../../samples/stage.js";
import type { ClientOptions, InteropClient, ThirdPartyClient, WhatsAppClient } from "../../src/index.js";
import { type Endpoint, endpointFromReadyLine } from "../../src/index.js";

/**
 * Starts a simulator on free ports, which no command finds by itself.
 *
 * @param folder For its files.
 * @param options Of `interopsim up`.
 */
export function startSimulator(folder: string, ...options: readonly string[]): Promise<Child> {
  const surfaces = ["--grpc", "--admin", "--http"].flatMap((surface) => [surface, "127.0.0.1:0"]);
  return Child.start(interopsim(), ["up", "--until-stdin-ends", "--log-level", "warning", ...surfaces, ...options], {
    INTEROPSIM_STATE: join(folder, "simulators"),
    TMPDIR: folder,
  });
}

/** How a third-party user connects. */
export const WAYS = ["direct", "by proxy"] as const;
export type Way = (typeof WAYS)[number];

/** Where what simulators saw of this client is kept; absent when nobody asks for it. */
const SEEN = process.env["INTEROPSIM_SEEN"];
const MAX_SEEN_BYTES = 256 * 1024 * 1024;

/** A simulator with one messenger; ends all that was begun in it. */
export class World implements AsyncDisposable {
  readonly #clients: InteropClient[] = [];
  #users = 0;

  private constructor(
    readonly endpoint: Endpoint,
    readonly messenger: Messenger,
    /** For files of the test. */
    readonly folder: string,
    private readonly simulator: Child,
  ) {}

  /**
   * Starts a simulator.
   *
   * @param options Of `interopsim up`.
   */
  static async open(...options: readonly string[]): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), "interop-test-"));
    const simulator = await startSimulator(folder, ...options, ...(SEEN ? ["--trace"] : []));
    const endpoint = endpointFromReadyLine(JSON.stringify(simulator.ready));
    const messenger = await Messenger.open(randomInt(200, 999), endpoint);
    return new World(endpoint, messenger, folder, simulator);
  }

  /** Closes a client at the end. */
  closeLater<C extends InteropClient>(client: C): C {
    this.#clients.push(client);
    return client;
  }

  /** Returns the name of a user whom nobody else has. */
  newName(): string {
    this.#users += 1;
    return `user${this.#users}`;
  }

  /** Returns a third-party user, enlisted and connected, with published prekeys. */
  async thirdParty(way: Way = "direct", options: ClientOptions = {}, name = this.newName()): Promise<ThirdPartyClient> {
    const client = way === "direct" ? this.messenger.user(name, options) : await this.messenger.proxied(name, options);
    this.closeLater(client);
    if (way === "direct") {
      await client.enlist(await this.messenger.token(name));
    }
    await client.connect();
    await client.publishPrekeys(20);
    return client;
  }

  /** Returns a connected WhatsApp user with published prekeys, by default opted in. */
  async whatsApp(isOptedIn = true, options: ClientOptions = {}): Promise<WhatsAppClient> {
    const chosen = isOptedIn ? [this.messenger.integrator] : [];
    return this.closeLater(await whatsAppUser(chosen, this.endpoint, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.messenger[Symbol.asyncDispose]();
    if (SEEN) {
      await this.#keepSeen(SEEN);
    }
    await this.simulator[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Keeps the simulator's journal and trace: everybody in them is a client in TypeScript. */
  async #keepSeen(folder: string): Promise<void> {
    const name = randomUUID();
    const env = { ...process.env, INTEROPSIM: JSON.stringify(this.simulator.ready) };
    for (const kind of ["journal", "trace"]) {
      const options = { env, maxBuffer: MAX_SEEN_BYTES };
      const { stdout } = await promisify(execFile)(interopsim(), [kind, "--json"], options);
      await writeFile(join(folder, `${name}.${kind}`), stdout);
    }
  }
}
