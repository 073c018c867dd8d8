/** What the user of a device was shown, in order; knows no connection. */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import {
  type DeviceEvent,
  DeviceEventSchema,
  type DriveResponse,
  DriveResponseSchema,
  TypingActivity,
} from "../gen/interop_api/conformance/v1/driver_pb.js";
import type { Event } from "../messaging/events.js";
import type { Outcome } from "./outcomes.js";

/** Tells the kit something; fulfilled when there is room for the next. */
export type Emit = (response: DriveResponse) => Promise<void>;

/** One field of `DeviceEvent.kind`. */
export type Shown = NonNullable<MessageInitShape<typeof DeviceEventSchema>["kind"]>;

/** How many of the newest events of a device are kept. */
const KEPT = 1_000;
/** How much of them goes into one answer: bytes. */
const LIST_BYTES = 1 << 20;

const ACTIVITIES = {
  COMPOSING: TypingActivity.COMPOSING,
  RECORDING: TypingActivity.RECORDING,
  PAUSED: TypingActivity.PAUSED,
};

/** What one device has shown. */
export class Screen {
  readonly #shown: DeviceEvent[] = [];
  #number = 0n;

  /**
   * @param device Its name.
   * @param emit Tells the kit.
   */
  constructor(
    private readonly device: string,
    private readonly emit: Emit,
  ) {}

  /** Shows something to the user. */
  async show(kind: Shown): Promise<void> {
    this.#number += 1n;
    const value = create(DeviceEventSchema, { device: this.device, number: this.#number, kind });
    this.#shown.push(value);
    if (this.#shown.length > KEPT) {
      this.#shown.shift();
    }
    await this.emit(create(DriveResponseSchema, { kind: { case: "event", value } }));
  }

  /** Returns what was shown after the event of a number, as much as fits. */
  after(number: bigint): Outcome {
    const events: DeviceEvent[] = [];
    let size = 0;
    for (const event of this.#shown.filter((each) => each.number > number)) {
      size += toBinary(DeviceEventSchema, event).length;
      if (events.length > 0 && size > LIST_BYTES) {
        return { case: "shown", value: { events, hasMore: true } };
      }
      events.push(event);
    }
    return { case: "shown", value: { events } };
  }
}

/**
 * Returns what the user is shown of an event of the client; undefined when it is none of theirs, or when the device has
 * more to do first.
 */
export function shownOf(event: Event): Shown | undefined {
  switch (event.kind) {
    case "TextReceived": {
      const { sender: senderJid, id: messageId, text, replyTo = "" } = event;
      return { case: "textShown", value: { senderJid, messageId, text, replyTo } };
    }
    case "ReactionReceived": {
      const { sender: senderJid, targetId, emoji } = event;
      return { case: "reactionShown", value: { senderJid, targetId, emoji } };
    }
    case "EditReceived": {
      const { sender: senderJid, targetId, text } = event;
      return { case: "editShown", value: { senderJid, targetId, text } };
    }
    case "DeletionReceived":
      return { case: "deletionShown", value: { senderJid: event.sender, targetId: event.targetId } };
    case "ReceiptReceived": {
      const { sender: senderJid, messageIds, isRead } = event;
      return { case: "receiptShown", value: { senderJid, messageIds: [...messageIds], isRead } };
    }
    case "Typing":
      return { case: "typingShown", value: { senderJid: event.sender, activity: ACTIVITIES[event.state] } };
    case "IdentityChanged":
      return { case: "identityChangeShown", value: { jid: event.jid } };
    case "MessageHeld": {
      const { sender: jid, id: messageId, identityKey } = event;
      return { case: "identityChangeShown", value: { jid, messageId, identityKey } };
    }
    case "MessageAwaited":
      return { case: "undecryptableShown", value: { senderJid: event.sender, messageId: event.id, isAwaited: true } };
    case "Undecryptable":
      return { case: "undecryptableShown", value: { senderJid: event.sender, messageId: event.id } };
    case "Unsupported":
      return { case: "unknownContentShown", value: { senderJid: event.sender, messageId: event.id } };
    case "RetryUnanswered": {
      const { id: messageId, reason, toJid } = event;
      return { case: "errorShown", value: { messageId, reason, detail: `It could not be sent to ${toJid} again.` } };
    }
    case "StanzaRefused": {
      const { id: messageId, reason, advice: detail } = event;
      return { case: "errorShown", value: { messageId, reason, detail } };
    }
    default:
      return undefined;
  }
}
