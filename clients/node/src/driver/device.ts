/** One device of a run: its client, what the client has saved, and what its user was shown; knows no command. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";

import { Lock } from "../asynchrony.js";
import { ProxyTransport } from "../connection/proxyTransport.js";
import { ConnectionEnded, ServerRefusal } from "../errors.js";
import type { SendMediaCommand, StartDeviceCommand } from "../gen/interop_api/conformance/v1/driver_pb.js";
import { log } from "../log.js";
import { type MediaHost, mediaHost } from "../media/upload.js";
import { forgetOldest, messageName } from "../memory.js";
import type { Event, MediaReceived, MediaRetryRequested, Message } from "../messaging/events.js";
import type { SentMessage } from "../messaging/outgoing.js";
import { ClientState, StateFile, type StateStore } from "../state.js";
import { ThirdPartyClient } from "../thirdParty.js";
import { detailOf, WrongCommand } from "./outcomes.js";
import { type Emit, Screen, shownOf } from "./screen.js";
import { Tokens } from "./tokens.js";

const ROOT_KEY_BYTES = 32;
/** How many received messages can still be answered, read and reported. */
const KEPT_MESSAGES = 1_000;
/** How many sent files can still be sent again. */
const KEPT_FILES = 16;
const MAX_CONTENT_BYTES = 1 << 20;
const MAX_COPIES = 128;
const GONE = ["BLOB_NOT_FOUND", "BLOB_EXPIRED"];

/** The client between two crashes. What of it goes on after the end does nothing more. */
class Life implements StateStore {
  isOver = false;

  constructor(private readonly file: StateFile) {}

  /** Replaces the saved state, unless the client has ended: another one goes on from what was saved before. */
  async save(snapshot: Uint8Array): Promise<void> {
    if (this.isOver) {
      throw new ConnectionEnded("CLOSED", "Another command has ended the client meanwhile.");
    }
    await this.file.save(snapshot);
  }
}

/** A third-party user's device. */
export class Device {
  readonly screen: Screen;
  readonly tokens: Tokens;
  readonly #file: StateFile;
  readonly #received = new Map<string, Message>();
  readonly #sentFiles = new Map<string, string>();
  readonly #turn = new Lock();
  #client: ThirdPartyClient;
  #life: Life;
  #files = 0;
  #isConnected = false;

  private constructor(
    name: string,
    private readonly start: StartDeviceCommand,
    private readonly folder: string,
    emit: Emit,
  ) {
    this.screen = new Screen(name, emit);
    this.tokens = new Tokens(() => this.screen.show({ case: "tokenWanted", value: {} }));
    this.#file = new StateFile(join(folder, "state"));
    this.#life = new Life(this.#file);
    this.#client = this.#clientOf(ClientState.generate());
  }

  /**
   * Makes a device.
   *
   * @param name Its name.
   * @param start What the kit has said of it.
   * @param folder For what it saves; made here.
   * @param emit Tells the kit.
   * @throws WrongCommand What the kit has said is not right.
   */
  static async make(name: string, start: StartDeviceCommand, folder: string, emit: Emit): Promise<Device> {
    if (start.rootPublicKey.length !== ROOT_KEY_BYTES) {
      throw new WrongCommand(`\`root_public_key\` has ${ROOT_KEY_BYTES} bytes.`);
    }
    const device = new Device(name, start, folder, emit);
    await mkdir(folder);
    return device;
  }

  /** The client, whether or not it is connected. */
  get client(): ThirdPartyClient {
    return this.#client;
  }

  /** Enlists the user with the documented form, with the proxy's auth key where there is one; returns the JID. */
  enlist(token: string): Promise<string> {
    return this.#turn.run(async () => {
      const { http, proxy } = this.start;
      const jid = await this.#client.enlistOverHttp(http, token, proxy?.authPublicKey);
      if (proxy !== undefined && !this.#isConnected) {
        this.#client = this.#clientOf(this.#client.state); // the proxy is told the JID
      }
      return jid;
    });
  }

  /** Connects, after ending any connection, with a token or with one that the kit is asked for. */
  async connect(token: string): Promise<void> {
    if (!this.#client.jid) {
      throw new WrongCommand("Enlist first.");
    }
    await this.#turn.run(async () => {
      const client = this.#client;
      await this.#noteConnection(false, "CLOSED");
      this.tokens.give(token);
      await client.close();
      await client.connect();
      this.#listen(client).catch((error) => log.error("a device's events could not be shown", error));
      await this.#noteConnection(true);
    });
  }

  /** Ends the connection. */
  disconnect(isAbrupt: boolean): Promise<void> {
    return this.#turn.run(async () => {
      await (isAbrupt ? this.#client.abort() : this.#client.close());
      await this.#noteConnection(false, "CLOSED");
    });
  }

  /** Ends the client as a crash would, and makes it anew from what it has saved. */
  restart(): Promise<void> {
    return this.#turn.run(async () => {
      await this.#crash();
      this.#client = this.#clientOf((await this.#file.load()) ?? ClientState.generate());
    });
  }

  /** Makes the client anew, with nothing of what was saved. */
  wipe(): Promise<void> {
    return this.#turn.run(async () => {
      await this.#crash();
      await this.#deleteAll();
      await mkdir(this.folder);
      this.#client = this.#clientOf(ClientState.generate());
    });
  }

  /** Ends the client. Nothing of it goes on, or is left. */
  stop(): Promise<void> {
    this.#life.isOver = true;
    return this.#turn.run(async () => {
      this.#life.isOver = true;
      await this.#client.abort();
      await this.#deleteAll();
    });
  }

  /**
   * Returns a message that has come.
   *
   * @throws WrongCommand None has.
   */
  message(sender: string, messageId: string): Message {
    const message = this.#received.get(messageName(sender, messageId));
    if (message === undefined) {
      throw new WrongCommand(`No message ${messageId} of ${sender} has come.`);
    }
    return message;
  }

  /** Makes a file and sends it. */
  async sendMedia({ toJid, content, copies, mimetype, caption }: SendMediaCommand): Promise<SentMessage> {
    if (content.length > MAX_CONTENT_BYTES || copies > MAX_COPIES) {
      throw new WrongCommand(`A file is at most ${MAX_CONTENT_BYTES} bytes, ${MAX_COPIES} times.`);
    }
    const host = this.#host;
    const path = this.#newPath();
    const file = await open(path, "w");
    try {
      for (let copy = 0; copy < Math.max(1, copies); copy += 1) {
        await file.writeFile(content);
      }
    } finally {
      await file.close();
    }
    const sent = await this.#client.sendImage(toJid, path, host, { mimetype: mimetype || "image/png", caption });
    this.#sentFiles.set(sent.id, path);
    for (const [oldest, kept] of [...this.#sentFiles].slice(0, -KEPT_FILES)) {
      this.#sentFiles.delete(oldest);
      await rm(kept, { force: true });
    }
    return sent;
  }

  #clientOf(state: ClientState): ThirdPartyClient {
    const { grpc, http, rootPublicKey, user, proxy, readReceipts = true } = this.start;
    this.#life = new Life(this.#file);
    const life = this.#life;
    const options = { onEvent: (event: Event) => this.#deliver(event, life) };
    const getToken = () => this.tokens.take();
    if (proxy === undefined) {
      const server = { grpc, http, rootPublicKey, ca: "" };
      return ThirdPartyClient.direct(server, state, getToken, life, options, { readReceipts });
    }
    try {
      const login = { user, jid: state.jid, getToken, readReceipts };
      return new ThirdPartyClient(new ProxyTransport(proxy.url, login, proxy.clientIp), state, life, options);
    } catch (error) {
      throw new WrongCommand(`\`client_ip\` is no address: ${detailOf(error)}.`);
    }
  }

  /** Shows what a delivery says, before the client acks it: what was acked does not come again. */
  async #deliver(event: Event, life: Life): Promise<void> {
    if ("evidence" in event) {
      this.#received.set(messageName(event.sender, event.id), event);
      forgetOldest(this.#received, KEPT_MESSAGES);
    }
    if (event.kind === "MediaReceived") {
      this.#attempt(life, event.id, () => this.#download(event, life));
    } else if (event.kind === "MediaRetryRequested") {
      this.#attempt(life, event.messageId, () => this.#sendAgain(event));
    } else {
      const shown = shownOf(event);
      if (shown !== undefined) {
        await this.screen.show(shown);
      }
    }
  }

  /** Shows what does not come as a delivery. */
  async #listen(client: ThirdPartyClient): Promise<void> {
    for await (const event of client.events()) {
      if (event.kind === "ConnectionLost") {
        await this.#noteConnection(false, event.reason);
      } else if (event.kind === "RetryUnanswered" || event.kind === "StanzaRefused" || event.kind === "Typing") {
        const shown = shownOf(event);
        if (shown !== undefined) {
          await this.screen.show(shown);
        }
      }
    }
  }

  async #download(message: MediaReceived, life: Life): Promise<void> {
    const { sender: senderJid, id: messageId, media } = message;
    const path = this.#newPath();
    try {
      await this.#client.download(media, path, this.start.http);
      const sha256 = await sha256Of(path);
      const { size } = await stat(path);
      if (!life.isOver) {
        const { name, mimetype } = media;
        const value = { senderJid, messageId, sha256, sizeBytes: BigInt(size), name, mimetype };
        await this.screen.show({ case: "mediaShown", value });
      }
    } catch (error) {
      const isGone = error instanceof ServerRefusal && GONE.includes(error.reason);
      if (!isGone || life.isOver || !(await this.#client.requestMediaAgain(message, error))) {
        throw error;
      }
    } finally {
      await rm(path, { force: true });
    }
  }

  async #sendAgain(request: MediaRetryRequested): Promise<void> {
    const path = this.#sentFiles.get(request.messageId);
    if (path === undefined) {
      throw new RangeError(`The file of ${request.messageId} is not kept any more.`);
    }
    await this.#client.resendMedia(request, path, this.#host);
  }

  get #host(): MediaHost {
    if (!this.start.mediaUrl) {
      throw new WrongCommand("The device has no `media_url`: it cannot send files.");
    }
    return mediaHost(this.start.mediaUrl);
  }

  /** Does what a message needs, beside the deliveries; the user is told when it fails. */
  #attempt(life: Life, messageId: string, work: () => Promise<void>): void {
    work().catch(async (error: unknown) => {
      if (!life.isOver) {
        const name = error instanceof Error ? error.name : "Error";
        const reason = error instanceof ServerRefusal ? error.reason : name;
        await this.screen.show({ case: "errorShown", value: { messageId, reason, detail: detailOf(error) } });
      }
    });
  }

  async #noteConnection(isConnected: boolean, reason = ""): Promise<void> {
    if (isConnected !== this.#isConnected) {
      this.#isConnected = isConnected;
      await this.screen.show({ case: "connectionChanged", value: { isConnected, reason } });
    }
  }

  async #crash(): Promise<void> {
    this.#life.isOver = true;
    await this.#client.abort();
    await this.#noteConnection(false, "CLOSED");
  }

  async #deleteAll(): Promise<void> {
    this.#received.clear();
    this.#sentFiles.clear();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #newPath(): string {
    this.#files += 1;
    return join(this.folder, `file-${this.#files}`);
  }
}

async function sha256Of(path: string): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Buffer);
  }
  return new Uint8Array(hash.digest());
}
