/** The commands of a person's device, on either messenger; knows no process and no story. */

import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { create } from "@bufbuild/protobuf";

import type { InteropClient } from "../client.js";
import { TimeoutError } from "../errors.js";
import { CiphertextType, MessageSchema, MessageType, StanzaSchema } from "../gen/interop_api/v1/stanza_pb.js";
import { MediaTampered } from "../media/crypto.js";
import type { Progress } from "../media/upload.js";
import type { Event, EventKind, EventOf, MediaReceived, TextReceived } from "../messaging/events.js";
import type { SentMessage } from "../messaging/outgoing.js";
import type { ClientOptions } from "../options.js";
import type { ServerAddress } from "../protocol/endpoint.js";
import { ClientState, StateFile } from "../state.js";
import type { Fields, Json } from "./fields.js";
import { searchFor } from "./search.js";

/** Longest wait for an event that must come. */
const WAIT_SECONDS = 20;
const PREKEYS = 50;
const GARBAGE_BYTES = 64;
/**
 * Only the story publishes prekeys, so that it can compare what the server stores before and after a step.
 */
export const OPTIONS: ClientOptions = { refillCount: 0 };

/** The device cannot carry out a command, or an expected event did not come in time. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
}

/** Does a command, and returns what it says. */
export type Command = (fields: Fields) => Promise<Json>;

/** The surroundings of a device. */
export interface DevicePlace {
  /** The folder of this device alone. */
  readonly folder: string;
  /** Called with the progress of uploads. */
  readonly progress: Progress;
  /** The beginning of its message ids; empty for a random one. */
  readonly idPrefix: string;
}

/** A person's device: its state in a file, its downloads in a folder. */
export abstract class Device<Client extends InteropClient> {
  protected readonly file: StateFile;
  #client: Client | undefined;
  #backup: Uint8Array = new Uint8Array();
  readonly #media = new Map<string, MediaReceived>();
  readonly #read = new Map<string, TextReceived>();

  constructor(protected readonly place: DevicePlace) {
    this.file = new StateFile(join(place.folder, "state"));
  }

  /** Makes the client for a new connection. */
  protected abstract makeClient(server: ServerAddress): Promise<Client>;

  /** The commands, by name. */
  commands(): Readonly<Record<string, Command>> {
    return {
      connect: (fields) => this.#connect(fields),
      disconnect: () => this.disconnect(),
      publish_prekeys: () => this.#publishPrekeys(),
      resolve: async (fields) => ({
        jid: await this.client.resolve(fields.text("external_id"), fields.number("integrator")),
      }),
      take_bundle: async (fields) => {
        const bundle = await this.client.takePrekeyBundle(fields.text("jid"));
        return { has_one_time_prekey: bundle.oneTimePrekey !== undefined };
      },
      send_text: async (fields) => {
        const replyTo = this.#read.get(fields.text("reply_to", ""));
        return factsOf(await this.client.sendText(fields.text("to"), fields.text("text"), replyTo));
      },
      send_garbage: (fields) => this.#sendGarbage(fields.text("to")),
      offer_call: (fields) => this.#offerCall(fields.text("to")),
      wait_for_text: async () => {
        const text = await this.waitFor("TextReceived", "a message");
        this.#read.set(text.id, text);
        return told(text);
      },
      wait_for_receipts: (fields) => this.#waitForReceipts(fields.texts("ids"), fields.flag("is_read")),
      mark_read: async (fields) => {
        await this.client.markRead(known(this.#read, fields.text("message_id")));
        return {};
      },
      wait_for_media: async () => {
        const received = await this.waitFor("MediaReceived", "a file");
        this.#media.set(received.id, received);
        return { sender: received.sender, id: received.id, path: received.media.directPath };
      },
      download: (fields) => this.#download(fields.text("message_id"), fields.text("http", "")),
      take_backlog: () => this.#takeBacklog(),
      take_texts: async () => {
        await this.client.ping();
        return { texts: await this.#textsThatAreHere() };
      },
      block: async (fields) => {
        await this.client.block(fields.text("jid"));
        return { blocked: await this.client.getBlocklist() };
      },
      back_up: async () => {
        this.#backup = this.client.state.toBytes();
        return {};
      },
      restore_backup: (fields) => this.#restoreBackup(fields),
      report: async (fields) => {
        const message = known(this.#read, fields.text("message_id"));
        return { report_id: await this.client.report(fields.text("jid"), [message], true) };
      },
      wait_for_loss: async () => ({ reason: (await this.waitFor("ConnectionLost", "the end")).reason }),
      find_own_keys: (fields) => this.#findOwnKeys(fields.texts("folders")),
    };
  }

  /**
   * The connected client.
   *
   * @throws CommandFailed The device is not connected.
   */
  protected get client(): Client {
    if (this.#client === undefined) {
      throw new CommandFailed("not connected");
    }
    return this.#client;
  }

  /** Ends the connection. Idempotent. */
  async disconnect(): Promise<Json> {
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
    return {};
  }

  /** Returns the state that the device saved before it was switched off, or a new one. */
  protected async loadState(): Promise<ClientState> {
    const state = (await this.file.load()) ?? ClientState.generate();
    state.idPrefix = this.place.idPrefix || state.idPrefix;
    return state;
  }

  /** Waits for an event that must come. */
  protected async waitFor<K extends EventKind>(kind: K, what: string): Promise<EventOf<K>> {
    return (await this.#wait((event) => event.kind === kind, what)) as EventOf<K>;
  }

  async #wait(isWanted: (event: Event) => boolean, what: string): Promise<Event> {
    try {
      return await this.client.waitFor(isWanted, WAIT_SECONDS);
    } catch (error) {
      throw error instanceof TimeoutError ? new CommandFailed(`${what} did not come within ${WAIT_SECONDS} s`) : error;
    }
  }

  async #connect(fields: Fields): Promise<Json> {
    await this.disconnect();
    const client = await this.makeClient(addressOf(fields));
    this.#client = client;
    await client.connect();
    return { jid: client.jid };
  }

  /** Publishes prekeys and compares them with those that the server holds. */
  async #publishPrekeys(): Promise<Json> {
    await this.client.publishPrekeys(PREKEYS);
    return { count: await this.client.countPrekeys(), intact: await this.client.hasIntactPrekeys() };
  }

  /** Sends a message stanza with random bytes, for addresses without a session. */
  async #sendGarbage(toJid: string): Promise<Json> {
    const enc = [{ type: CiphertextType.DOUBLE_RATCHET, ciphertext: new Uint8Array(randomBytes(GARBAGE_BYTES)) }];
    const id = this.client.state.takeMessageId();
    return factsOf(await this.client.sendEncrypted(create(MessageSchema, { id, toJid, type: MessageType.TEXT, enc })));
  }

  /** Offers a call, and returns why the server refuses it. */
  async #offerCall(toJid: string): Promise<Json> {
    const id = this.client.state.takeMessageId();
    await this.client.transport.send(create(StanzaSchema, { kind: { case: "callOffer", value: { id, toJid } } }));
    const isAnswer = (event: Event) => event.kind === "StanzaRefused" && event.id === id;
    const refused = (await this.#wait(isAnswer, "an answer to the call")) as EventOf<"StanzaRefused">;
    return { reason: refused.reason, advice: refused.advice, request_id: refused.requestId };
  }

  /** Waits until a receipt has come for each of these messages. */
  async #waitForReceipts(ids: readonly string[], isRead: boolean): Promise<Json> {
    const missing = new Set(ids);
    const isOne = (event: Event) => event.kind === "ReceiptReceived" && event.isRead === isRead;
    while (missing.size > 0) {
      const what = `a ${isRead ? "read" : "delivered"} receipt`;
      for (const id of ((await this.#wait(isOne, what)) as EventOf<"ReceiptReceived">).messageIds) {
        missing.delete(id);
      }
    }
    return {};
  }

  async #download(messageId: string, http: string): Promise<Json> {
    const target = join(this.place.folder, `received-${messageId}`);
    const { media } = known(this.#media, messageId);
    try {
      await this.client.download(media, target, http);
    } catch (error) {
      throw error instanceof MediaTampered ? new CommandFailed(`the file is not as described: ${error.check}`) : error;
    }
    return { file: target, mimetype: media.mimetype, name: media.name };
  }

  /** Takes all texts that waited on the server, and those that came right after them. */
  async #takeBacklog(): Promise<Json> {
    const { messages } = await this.waitFor("OfflinePreview", "the preview of what waited");
    await this.waitFor("OfflineEnd", "the end of what waited");
    await this.client.ping(); // then all that the server sent after the backlog has come, too
    return { announced: messages, texts: await this.#textsThatAreHere() };
  }

  /**
   * Goes back to the copy of `back_up` and connects: the device loses everything since then, keys included.
   *
   * Only the message ids go on: the server would take a message with a used id for a repetition.
   */
  async #restoreBackup(fields: Fields): Promise<Json> {
    const { nextNumber } = this.client.state;
    await this.disconnect();
    const restored = ClientState.fromBytes(this.#backup);
    restored.nextNumber = nextNumber;
    await this.file.save(restored.toBytes());
    return this.#connect(fields);
  }

  /** Searches folders for this device's private identity key: in this process, so that the key never leaves it. */
  async #findOwnKeys(folders: readonly string[]): Promise<Json> {
    const { privateKey } = (await this.loadState()).signal.identity;
    const { files, hits } = await searchFor(privateKey, folders);
    const own = await searchFor(privateKey, [this.file.path]);
    return { files, hits, found_at_home: own.hits.length > 0 };
  }

  async #textsThatAreHere(): Promise<Json[]> {
    const texts: Json[] = [];
    try {
      while (true) {
        texts.push(told(await this.client.waitFor("TextReceived", 0)));
      }
    } catch (error) {
      if (error instanceof TimeoutError) {
        return texts;
      }
      throw error;
    }
  }
}

/** Returns the addresses of a simulator from its ready line. */
export function addressOf(fields: Fields): ServerAddress {
  const simulator = fields.object("simulator");
  return {
    grpc: simulator.text("grpc"),
    rootPublicKey: new Uint8Array(Buffer.from(simulator.text("root_public_key"), "hex")),
    http: simulator.text("http"),
    ca: "",
  };
}

function known<V>(values: ReadonlyMap<string, V>, id: string): V {
  const value = values.get(id);
  if (value === undefined) {
    throw new CommandFailed(`nothing came as ${id}`);
  }
  return value;
}

/** Returns the facts of a sent message that the story needs, without its content. */
function factsOf(sent: SentMessage): Json {
  return { id: sent.id, timestamp_ms: sent.timestampMs };
}

/** Returns the facts of a text that the story needs, without the secret that proves who wrote it. */
function told(event: TextReceived): Json {
  const { sender, id, text, replyTo, offline, requestState } = event;
  return { sender, id, text, reply_to: replyTo ?? null, offline, request_state: requestState };
}
