/**
 * One open chat channel of a client: delivers in order and passes answers to their senders; knows no account API.
 *
 * Two loops: one reads and never waits for the application, so that answers always come through; one opens deliveries
 * in order, and waits while the application has not taken earlier events. The server bounds the deliveries between the
 * two: it sends no more than it may without acks.
 *
 * Source: MSG-04, MSG-08, MSG-09.
 */

import { AsyncLocalStorage } from "node:async_hooks";

import { create } from "@bufbuild/protobuf";

import { Change, type Deferred, deferred, within } from "../asynchrony.js";
import type { Transport } from "../connection/transport.js";
import { ConnectionEnded, refusalFromProto, sentenceOf } from "../errors.js";
import { Capability } from "../gen/interop_api/v1/chat_pb.js";
import {
  type LoginSuccess,
  type Message as MessageStanza,
  type SendAck,
  type Stanza,
  StanzaSchema,
  type Typing as TypingStanza,
  TypingState,
} from "../gen/interop_api/v1/stanza_pb.js";
import { log } from "../log.js";
import { RemoteProtocolError } from "../protocol/noise.js";
import { MAX_OFFLINE_BATCH } from "../protocol/sizes.js";
import type { DurableState } from "../state.js";
import { Answers } from "./answers.js";
import type { EventQueue } from "./eventQueue.js";
import type { Event, EventKind, Typing } from "./events.js";
import type { Inbox } from "./inbox.js";

/** Longest wait for the answer to a stanza. */
export const ANSWER_SECONDS = 30;
/** Deliveries in flight to one client, for a server that names no limit. */
export const DEFAULT_MAX_UNACKED = 4_096;

/** Deliveries opened between two saves: more need fewer saves, fewer keep the event loop more responsive. */
const DELIVERIES_AT_ONCE = 64;
/** Room for stanzas that come in order with the deliveries but need no ack. */
const NOT_ACKED_KINDS = 64;

const TYPING_STATES: Readonly<Partial<Record<TypingState, Typing["state"]>>> = {
  [TypingState.COMPOSING]: "COMPOSING",
  [TypingState.RECORDING]: "RECORDING",
  [TypingState.PAUSED]: "PAUSED",
};

/** The connection whose application code runs, so that it may close the connection without waiting for itself. */
const calling = new AsyncLocalStorage<Connection | undefined>();

/** The client's own work after an event; the signal comes when the connection ends, with that as its reason. */
export type Upkeep = (signal: AbortSignal) => Promise<void>;

/** The parts that a connection uses. */
export interface ConnectionParts {
  readonly transport: Transport;
  readonly inbox: Inbox;
  readonly durable: DurableState;
  readonly events: EventQueue;
  /** Awaited for each event before the client saves the state and acks the delivery. */
  readonly onEvent: ((event: Event) => Promise<void>) | undefined;
  /** The client's own work after an event of each kind, beside the deliveries; one at a time for each kind. */
  readonly upkeep: ReadonlyMap<EventKind, Upkeep>;
  readonly sendsDeliveredReceipts: boolean;
}

/**
 * A connection from login to its end. `close` ends it, if the server has not.
 *
 * A delivery is finished when the application's code for it is, and only then saved and acked. So this one opens none
 * before that code has ended on all earlier connections; it ends, too, when that code fails.
 */
export class Connection {
  readonly #maxArrived: number;
  readonly #maxOfflineBatch: number;
  readonly #serverKnowsTyping: boolean;
  readonly #sends = new Map<string, Deferred<SendAck>>();
  readonly #pings = new Map<bigint, Deferred<void>>();
  readonly #arrivalOrEnd = new Change();
  /** The client's own work that goes on, and what has happened once more since it began. */
  readonly #upkeep = new Map<EventKind, { readonly done: Promise<void>; isWantedAgain: boolean }>();
  readonly #upkeepEnd = new AbortController();
  readonly #delivering: Promise<void>;
  readonly #done: Promise<void>;
  #earlier: readonly Connection[];
  #arrived: Stanza[] = [];
  /** How many deliveries of the backlog the client has asked for and not received. */
  #outstanding = 0;
  #hasBacklog = false;
  #lastPingId = 0n;
  #end: ConnectionEnded | undefined;
  #isClosing = false;
  #hasLetGo = false;
  #isDelivered = false;
  #isDone = false;
  #isFaulty = false;

  /**
   * Begins one.
   *
   * @param parts The parts that it uses.
   * @param login The server's answer to the login.
   * @param earlier Those closed by the application's code that they wait for: it may still be at work, or have failed.
   */
  static begin(parts: ConnectionParts, login: LoginSuccess, earlier: readonly Connection[]): Connection {
    // Outside: all that is made there would keep the connection in whose application code it is made.
    return calling.run(undefined, () => new Connection(parts, login, earlier));
  }

  private constructor(
    private readonly parts: ConnectionParts,
    login: LoginSuccess,
    earlier: readonly Connection[],
  ) {
    this.#maxArrived = (login.limits?.maxUnackedDeliveries || DEFAULT_MAX_UNACKED) + NOT_ACKED_KINDS;
    this.#maxOfflineBatch = login.limits?.maxOfflineBatch || MAX_OFFLINE_BATCH;
    this.#serverKnowsTyping = login.capabilities.includes(Capability.TYPING);
    this.#earlier = [...earlier];
    this.#delivering = this.#deliver();
    this.#done = this.#run();
    for (const connection of this.#earlier) {
      connection.#delivering.then(() => this.#arrivalOrEnd.notify());
    }
  }

  /**
   * Whether the client failed to open or save a delivery, so that its memory is ahead of its store: on this connection,
   * or on an earlier one that was still at work on it.
   */
  get isFaulty(): boolean {
    return this.#isFaulty || this.#earlier.some((connection) => connection.isFaulty);
  }

  /** Whether the connection has ended and nothing of it is at work any more. */
  get isOver(): boolean {
    return this.#isDone;
  }

  /**
   * Sends stanzas that have no answer.
   *
   * @throws ConnectionEnded The connection has ended.
   */
  async send(...stanzas: readonly Stanza[]): Promise<void> {
    if (this.#end !== undefined) {
      throw this.#end;
    }
    if (this.#hasLetGo) {
      throw new ConnectionEnded("CLOSED"); // the transport may be another connection's by now
    }
    await this.parts.transport.send(...stanzas);
  }

  /**
   * Sends an indicator, such as typing, if the server has the capability for it.
   *
   * @throws ConnectionEnded The connection is over.
   */
  async show(stanza: Stanza): Promise<void> {
    if (this.#serverKnowsTyping) {
      await this.send(stanza);
    }
  }

  /**
   * Sends a message and waits for the server's answer.
   *
   * @throws ConnectionEnded The connection ended first: the server may or may not have accepted the message.
   * @throws TimeoutError No answer came in time.
   */
  sendMessage(message: MessageStanza): Promise<SendAck> {
    const stanza = create(StanzaSchema, { kind: { case: "message", value: message } });
    return this.#answered(this.#sends, message.id, stanza);
  }

  /**
   * Sends a ping and waits for the pong.
   *
   * @throws ConnectionEnded The connection ended first.
   * @throws TimeoutError No pong came in time.
   */
  ping(): Promise<void> {
    this.#lastPingId += 1n;
    const id = this.#lastPingId;
    return this.#answered(this.#pings, id, create(StanzaSchema, { kind: { case: "ping", value: { id } } }));
  }

  /**
   * Sends waiting stanzas and ends the connection. Deliveries not opened yet come again in the next one.
   *
   * Called by the application's own code that this connection waits for, such as `onEvent`, it does not wait for that
   * code: its delivery is finished, and known when it comes again, once the code returns.
   */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#arrivalOrEnd.notify();
    this.parts.events.liftBound();
    this.#upkeepEnd.abort(new ConnectionEnded("CLOSED")); // before the end of the session, which it needs
    if (!this.#hasLetGo) {
      await this.parts.transport.close(); // else the transport may be another connection's by now
      this.#hasLetGo = true;
    }
    if (calling.getStore() !== this) {
      await this.#done;
    }
  }

  /** Opens deliveries that were held, before those that came later. */
  openAgain(stanzas: readonly Stanza[]): void {
    this.#arrived = [...stanzas, ...this.#arrived];
    this.#arrivalOrEnd.notify();
  }

  async #answered<K, A>(waiting: Map<K, Deferred<A>>, key: K, stanza: Stanza): Promise<A> {
    const answer = deferred<A>();
    waiting.set(key, answer);
    try {
      await this.send(stanza);
      return await within(ANSWER_SECONDS, "the server's answer", answer.promise);
    } finally {
      if (waiting.get(key) === answer) {
        waiting.delete(key); // otherwise the caller has sent the same message again meanwhile
      }
    }
  }

  async #run(): Promise<void> {
    let end = await this.#receive();
    this.#end = end;
    for (const answer of [...this.#sends.values(), ...this.#pings.values()]) {
      answer.reject(end);
    }
    this.#arrivalOrEnd.notify();
    await this.#delivering;
    this.#upkeepEnd.abort(new ConnectionEnded("CLOSED"));
    if (this.isFaulty) {
      end = new ConnectionEnded("CLIENT_FAULT", "Read this client's log; go on from the saved state.");
    }
    if (this.isFaulty || !this.#isClosing) {
      const { reason, advice, recovery } = end;
      this.parts.events.put({ kind: "ConnectionLost", reason, advice, recovery });
    }
    // Told before: a call that is under way cannot be taken back, and its answer may be long in coming.
    await Promise.all([...this.#upkeep.values()].map(({ done }) => done));
    this.#isDone = true;
  }

  async #receive(): Promise<ConnectionEnded> {
    try {
      for await (const stanzas of this.parts.transport.receive()) {
        this.#sort(stanzas);
        if (this.#arrived.length > this.#maxArrived) {
          throw new ConnectionEnded("TOO_MANY_DELIVERIES", "The server does not wait for acks.");
        }
      }
    } catch (error) {
      if (error instanceof ConnectionEnded) {
        return error;
      }
      return new ConnectionEnded(error instanceof RemoteProtocolError ? error.reason : "BROKEN", sentenceOf(error));
    }
    return new ConnectionEnded("CLOSED");
  }

  #sort(stanzas: readonly Stanza[]): void {
    for (const stanza of stanzas) {
      const { kind } = stanza;
      switch (kind.case) {
        case "message":
        case "receipt":
        case "retryReceipt":
        case "notification":
        case "offlinePreview":
        case "offlineEnd":
          this.#arrived.push(stanza);
          break;
        case undefined:
          if (stanza.deliveryId !== 0n) {
            this.#arrived.push(stanza);
          }
          break;
        case "sendAcks":
          for (const ack of kind.value.acks) {
            this.#sends.get(ack.id)?.resolve(ack);
          }
          break;
        case "pong":
          this.#pings.get(kind.value.id)?.resolve();
          break;
        case "typing":
          this.#showTyping(kind.value);
          break;
        case "stanzaRefused": {
          const { reason, advice, requestId, recovery } = refusalFromProto(kind.value.error);
          const { id, kind: refused } = kind.value;
          // Not a delivery, which the server bounds: it could refuse without end what nobody has sent.
          this.parts.events.offer({ kind: "StanzaRefused", id, stanza: refused, reason, advice, requestId, recovery });
          break;
        }
        default: // what a server does not send, or what concerns the channel alone
      }
    }
    if (this.#arrived.length > 0) {
      this.#arrivalOrEnd.notify();
    }
  }

  #showTyping({ fromJid: sender, state, expiresAfterSeconds }: TypingStanza): void {
    const known = TYPING_STATES[state];
    if (known !== undefined) {
      this.parts.events.offer({ kind: "Typing", sender, state: known, expiresAfterSeconds });
    } // one that is newer than this client says nothing
  }

  async #deliver(): Promise<void> {
    try {
      await this.#letEarlierFinish();
      while (!this.#isOver) {
        await this.#arrivalOrEnd.until(() => this.#isOver || this.#arrived.length > 0);
        if (!this.#isOver) {
          await this.#deliverSome();
        }
      }
    } catch (error) {
      if (error instanceof ConnectionEnded) {
        return; // the acks were not sent: the deliveries come again, and the client will know them
      }
      // The application's code or its disk failed: ack nothing more.
      log.error("a delivery could not be opened or saved: the connection ends", error);
      this.#isFaulty = true;
      if (!this.#hasLetGo) {
        await this.parts.transport.close();
      }
    } finally {
      this.#isDelivered = true;
    }
  }

  /**
   * Waits until no delivery of an earlier connection is under way: it comes again in this one, perhaps already.
   *
   * @throws Error The application failed to finish it.
   */
  async #letEarlierFinish(): Promise<void> {
    await this.#arrivalOrEnd.until(() => this.#isOver || this.#earlier.every((connection) => connection.#isDelivered));
    if (this.#isOver) {
      return;
    }
    if (this.isFaulty) {
      throw new Error("a delivery of an earlier connection could not be finished");
    }
    this.#earlier = []; // nor all those before them
  }

  async #deliverSome(): Promise<void> {
    const answers = new Answers();
    for (let count = 0; count < DELIVERIES_AT_ONCE; count += 1) {
      await this.parts.events.room();
      const stanza = this.#isOver ? undefined : this.#arrived.shift();
      if (stanza === undefined) {
        break;
      }
      const opened = this.parts.inbox.open(stanza, answers);
      this.#noteBacklog(stanza);
      for (const event of opened.events) {
        await this.#tell(event);
      }
      this.parts.inbox.finish(opened);
      if (opened.again?.length) {
        this.openAgain(opened.again);
      }
    }
    if (!this.parts.sendsDeliveredReceipts) {
      answers.delivered.clear();
    }
    await this.parts.durable.commit().catch((error: unknown) => {
      throw error instanceof ConnectionEnded ? letOut("store", error) : error;
    });
    await this.send(...answers.stanzas());
    if (this.#hasBacklog && this.#outstanding <= 0) {
      this.#outstanding += this.#maxOfflineBatch;
      const value = { count: this.#maxOfflineBatch };
      await this.send(create(StanzaSchema, { kind: { case: "offlineBatch", value } }));
    }
  }

  async #tell(event: Event): Promise<void> {
    const { onEvent } = this.parts;
    if (onEvent !== undefined) {
      try {
        await calling.run(this, () => onEvent(event));
      } catch (error) {
        throw error instanceof ConnectionEnded && !(await this.#hasEnded()) ? letOut("code", error) : error;
      }
    }
    this.parts.events.put(event);
    const work = this.parts.upkeep.get(event.kind);
    const underWay = this.#upkeep.get(event.kind);
    if (underWay !== undefined) {
      underWay.isWantedAgain = true;
    } else if (work !== undefined && !this.#isOver) {
      // What it finds contents with to send again is the application's code, too.
      this.#upkeep.set(event.kind, {
        done: calling.run(this, () => this.#keepUp(event.kind, work)),
        isWantedAgain: false,
      });
    }
  }

  /** Says whether this connection has ended, also when its reader is yet to hear of it. */
  async #hasEnded(): Promise<boolean> {
    try {
      await this.send();
      return this.#isOver;
    } catch {
      return true;
    }
  }

  async #keepUp(kind: EventKind, work: Upkeep): Promise<void> {
    try {
      await work(this.#upkeepEnd.signal);
    } catch (error) {
      if (!this.#isOver) {
        log.warn(`what ${kind} asks for could not be done: ${sentenceOf(error)}`);
      } // a closed client does no upkeep; the server tells the next connection again
    }
    const isWantedAgain = this.#upkeep.get(kind)?.isWantedAgain ?? false;
    this.#upkeep.delete(kind);
    if (isWantedAgain && !this.#isOver) {
      const done = this.#keepUp(kind, work);
      this.#upkeep.set(kind, { done, isWantedAgain: false });
      await done;
    }
  }

  #noteBacklog({ kind, offline }: Stanza): void {
    if (kind.case === "offlinePreview") {
      const { messages, receipts, notifications, retryReceipts } = kind.value;
      this.#hasBacklog = messages + receipts + notifications + retryReceipts > 0;
    } else if (kind.case === "offlineEnd") {
      this.#hasBacklog = false;
    } else if (offline) {
      this.#outstanding -= 1;
    }
  }

  get #isOver(): boolean {
    return this.#isClosing || this.#end !== undefined;
  }
}

/** Makes the end of another connection, which the application let out, a fault like others: it would pass for ours. */
function letOut(what: string, error: ConnectionEnded): Error {
  return new Error(`the application's ${what} let out the end of another connection`, { cause: error });
}
