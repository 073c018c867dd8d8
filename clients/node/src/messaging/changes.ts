/**
 * Edits and deletions of messages: which apply, and which wait for their message; knows no encryption and no wire.
 *
 * A change can overtake its message: the recipient asked for the message again, or its sender had to repeat it. Then
 * the change waits, and follows the message when that comes. Source: MSG-12, RCP-03.
 */

import {
  type Message as Content,
  type ProtocolMessage,
  ProtocolMessageType,
} from "../gen/interop_api/e2ee/v1/content_pb.js";
import { type DeliveryMemory, messageName } from "../memory.js";
import { parseMessage } from "../signal/content.js";
import { messageEvent, messageSecretOf } from "./contents.js";
import { evidenceOf } from "./deliveries.js";
import type { ChangeRefused, DeletionReceived, EditReceived, Incoming, Message } from "./events.js";

type Change = EditReceived | DeletionReceived;

/** Puts changes and their messages in order. */
export class Changes {
  /** @param deliveries Remembers which texts came and which changes wait; changes. */
  constructor(private readonly deliveries: DeliveryMemory) {}

  /**
   * Returns the events that a message leads to, in order: with changes that waited for it, none if it waits.
   *
   * @param event Of the message.
   * @param content Its content.
   * @param plaintext The same, serialised.
   * @param isHere For a change: whether the message that it changes has come.
   */
  settle(event: Message, content: Content, plaintext: Uint8Array, isHere: boolean): readonly Message[] {
    const change = content.protocolMessage;
    if (change && isChange(event)) {
      if (!isHere && event.targetId !== event.id) {
        return this.#wait(event, change, plaintext);
      }
      return [this.#changed(event, change), ...this.#waiting(event)];
    }
    if (event.kind === "TextReceived") {
      this.deliveries.textCame(messageName(event.sender, event.id), event.timestampMs);
    }
    return [event, ...this.#waiting(event)];
  }

  #wait(event: Change, change: ProtocolMessage, plaintext: Uint8Array): readonly Message[] {
    const target = messageName(event.sender, event.targetId);
    const earlier = this.deliveries.changes.get(target);
    const before = earlier && parseMessage(earlier.plaintext).protocolMessage;
    let hasRoom = true;
    if (before === undefined || supersedes(change, before)) {
      const { id: messageId, timestampMs, evidence } = event;
      hasRoom = this.deliveries.wait(target, { messageId, timestampMs, plaintext, isProved: evidence !== undefined });
    }
    if (hasRoom && this.deliveries.asked.has(target)) {
      return []; // it is on its way
    }
    // It may be long gone, or still come: then the change follows it.
    return [event.kind === "DeletionReceived" ? event : refused(event, "TOO_LATE")];
  }

  /** Returns the change that waited for a message, which stays until the message is finished. */
  #waiting(message: Message): readonly Message[] {
    const waiting = this.deliveries.changes.get(messageName(message.sender, message.id));
    if (waiting === undefined) {
      return [];
    }
    const { plaintext } = waiting;
    const content = parseMessage(plaintext);
    const event = messageEvent(content, {
      ...factsOf(message),
      id: waiting.messageId,
      timestampMs: waiting.timestampMs,
      retryCount: 0,
      evidence: waiting.isProved ? evidenceOf(plaintext, messageSecretOf(content)) : undefined,
    });
    return content.protocolMessage && isChange(event) ? [this.#changed(event, content.protocolMessage)] : [];
  }

  /** Allows edits of a text for twenty minutes, by the server's time (MSG-12). */
  #changed(event: Change, change: ProtocolMessage): Message {
    const target = messageName(event.sender, event.targetId);
    if (event.kind === "DeletionReceived") {
      this.deliveries.texts.delete(target);
      return event;
    }
    const times = this.deliveries.editable(target, event.timestampMs);
    if (times === undefined) {
      return refused(event, "TOO_LATE");
    }
    const editedMs = Number(change.timestampMs ?? 0n);
    if (event.retryCount && editedMs < times.editedMs) {
      return refused(event, "SUPERSEDED");
    }
    times.editedMs = editedMs;
    return event;
  }
}

/** Says whether a message changes another one. */
export function isChange(event: Message): event is Change {
  return event.kind === "EditReceived" || event.kind === "DeletionReceived";
}

/** Says whether a change deletes its message. */
export function isDeletion(change: ProtocolMessage | undefined): boolean {
  return change?.type === ProtocolMessageType.REVOKE;
}

/** Says whether a change of a message holds instead of another one, whichever came first. */
function supersedes(fresh: ProtocolMessage, old: ProtocolMessage): boolean {
  if (isDeletion(fresh) || isDeletion(old)) {
    return isDeletion(fresh);
  }
  return (fresh.timestampMs ?? 0n) >= (old.timestampMs ?? 0n);
}

/** Returns an edit that may not change its message, with the reason. */
function refused(event: EditReceived, reason: ChangeRefused["reason"]): ChangeRefused {
  return { ...factsOf(event), kind: "ChangeRefused", targetId: event.targetId, reason };
}

function factsOf(message: Message): Incoming {
  const { sender, id, timestampMs, inboxMode, requestState, offline, retryCount, evidence } = message;
  return { sender, id, timestampMs, inboxMode, requestState, offline, retryCount, evidence };
}
