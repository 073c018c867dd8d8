/** The client's answers to deliveries: acks, refusals, receipts, requests; knows no session. */

import { create } from "@bufbuild/protobuf";

import {
  type ReceiptType,
  ReceiptType as ReceiptTypes,
  type RetryReceipt,
  type Stanza,
  StanzaSchema,
} from "../gen/interop_api/v1/stanza_pb.js";
import { MAX_RECEIPT_IDS } from "../protocol/sizes.js";

/** The answers to some deliveries, to send once the state is saved. */
export class Answers {
  /** Ids of deliveries that the server may delete. */
  readonly acks: bigint[] = [];
  /** Code for each delivery that the client cannot process, by its id (MSG-10). */
  readonly nacks = new Map<bigint, number>();
  /** Ids of the decrypted messages, by sender. */
  readonly delivered = new Map<string, string[]>();
  /** Requests to send messages again that the client could not decrypt. */
  readonly retries: RetryReceipt[] = [];

  /** Notes that a message has been decrypted. */
  deliver(sender: string, messageId: string): void {
    addTo(this.delivered, sender, messageId);
  }

  /** Returns the stanzas of all answers. What has no delivery id is no delivery, whatever it says. */
  stanzas(): Stanza[] {
    const deliveryIds = this.acks.filter((id) => id !== 0n);
    return [
      // Before the acks, after which the server forgets the message.
      ...this.retries.map((value) => create(StanzaSchema, { kind: { case: "retryReceipt", value } })),
      ...[...this.delivered].flatMap(([sender, ids]) => receipts(ReceiptTypes.DELIVERED, sender, ids)),
      ...[...this.nacks].filter(([id]) => id !== 0n).map(([id, code]) => nack(id, code)),
      ...(deliveryIds.length > 0 ? [create(StanzaSchema, { kind: { case: "ack", value: { deliveryIds } } })] : []),
    ];
  }
}

/** Returns the receipts for messages from one sender, as few as the limit allows. */
export function receipts(type: ReceiptType, toJid: string, messageIds: readonly string[]): Stanza[] {
  const parts: Stanza[] = [];
  for (let at = 0; at < messageIds.length; at += MAX_RECEIPT_IDS) {
    const value = { type, toJid, messageIds: messageIds.slice(at, at + MAX_RECEIPT_IDS) };
    parts.push(create(StanzaSchema, { kind: { case: "receipt", value } }));
  }
  return parts;
}

/** Returns the refusal of a delivery. */
export function nack(deliveryId: bigint, nackCode: number): Stanza {
  return create(StanzaSchema, { kind: { case: "nack", value: { deliveryId, nackCode } } });
}

/** Adds a value to a list in a map. */
export function addTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) {
    lists.set(key, [value]);
  } else {
    list.push(value);
  }
}
