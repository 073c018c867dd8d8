/** The commands to a device, by the names that driver.proto gives them; knows no stream. */

import { type DriveRequest, Ending, TypingActivity } from "../gen/interop_api/conformance/v1/driver_pb.js";
import { TypingState } from "../gen/interop_api/v1/stanza_pb.js";
import type { SentMessage } from "../messaging/outgoing.js";
import { MAX_ONE_TIME_PREKEYS } from "../protocol/sizes.js";
import type { Device } from "./device.js";
import { DONE, type Outcome, UnsupportedCommand, WrongCommand } from "./outcomes.js";

/** Messages read at once, as driver.proto says; the bounds below likewise. */
const MAX_READ = 256;
const MAX_REPORTED = 16;
/** UTF-8. */
const MAX_TEXT_BYTES = 65_536;

const TYPING: Readonly<Partial<Record<TypingActivity, TypingState>>> = {
  [TypingActivity.COMPOSING]: TypingState.COMPOSING,
  [TypingActivity.RECORDING]: TypingState.RECORDING,
  [TypingActivity.PAUSED]: TypingState.PAUSED,
};

/**
 * Does a command on a device, and returns its outcome.
 *
 * @throws WrongCommand It cannot be done on this device.
 * @throws Error Whatever the client throws.
 */
export async function perform(device: Device, command: DriveRequest["command"]): Promise<Outcome> {
  const { client } = device;
  switch (command.case) {
    case "supplyToken":
      device.tokens.give(command.value.token);
      return DONE;
    case "enlist":
      return account(await device.enlist(command.value.token));
    case "connect":
      await device.connect(command.value.token);
      return DONE;
    case "disconnect": {
      const { ending } = command.value;
      if (ending !== Ending.CLEAN && ending !== Ending.ABRUPT) {
        throw new WrongCommand("`ending` must be CLEAN or ABRUPT.");
      }
      await device.disconnect(ending === Ending.ABRUPT);
      return DONE;
    }
    case "restart":
      await device.restart();
      return DONE;
    case "wipe":
      await device.wipe();
      return DONE;
    case "publishPrekeys":
      requireSize("count", command.value.count, 0, MAX_ONE_TIME_PREKEYS);
      await client.publishPrekeys(command.value.count);
      return DONE;
    case "resolve":
      return account(await client.resolve(command.value.externalId));
    case "sendText": {
      const { toJid, text, replyTo } = command.value;
      requireSize("text", Buffer.byteLength(text), 0, MAX_TEXT_BYTES);
      return sent(await client.sendText(toJid, text, replyTo ? device.message(toJid, replyTo) : undefined));
    }
    case "sendReaction": {
      const { toJid, messageId, emoji, isOwnMessage } = command.value;
      return sent(await client.sendReaction(toJid, messageId, emoji, isOwnMessage));
    }
    case "sendEdit": {
      const { toJid, messageId, text } = command.value;
      return sent(await client.sendEdit(toJid, messageId, text));
    }
    case "sendDeletion":
      return sent(await client.sendDeletion(command.value.toJid, command.value.messageId));
    case "sendMedia":
      return sent(await device.sendMedia(command.value));
    case "markRead": {
      const { senderJid, messageIds } = command.value;
      requireSize("message_ids", messageIds.length, 1, MAX_READ);
      await client.markRead(...messageIds.map((id) => device.message(senderJid, id)));
      return DONE;
    }
    case "showTyping": {
      const state = TYPING[command.value.activity];
      if (state === undefined) {
        throw new WrongCommand("`activity` must be COMPOSING, RECORDING or PAUSED.");
      }
      await client.sendTyping(command.value.toJid, state);
      return DONE;
    }
    case "block":
      await client.block(command.value.jid);
      return DONE;
    case "unblock":
      await client.unblock(command.value.jid);
      return DONE;
    case "listBlocked":
      return { case: "blocked", value: { jids: await client.getBlocklist() } };
    case "reportMessages": {
      const { jid, messageIds, reveals } = command.value;
      requireSize("message_ids", messageIds.length, 1, MAX_REPORTED);
      const messages = messageIds.map((id) => device.message(jid, id));
      return { case: "report", value: { reportId: await client.report(jid, messages, reveals) } };
    }
    case "pingReachability":
      await client.sendReachabilityPing(command.value.phoneNumber, command.value.displayName);
      return DONE;
    case "acceptIdentity":
      await client.acceptIdentity(command.value.jid);
      return DONE;
    case "deleteAccount":
      await client.deleteAccount();
      return DONE;
    case "listShown":
      return device.screen.after(command.value.after);
    default:
      throw new UnsupportedCommand("The driver knows no such command.");
  }
}

function requireSize(field: string, size: number, least: number, most: number): void {
  if (size < least || size > most) {
    throw new WrongCommand(`\`${field}\` has ${size}: ${least} to ${most} are right.`);
  }
}

function account(jid: string): Outcome {
  return { case: "account", value: { jid } };
}

function sent(message: SentMessage): Outcome {
  return { case: "sent", value: { messageId: message.id } };
}
