/**
 * The state that a client must not lose, and where it is saved; knows no network.
 *
 * A client must not lose its state: a message key used before a crash and again after it breaks the encryption, and an
 * acked message whose keys were not saved is lost. So the rule is: save first, then send.
 *
 * Source: Signal, "The Double Ratchet Algorithm", section 2; MSG-09.
 */

import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, open, readdir, readFile, readlink, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { Lock } from "./asynchrony.js";
import { DeliveryMemory, type SavedMemory } from "./memory.js";
import { hide } from "./protocol/hidden.js";
import { PRIVATE_KEY_BYTES } from "./protocol/sizes.js";
import { InvalidSnapshot, KeyPair, SignalState } from "./signal/index.js";
import { damaged, Fields, readSaved } from "./signal/saved.js";

const FORMAT = 1;
const ID_PREFIX_BYTES = 6;
const HEADER_END = 0x0a;
/** Length of the random part in the name of an unfinished file. */
const UNFINISHED_BYTES = 4;
/** How old an unfinished file must be to be one that a killed writer has left: no save takes as long. */
const LEFTOVER_MS = 3_600_000;

interface Header {
  readonly format: number;
  readonly jid: string;
  readonly auth_private_key: string;
  readonly next_number: number;
  readonly deliveries: SavedMemory;
}

/** One account on one device. Changes in memory only; `DurableState` saves it. */
export class ClientState {
  static {
    hide(ClientState.prototype, "authPrivateKey", "signal");
  }

  /** The beginning of every message id. Not saved, so that a state restored from an old backup repeats no id. */
  idPrefix = randomBytes(ID_PREFIX_BYTES).toString("hex");

  /**
   * @param jid The account's JID; empty until it is enlisted.
   * @param authPrivateKey The key that every Noise handshake proves, 32 bytes (CHN-07).
   * @param signal Keys and sessions for message encryption.
   * @param deliveries The client's memory of deliveries.
   * @param nextNumber The number at the end of the next message id.
   */
  constructor(
    public jid: string,
    readonly authPrivateKey: Uint8Array,
    readonly signal: SignalState,
    readonly deliveries: DeliveryMemory = new DeliveryMemory(),
    public nextNumber = 1,
  ) {}

  /** Makes the state of a new device. */
  static generate(jid = ""): ClientState {
    return new ClientState(jid, new Uint8Array(randomBytes(PRIVATE_KEY_BYTES)), SignalState.generate());
  }

  /** The public auth key, 32 bytes, as enlisted. */
  get authPublicKey(): Uint8Array {
    return KeyPair.fromPrivate(this.authPrivateKey).publicKey;
  }

  /** Returns an id that no message of this account has had. */
  takeMessageId(): string {
    const number = this.nextNumber;
    this.nextNumber += 1;
    return `${this.idPrefix}-${number}`;
  }

  /** Returns the whole state, private keys included: a line of JSON, then the encoded `SignalState`. */
  toBytes(): Uint8Array {
    const header: Header = {
      format: FORMAT,
      jid: this.jid,
      auth_private_key: Buffer.from(this.authPrivateKey).toString("hex"),
      next_number: this.nextNumber,
      deliveries: this.deliveries.toJson(),
    };
    return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), this.signal.toBytes()]);
  }

  /**
   * Restores a state from the bytes of `toBytes`.
   *
   * @throws InvalidSnapshot The bytes are not a saved state that this release can read.
   */
  static fromBytes(saved: Uint8Array): ClientState {
    const end = saved.indexOf(HEADER_END);
    const header = new Fields(readSaved(saved.subarray(0, Math.max(0, end))));
    if (header.get("format") !== FORMAT) {
      throw new InvalidSnapshot("another release saved this state");
    }
    const authPrivateKey = new Uint8Array(Buffer.from(header.text("auth_private_key"), "hex"));
    if (authPrivateKey.length !== PRIVATE_KEY_BYTES) {
      throw damaged("the auth key");
    }
    return new ClientState(
      header.text("jid"),
      authPrivateKey,
      SignalState.fromBytes(saved.subarray(end + 1)),
      DeliveryMemory.fromJson(header.get("deliveries")),
      header.number("next_number"), // without one, all messages would have the same id
    );
  }
}

/** Keeps a saved state. */
export interface StateStore {
  /**
   * Replaces the saved state. The new one is durable when the promise is fulfilled; after a failure, the old one is
   * still there. Never called twice at the same time.
   */
  save(snapshot: Uint8Array): Promise<void>;
}

/** Keeps the last snapshot in memory: for tests that stop a client and go on from what it saved. */
export class MemoryStore implements StateStore {
  static {
    hide(MemoryStore.prototype, "snapshot");
  }

  /** The snapshot saved last; empty before the first. */
  snapshot: Uint8Array = new Uint8Array();

  /** Replaces the saved state. See StateStore. */
  save(snapshot: Uint8Array): Promise<void> {
    this.snapshot = snapshot;
    return Promise.resolve();
  }
}

/**
 * Keeps a state in a file that only its owner can read.
 *
 * When several save it at once, each first writes a file of its own: the last one counts, and none is seen in part.
 */
export class StateFile implements StateStore {
  #hasTidied = false;

  /** @param path The file. Its folder must exist and allow new files. */
  constructor(readonly path: string) {}

  /**
   * Returns the saved state; undefined when the file does not exist.
   *
   * @throws InvalidSnapshot The file does not hold a state that this release can read.
   */
  async load(): Promise<ClientState | undefined> {
    try {
      return ClientState.fromBytes(await readFile(this.path));
    } catch (error) {
      if (codeOf(error) === "ENOENT") {
        return undefined;
      }
      throw error;
    }
  }

  /** Replaces the file as a whole: a crash leaves the old one or the new one. See StateStore. */
  async save(snapshot: Uint8Array): Promise<void> {
    const path = await whereItLeads(this.path); // of a link, the file that it leads to is replaced
    const folder = dirname(path);
    if (!this.#hasTidied) {
      await removeLeftovers(path);
      this.#hasTidied = true;
    }
    const fresh = join(folder, `.${basename(path)}.${randomBytes(UNFINISHED_BYTES).toString("hex")}.new`);
    try {
      await using(await open(fresh, "wx", 0o600), async (file) => {
        await file.writeFile(snapshot);
        await file.sync();
      });
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true }).catch(() => undefined);
      throw error;
    }
    await syncFolder(folder); // without it, the new name may be lost
  }
}

/** A state and its store. Callers that commit at the same time share one save. */
export class DurableState {
  readonly #lock = new Lock();
  #asked = 0;
  #saved = 0;

  /**
   * @param state The state; its owner changes it in memory between two commits.
   * @param store Keeps the state; undefined saves nothing, for an account that does not outlive its process.
   */
  constructor(
    readonly state: ClientState,
    private readonly store: StateStore | undefined,
  ) {}

  /**
   * Returns when the state as it is now is durable. When it fails, the caller must not send what depends on it.
   */
  async commit(): Promise<void> {
    const { store } = this;
    if (store === undefined) {
      return;
    }
    this.#asked += 1;
    const ownTurn = this.#asked;
    await this.#lock.run(async () => {
      if (this.#saved >= ownTurn) {
        return;
      }
      const covered = this.#asked;
      await store.save(this.state.toBytes());
      this.#saved = covered;
    });
  }
}

/** Returns where the links of a path lead, also when nothing is there yet. */
async function whereItLeads(path: string): Promise<string> {
  let at = path;
  while (true) {
    try {
      return await realpath(at);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") {
        throw error; // links in a circle, too
      }
    }
    const folder = await realpath(dirname(at));
    const own = join(folder, basename(at));
    const next = await readlink(own).catch(() => undefined);
    if (next === undefined) {
      return own;
    }
    at = resolve(folder, next);
  }
}

async function syncFolder(folder: string): Promise<void> {
  let opened: FileHandle;
  try {
    opened = await open(folder, "r");
  } catch (error) {
    if (codeOf(error) === "EACCES") {
      return; // it may be written and not read, and so not be synced: the new state is there all the same
    }
    throw error;
  }
  await using(opened, (file) => file.sync());
}

/** Removes what killed writers have left beside a path; a folder that may be written and not read keeps it. */
async function removeLeftovers(path: string): Promise<void> {
  const beginning = `.${basename(path)}.`;
  const rest = new RegExp(`^([0-9a-f]{${2 * UNFINISHED_BYTES}}\\.)?new$`, "u");
  for (const name of await readdir(dirname(path)).catch(() => [])) {
    if (name.startsWith(beginning) && rest.test(name.slice(beginning.length))) {
      const left = join(dirname(path), name);
      const since = await lstat(left).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      ); // another removed it
      if (since > LEFTOVER_MS) {
        await rm(left, { force: true }).catch(() => undefined);
      }
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

async function using(file: FileHandle, work: (file: FileHandle) => Promise<void>): Promise<void> {
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
