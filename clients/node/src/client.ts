/**
 * The client of either side: keys, sessions, messages, receipts; knows no enlistment or opt-in.
 *
 * Source: KEY-01 to KEY-17, MSG-01 to MSG-14, RCP-01, ABU-01, OPT-08.
 */

import { create } from "@bufbuild/protobuf";

import { notWanted, type Transport } from "./connection/transport.js";
import { ConnectionEnded, refusalFromProto, ServerRefusal, sentenceOf } from "./errors.js";
import type { Message as Content } from "./gen/interop_api/e2ee/v1/content_pb.js";
import { BlockAction, IntegrityService, SpamFlow } from "./gen/interop_api/v1/integrity_pb.js";
import { InteropService } from "./gen/interop_api/v1/interop_pb.js";
import { PreKeyService } from "./gen/interop_api/v1/prekeys_pb.js";
import {
  type Message as MessageStanza,
  ReceiptType,
  type SendAck,
  StanzaSchema,
  TypingState,
} from "./gen/interop_api/v1/stanza_pb.js";
import { bundleFrom } from "./keys/bundles.js";
import { DEFAULT_PREKEYS, OwnPreKeys } from "./keys/prekeys.js";
import { log } from "./log.js";
import { downloadOverGrpc, downloadOverHttp } from "./media/download.js";
import type { MediaReference } from "./media/reference.js";
import { type Blob, withEncryptedBlob } from "./media/upload.js";
import { addTo, receipts } from "./messaging/answers.js";
import {
  deletionContent,
  editContent,
  mediaTypeOf,
  reactionContent,
  reportedMessage,
  textContent,
  withBlob,
} from "./messaging/contents.js";
import { EventQueue, type Predicate } from "./messaging/eventQueue.js";
import type {
  Event,
  EventKind,
  EventOf,
  Incoming,
  MediaReceived,
  MediaRetryRequested,
  Message,
} from "./messaging/events.js";
import { Inbox, refusals } from "./messaging/inbox.js";
import { Connection, DEFAULT_MAX_UNACKED, type Upkeep } from "./messaging/openConnection.js";
import { Outgoing, type SentMessage } from "./messaging/outgoing.js";
import { askAgain } from "./messaging/retries.js";
import { type ClientOptions, checkOptions } from "./options.js";
import { MissingKemPreKey, type PreKeyBundle, type SignalState } from "./signal/index.js";
import { type ClientState, DurableState, type StateStore } from "./state.js";

/** How long `waitFor` waits by default. */
export const WAIT_SECONDS = 10;

const EVENT_CAPACITY = 10_000;
const MEDIA_STATUSES: Readonly<Record<string, number>> = { BLOB_NOT_FOUND: 404, BLOB_EXPIRED: 410 };

/** One account on one device. */
export class InteropClient {
  protected readonly durable: DurableState;
  protected readonly outgoing: Outgoing;
  readonly #events: EventQueue;
  readonly #prekeys: OwnPreKeys;
  #inbox: Inbox;
  #connection: Connection | undefined;
  #ending: Connection[] = [];
  /** Calls of `connect` and `close`: the last one decides. */
  #turns = 0;

  /**
   * @param transport How to reach the server. It does not save the state before it sends: only for stanzas without a
   *   secret.
   * @param state Keys and sessions; changes while the client works. Belongs to one client at a time.
   * @param store Saves the state, always before the client sends what depends on it; undefined saves nothing.
   * @param options Choices of the application.
   * @throws RangeError One of them is out of range.
   */
  constructor(
    readonly transport: Transport,
    readonly state: ClientState,
    store?: StateStore,
    private readonly options: ClientOptions = {},
  ) {
    checkOptions(options);
    this.durable = new DurableState(state, store);
    this.#events = new EventQueue(options.eventCapacity ?? EVENT_CAPACITY);
    this.#prekeys = new OwnPreKeys(transport, state, this.durable, options.kemPrekeys);
    this.#inbox = new Inbox(state);
    this.outgoing = new Outgoing({
      state,
      durable: this.durable,
      takeBundle: (jid) => this.takePrekeyBundle(jid),
      checkBundle: (jid, bundle) => this.#checkDowngrade(jid, bundle),
      send: (message) => this.#sendStanza(message),
      findSent: options.findSent,
    });
  }

  /** The account's JID; empty until it is enlisted. */
  get jid(): string {
    return this.state.jid;
  }

  /**
   * Connects and logs in, after closing any open connection. The server then sends the backlog unasked.
   *
   * May be called anywhere, as `close`. Called by `onEvent`, it returns once logged in, and the new connection's
   * deliveries wait until `onEvent` has returned: what it is at work on is handed over once, and acked after that.
   *
   * @throws LoginRefused The server does not accept the login.
   * @throws ServerRefusal The server ended the handshake, or cannot be reached.
   * @throws CertificateError The root does not certify the server.
   * @throws ConnectionEnded CLIENT_FAULT: an earlier connection left this state ahead of the saved one; CLOSED: `close`,
   *   or another `connect`, was called meanwhile.
   */
  async connect(): Promise<void> {
    const turn = this.#nextTurn();
    const before = this.#connection;
    if (before !== undefined) {
      await before.close();
      if (before.isFaulty) {
        throw new ConnectionEnded("CLIENT_FAULT", "Make a new client from the saved state.");
      }
      // Still at work when this is called by the application's code that it waits for.
      this.#ending = [...this.#ending, before].filter((one) => !one.isOver);
      this.#checkTurn(turn);
    }
    const login = await this.transport.connect();
    this.#checkTurn(turn);
    this.#events.open();
    this.#inbox = new Inbox(this.state, login.limits?.maxUnackedDeliveries || DEFAULT_MAX_UNACKED);
    const parts = {
      transport: this.transport,
      inbox: this.#inbox,
      durable: this.durable,
      events: this.#events,
      onEvent: this.options.onEvent,
      upkeep: this.#upkeep(),
      sendsDeliveredReceipts: this.options.sendsDeliveredReceipts ?? true,
    };
    this.#connection = Connection.begin(parts, login, this.#ending);
  }

  /**
   * Ends the connection. The application can still take the remaining events. Idempotent.
   *
   * May be called anywhere: by `onEvent` too, which it then does not wait for.
   */
  async close(): Promise<void> {
    const turn = this.#nextTurn();
    await this.#connection?.close();
    await Promise.all(this.#ending.map((connection) => connection.close()));
    if (turn === this.#turns) {
      await this.transport.close(); // else whoever connects anew has it
      this.#events.close();
    }
  }

  /** Ends the connection as a crash or a lost network would: what waits is not sent, and nobody is told. */
  async abort(): Promise<void> {
    this.transport.abort();
    await this.close();
  }

  /** Yields events in order of arrival, each once; ends when the client is closed and all events are taken. */
  events(): AsyncIterable<Event> {
    return this.#events.all();
  }

  /**
   * Takes the first wanted event, which may have come already; other events stay.
   *
   * @param wanted Kind of the event, or a predicate.
   * @param timeoutSeconds How long to wait; Infinity waits for ever.
   * @throws TimeoutError The event did not come in time.
   * @throws ConnectionEnded The client is closed and the event has not come.
   * @throws Error What the predicate throws.
   */
  waitFor<K extends EventKind>(wanted: K, timeoutSeconds?: number): Promise<EventOf<K>>;
  waitFor(wanted: Predicate, timeoutSeconds?: number): Promise<Event>;
  waitFor(wanted: EventKind | Predicate, timeoutSeconds = WAIT_SECONDS): Promise<Event> {
    const isWanted = typeof wanted === "string" ? (event: Event) => event.kind === wanted : wanted;
    return this.#events.take(isWanted, timeoutSeconds);
  }

  /**
   * Sends a ping and waits for the answer.
   *
   * @throws ConnectionEnded The connection ended first.
   * @throws TimeoutError No answer came in time.
   */
  async ping(): Promise<void> {
    await this.#openConnection.ping();
  }

  /**
   * Publishes identity, signed prekey and new one-time prekeys, which replace all those published before.
   *
   * @param count One-time prekeys, 0 to 20,000.
   * @throws RangeError They are fewer or more.
   * @throws ServerRefusal The server refused them.
   */
  publishPrekeys(count = DEFAULT_PREKEYS): Promise<void> {
    return this.#prekeys.publish(count);
  }

  /**
   * Adds new one-time prekeys, 1 to 20,000, to those published.
   *
   * @throws RangeError They are fewer or more.
   * @throws ServerRefusal The server refused them.
   */
  addPrekeys(count = DEFAULT_PREKEYS): Promise<void> {
    return this.#prekeys.add(count);
  }

  /** Returns how many one-time prekeys of this account the server has left. */
  countPrekeys(): Promise<number> {
    return this.#prekeys.count();
  }

  /**
   * Replaces the signed prekey (KEY-11).
   *
   * @throws ServerRefusal The server refused it.
   */
  rotateSignedPrekey(): Promise<void> {
    return this.#prekeys.rotateSignedPrekey();
  }

  /**
   * Says whether the server holds the same keys as this client (KEY-10).
   *
   * @throws ServerRefusal PREKEYS_NOT_SET.
   */
  hasIntactPrekeys(): Promise<boolean> {
    return this.#prekeys.areIntact();
  }

  /**
   * Takes a prekey bundle of another user, which consumes one of their one-time prekeys.
   *
   * Sending does this by itself when there is no session.
   *
   * @throws ServerRefusal RECIPIENT_NOT_REACHABLE or another reason per user; or the call was refused, or its answer is
   *   malformed.
   */
  async takePrekeyBundle(jid: string): Promise<PreKeyBundle> {
    const { results } = await this.transport.call(PreKeyService.method.takePreKeyBundles, { jids: [jid] });
    return bundleFrom(results[0] ?? answerMalformed());
  }

  /** Sends a text, as an answer to a message or on its own. See `sendMessage`. */
  sendText(to: string, text: string, replyTo?: Message): Promise<SentMessage> {
    return this.sendMessage(to, textContent(text, replyTo));
  }

  /**
   * Reacts to a message; an empty emoji removes the reaction. See `sendMessage`.
   *
   * @param to JID of the other side of the chat.
   * @param messageId Id of the message.
   * @param emoji The reaction.
   * @param isOwnMessage Whether this client sent that message.
   */
  sendReaction(to: string, messageId: string, emoji: string, isOwnMessage = false): Promise<SentMessage> {
    return this.sendMessage(to, reactionContent(to, messageId, emoji, isOwnMessage));
  }

  /**
   * Edits a text that this user sent. The recipient's client ignores an edit after twenty minutes (MSG-12). See
   * `sendMessage`.
   */
  sendEdit(to: string, messageId: string, text: string): Promise<SentMessage> {
    return this.sendMessage(to, editContent(to, messageId, text, Date.now()));
  }

  /** Deletes a message that this user sent, for sender and recipient (MSG-12). See `sendMessage`. */
  sendDeletion(to: string, messageId: string): Promise<SentMessage> {
    return this.sendMessage(to, deletionContent(to, messageId));
  }

  /**
   * Encrypts a content, sends it, and returns when the server has stored it.
   *
   * @param to JID of the recipient.
   * @param content What to send.
   * @param messageId Id of an earlier attempt, which ended in ConnectionEnded or TimeoutError: the server accepts each
   *   message once, however often a client sends it. A new one by default, as `state.takeMessageId` makes it.
   * @throws ServerRefusal The server refused the message, or has no bundle with which to begin a session.
   * @throws UnsupportedContent Third-party chats do not support the content (MSG-12).
   * @throws SignalError The recipient's bundle is not usable; UntrustedIdentity when their identity key has changed and
   *   no notification of that has come yet: see `acceptIdentity`; MissingKemPreKey when the bundle lacks a KEM prekey
   *   and `refusesPqDowngrade` is set: see `acceptPqDowngrade`.
   * @throws ConnectionEnded The connection ended first: the server may or may not have accepted the message.
   * @throws TimeoutError No answer came in time; the server may or may not have accepted the message.
   */
  sendMessage(to: string, content: Content, messageId = this.state.takeMessageId()): Promise<SentMessage> {
    return this.outgoing.send(to, content, messageId);
  }

  /**
   * Sends a message stanza unchanged, and returns when the server has stored it.
   *
   * For messages that the caller encrypts, and for tests of the server's refusals; see `sendMessage`.
   *
   * @throws ServerRefusal The server refused the message.
   * @throws ConnectionEnded The connection ended first: the server may or may not have accepted the message.
   * @throws TimeoutError No answer came in time; the server may or may not have accepted the message.
   */
  async sendEncrypted(message: MessageStanza): Promise<SentMessage> {
    const ack = await this.#sendStanza(message);
    if (ack.error !== undefined) {
      throw refusalFromProto(ack.error);
    }
    return { id: ack.id, timestampMs: Number(ack.timestampMs), content: undefined };
  }

  /**
   * Shows the recipient that this user is typing; the server drops it if they cannot see it now (MSG-13).
   *
   * @throws ConnectionEnded There is no open connection.
   */
  async sendTyping(toJid: string, state = TypingState.COMPOSING): Promise<void> {
    await this.#openConnection.show(create(StanzaSchema, { kind: { case: "typing", value: { toJid, state } } }));
  }

  /**
   * Tells senders that this user has read their messages.
   *
   * A read receipt arrives only if both sides have read receipts on (RCP-01).
   *
   * @throws ConnectionEnded There is no open connection.
   */
  async markRead(...messages: readonly Incoming[]): Promise<void> {
    const bySender = new Map<string, string[]>();
    for (const { sender, id } of messages) {
      addTo(bySender, sender, id);
    }
    for (const [sender, ids] of bySender) {
      await this.#openConnection.send(...receipts(ReceiptType.READ, sender, ids));
    }
  }

  /**
   * Accepts the identity key that the peer presents next, whichever it is, and forgets the sessions with them.
   *
   * Messages that waited for this decision, see `MessageHeld`, are opened.
   *
   * @param jid The peer.
   * @param identityKey Accepts this key only, 32 bytes: that of `MessageHeld`, or `UntrustedIdentity.presented`.
   * @throws RangeError That is no such key.
   */
  async acceptIdentity(jid: string, identityKey?: Uint8Array): Promise<void> {
    this.#signal.acceptIdentity(jid, identityKey);
    await this.durable.commit();
    this.#connection?.openAgain(this.#inbox.release(jid));
  }

  /**
   * Drops the messages that wait for the user's decision about a peer's new identity key; keeps the known key.
   *
   * @throws ConnectionEnded There is no open connection.
   */
  async refuseIdentity(jid: string): Promise<void> {
    this.outgoing.forgetRefusedBundle(jid);
    await this.#openConnection.send(...refusals(this.#inbox.release(jid)));
  }

  /**
   * Goes on without post-quantum prekeys with a peer, even when `refusesPqDowngrade` is set (KEY-16).
   *
   * @throws SignalError The refused bundle is not usable for another reason.
   */
  async acceptPqDowngrade(jid: string): Promise<void> {
    this.#signal.kem.seen.delete(jid);
    this.outgoing.useRefusedBundle(jid);
    await this.durable.commit();
  }

  /**
   * Downloads, verifies and decrypts a file.
   *
   * @param media From MediaReceived.
   * @param target Path of the file, which is written completely or not at all.
   * @param http Base URL of the server's HTTP surface; empty downloads over gRPC, which needs a direct connection.
   * @throws ServerRefusal The server does not have the blob.
   * @throws MediaTampered The blob is not the one that the sender described.
   * @throws TypeError The transport has no blob streams, and no URL was given.
   */
  async download(media: MediaReference, target: string, http = ""): Promise<void> {
    const { blobs, ca } = this.transport;
    if (http) {
      await downloadOverHttp(http, media, target, ca);
    } else if (blobs !== undefined) {
      await downloadOverGrpc(blobs, media, target);
    } else {
      throw new TypeError("this transport has no blob streams: download over HTTP");
    }
  }

  /**
   * Asks the sender of a file to upload its deleted blob again: `MediaReceived` follows, with the same id.
   *
   * @param message The message.
   * @param refusal The refusal of `download`: BLOB_NOT_FOUND or BLOB_EXPIRED.
   * @returns Whether this client asked the sender; false when it has already asked five times (RCP-04).
   * @throws TypeError The download was refused for another reason: the blob may still exist.
   * @throws ConnectionEnded There is no open connection.
   */
  async requestMediaAgain(message: MediaReceived, refusal: ServerRefusal): Promise<boolean> {
    const mediaStatus = MEDIA_STATUSES[refusal.reason];
    if (mediaStatus === undefined) {
      throw new TypeError(`${refusal.reason} does not say that the blob is gone`);
    }
    const { sender, id: messageId, retryCount: cameWith } = message;
    const value = askAgain(this.state, { sender, messageId, cameWith, mediaStatus });
    await this.durable.commit();
    if (value === undefined) {
      return false;
    }
    await this.#openConnection.send(create(StanzaSchema, { kind: { case: "retryReceipt", value } }));
    return true;
  }

  /**
   * Returns the JID of the user with a user-visible identifier (OPT-08).
   *
   * @param externalId The identifier.
   * @param integrator The partner of the user; 0 for a WhatsApp user's phone number.
   * @throws ServerRefusal RECIPIENT_NOT_REACHABLE or another reason; ANSWER_MALFORMED when the server names no user.
   */
  async resolve(externalId: string, integrator = 0): Promise<string> {
    const { users } = await this.transport.call(InteropService.method.resolve, { users: [{ externalId, integrator }] });
    const outcome = users[0]?.outcome;
    if (outcome?.case === "error") {
      throw refusalFromProto(outcome.value);
    }
    return outcome?.value?.jid ?? answerMalformed();
  }

  /** Blocks a user; the server does not tell them (ABU-02). Idempotent. */
  async block(jid: string): Promise<void> {
    await this.transport.call(IntegrityService.method.updateBlocklist, { action: BlockAction.BLOCK, jid });
  }

  /** Removes a user from the blocklist. Idempotent. */
  async unblock(jid: string): Promise<void> {
    await this.transport.call(IntegrityService.method.updateBlocklist, { action: BlockAction.UNBLOCK, jid });
  }

  /** Returns the blocked JIDs, ascending. */
  async getBlocklist(): Promise<string[]> {
    return (await this.transport.call(IntegrityService.method.getBlocklist, {})).jids;
  }

  /**
   * Reports a user and returns the report's id. The server tells no client whether it counts (ABU-03, ABU-04).
   *
   * @param jid The reported user.
   * @param messages 1 to 16 messages from them.
   * @param reveal Whether to show the server the content of those messages that came with a reporting token.
   * @param spamFlow Where in the app the user reports.
   * @throws ServerRefusal The server refused the report.
   */
  async report(
    jid: string,
    messages: readonly Incoming[],
    reveal = false,
    spamFlow = SpamFlow.MESSAGE_MENU,
  ): Promise<string> {
    const reported = messages.map((message) => reportedMessage(message, reveal));
    const request = { jid, spamFlow, messages: reported };
    return (await this.transport.call(IntegrityService.method.report, request)).reportId;
  }

  /** Sends the message of a file again, whose blob is stored once more. See `resendMedia` of either side. */
  protected async sendFileAgain(
    request: MediaRetryRequested,
    path: string,
    store: (blob: Blob) => Promise<string>,
  ): Promise<SentMessage> {
    const { sender, messageId, retryCount } = request;
    const content = await this.outgoing.find(sender, messageId);
    const mediaType = content && mediaTypeOf(content);
    if (content === undefined || mediaType === undefined) {
      throw new RangeError(`no file is known that was sent as ${messageId}`);
    }
    const again = await withEncryptedBlob(path, mediaType, async (blob) =>
      withBlob(content, blob.encrypted, blob.mediaKey, await store(blob)),
    );
    return this.outgoing.send(sender, again, messageId, retryCount);
  }

  #checkDowngrade(jid: string, bundle: PreKeyBundle): void {
    if (this.#signal.isPqDowngrade(jid, bundle)) {
      this.#events.put({ kind: "PqDowngrade", jid });
      if (this.options.refusesPqDowngrade) {
        throw new MissingKemPreKey(`the bundle of ${jid} lacks its KEM prekey`);
      }
    }
  }

  async #sendStanza(message: MessageStanza): Promise<SendAck> {
    return this.#openConnection.sendMessage(message);
  }

  /** Answers the waiting retry requests. One that fails is not acked, so that the server sends it again. */
  async #answerRetries(signal: AbortSignal): Promise<void> {
    const { retries } = this.#inbox;
    const connection = this.#openConnection;
    for (let next = retries.shift(); next !== undefined; next = retries.shift()) {
      const { deliveryId, receipt } = next;
      try {
        const event = await this.outgoing.answer(receipt, signal);
        if (event !== undefined) {
          this.#events.put(event);
        }
      } catch (error) {
        if (error instanceof ConnectionEnded) {
          throw error;
        }
        // The server, or the application's `findSent`, failed: answer the other requests anyway.
        log.warn(`message ${receipt.messageId} could not be sent again: ${sentenceOf(error)}`);
        continue;
      }
      if (deliveryId !== 0n) {
        await connection.send(create(StanzaSchema, { kind: { case: "ack", value: { deliveryIds: [deliveryId] } } }));
      }
    }
  }

  /** Compares the keys. A request is acked only then, so that the server sends it again when that fails. */
  async #answerDigestRequest(count: number, signal: AbortSignal): Promise<void> {
    const { digests } = this.#inbox;
    const connection = this.#openConnection;
    const asked = digests.length; // one that comes from now on may ask about later keys
    const wereIntact = await this.#prekeys.repair(count, signal);
    this.#events.put({ kind: "PreKeysCompared", wereIntact });
    const deliveryIds = digests.splice(0, asked).filter((id) => id !== 0n);
    if (deliveryIds.length > 0) {
      await connection.send(create(StanzaSchema, { kind: { case: "ack", value: { deliveryIds } } }));
    }
  }

  #upkeep(): ReadonlyMap<EventKind, Upkeep> {
    const { refillCount = DEFAULT_PREKEYS } = this.options;
    const upkeep = new Map<EventKind, Upkeep>([
      ["RetryRequested", (signal) => this.#answerRetries(signal)],
      ["DigestRequested", (signal) => this.#answerDigestRequest(refillCount || DEFAULT_PREKEYS, signal)],
    ]);
    if (refillCount) {
      upkeep.set("PreKeysLow", (signal) => this.#prekeys.refill(refillCount, signal));
    }
    return upkeep;
  }

  /** Takes the turn from whoever connects or closes, and ends the calls that would begin in no connection. */
  #nextTurn(): number {
    this.#turns += 1;
    if (this.#connection !== undefined) {
      const end = new ConnectionEnded("CLOSED");
      this.outgoing.endWaiting(end);
      this.#prekeys.endWaiting(end);
    }
    return this.#turns;
  }

  #checkTurn(turn: number): void {
    if (turn !== this.#turns) {
      throw notWanted();
    }
  }

  get #signal(): SignalState {
    return this.state.signal;
  }

  get #openConnection(): Connection {
    if (this.#connection === undefined) {
      throw new ConnectionEnded("CLOSED", "Connect first.");
    }
    return this.#connection;
  }
}

function answerMalformed(): never {
  throw new ServerRefusal("ANSWER_MALFORMED", { advice: "The server's answer names nobody who was asked for." });
}
