/**
 * What this client has sent, as it is true now; knows no session and saves nothing.
 *
 * A message that is sent again says what its sender last said: an edited text is the new text, and of a deleted message
 * there is only the deletion. Source: MSG-12, RCP-03.
 */

import { clone } from "@bufbuild/protobuf";

import { type Message as Content, MessageSchema as ContentSchema } from "../gen/interop_api/e2ee/v1/content_pb.js";
import { forgetOldest, messageName } from "../memory.js";
import { isDeletion } from "./changes.js";

/** The contents of one account's newest messages, and their changes. */
export class SentContents {
  readonly #contents = new Map<string, Content>();
  readonly #changes = new Map<string, Content>();

  /** @param capacity How many of each are kept; the oldest are forgotten. */
  constructor(private readonly capacity: number) {}

  /** Keeps the content of a message, before it leaves. */
  keep(to: string, messageId: string, content: Content): void {
    this.#put(this.#contents, messageName(to, messageId), content);
  }

  /** Returns a content as it was sent; undefined when it is not kept any more. */
  get(to: string, messageId: string): Content | undefined {
    return this.#contents.get(messageName(to, messageId));
  }

  /** Notes that the server has accepted a message, which may change an earlier one from now on. */
  accepted(to: string, content: Content): void {
    const target = ownTarget(content);
    if (target === undefined) {
      return;
    }
    const name = messageName(to, target);
    if (!isDeletion(this.#changes.get(name)?.protocolMessage)) {
      this.#put(this.#changes, name, content);
    }
  }

  /**
   * Returns what is true now instead of a content that was sent, by the changes that the server has accepted.
   *
   * @param to JID of the recipient.
   * @param messageId Id of the message.
   * @param content As it was sent: a message, or itself a change of one.
   */
  asChanged(to: string, messageId: string, content: Content): Content {
    const target = ownTarget(content);
    const change = this.#changes.get(messageName(to, target ?? messageId));
    if (change === undefined) {
      return content;
    }
    if (target !== undefined || isDeletion(change.protocolMessage)) {
      return change;
    }
    return edited(content, change.protocolMessage?.editedMessage?.conversation ?? "");
  }

  #put(memory: Map<string, Content>, name: string, content: Content): void {
    memory.delete(name);
    memory.set(name, content);
    forgetOldest(memory, this.capacity);
  }
}

/** Returns the id of the own message that a content changes; undefined when it changes none. */
function ownTarget(content: Content): string | undefined {
  const key = content.protocolMessage?.key;
  return key?.fromMe ? (key.id ?? "") : undefined;
}

function edited(content: Content, text: string): Content {
  const changed = clone(ContentSchema, content);
  if (changed.extendedTextMessage) {
    changed.extendedTextMessage.text = text;
  } else if (changed.conversation !== undefined) {
    changed.conversation = text;
  }
  return changed;
}
