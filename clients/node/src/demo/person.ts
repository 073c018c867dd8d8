/**
 * One person's device as a process: reads one command per line, answers each with a line; knows no story.
 *
 * It speaks what `clients/python/interop_demo/person.py` speaks, so that the story can have either: `node dist/person.js
 * SETTINGS`, where SETTINGS is JSON: `folder`, `user`; for a third-party user `messenger` and optionally `client_ip`; and
 * optionally `id_prefix`, the beginning of message ids that must be the same each time.
 *
 * A command is `{"do": NAME, …}` with the fields of the command; its answer is `{"done": …}`, `{"refused": …}` when the
 * server refuses, or `{"failed": …}`. Before the answer, `{"progress": [SENT, TOTAL]}` may come any number of times. The
 * process ends with stdin, or on SIGTERM.
 */

import { createInterface } from "node:readline";

import { LoginRefused, ServerRefusal, sentenceOf } from "../errors.js";
import { CommandFailed } from "./device.js";
import { Fields, type Json } from "./fields.js";
import { ThirdPartyDevice } from "./thirdPartyDevice.js";
import { WhatsAppDevice } from "./whatsAppDevice.js";

/** Runs the device until stdin ends. */
export async function runPerson(settings: Json): Promise<void> {
  const device = makeDevice(new Fields(settings));
  const commands = device.commands();
  const lines = createInterface({ input: process.stdin });
  process.once("SIGTERM", () => lines.close());
  write({ event: "ready" });
  for await (const line of lines) {
    const command = JSON.parse(line) as Json;
    write(await answerTo(command, commands[String(command["do"])]));
  }
  await device.disconnect();
}

function makeDevice(settings: Fields): ThirdPartyDevice | WhatsAppDevice {
  const place = {
    folder: settings.text("folder"),
    progress: (sent: number, total: number) => write({ progress: [sent, total] }),
    idPrefix: settings.text("id_prefix", ""),
  };
  const [user, messenger, clientIp] = [
    settings.text("user"),
    settings.text("messenger", ""),
    settings.text("client_ip", ""),
  ];
  return messenger ? new ThirdPartyDevice(place, messenger, user, clientIp) : new WhatsAppDevice(place, user);
}

async function answerTo(command: Json, work: ((fields: Fields) => Promise<Json>) | undefined): Promise<Json> {
  try {
    if (work === undefined) {
      throw new CommandFailed("this device has no such command");
    }
    return { done: await work(new Fields(command)) };
  } catch (error) {
    if (!(error instanceof ServerRefusal)) {
      return { failed: sentenceOf(error) };
    }
    const { reason, requirement, advice, requestId: request_id, code } = error;
    const login =
      error instanceof LoginRefused
        ? { sub_code: error.subCode, expires_after_seconds: error.expiresAfterSeconds }
        : undefined;
    return { refused: { reason, requirement, advice, request_id, code, ...login } };
  }
}

function write(answer: Json): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
