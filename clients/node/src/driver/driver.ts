/**
 * A run: takes requests, does them on devices, and sends results and events; knows no transport.
 *
 * Source: interop_api/conformance/v1/driver.proto.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Change, deferred, within } from "../asynchrony.js";
import { TimeoutError } from "../errors.js";
import {
  ClientFeature,
  type DriveRequest,
  DriveRequestSchema,
  type StartDeviceCommand,
} from "../gen/interop_api/conformance/v1/driver_pb.js";
import { log } from "../log.js";
import { perform } from "./commands.js";
import { Device } from "./device.js";
import { DONE, type Outcome, outcomeOf, resultOf, WrongCommand } from "./outcomes.js";
import type { Emit } from "./screen.js";

const NAME = "interopsim-client";
const MAX_DEVICES = 64;
/** Most commands under way at once: then no more requests are read. */
const MAX_COMMANDS = 64;
/** How long commands may take to end after the last request. */
const GRACE_SECONDS = 5;
/** How long the kit may take to read the last results. */
const SEND_SECONDS = 1;
const DEVICE_NAME = /^[A-Za-z0-9_-]{1,64}$/u;

/** One run, with devices of its own. */
export class Driver {
  readonly #devices = new Map<string, Promise<Device>>();
  readonly #commands = new Set<Promise<void>>();
  readonly #ended = new Change();
  readonly #tooLate = deferred<Outcome>();
  #started = 0;

  /**
   * @param folder For what the devices save; it must be empty.
   * @param send Sends a message to the kit; fulfilled when there is room for the next, or when the kit is gone.
   */
  constructor(
    private readonly folder: string,
    private readonly send: Emit,
  ) {}

  /**
   * Does requests until there are no more, then what is under way, and ends the devices.
   *
   * @throws Error What the requests throw; the devices are ended all the same.
   */
  async run(requests: AsyncIterable<DriveRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        await this.#ended.until(() => this.#commands.size < MAX_COMMANDS);
        this.#begin(request);
      }
    } finally {
      await this.#finish();
      const ends = await Promise.allSettled([...this.#devices.values()].map(async (device) => (await device).stop()));
      for (const end of ends.filter(({ status }) => status === "rejected")) {
        log.warn(`a device could not be ended: ${String((end as PromiseRejectedResult).reason)}`);
      }
    }
  }

  #begin(request: DriveRequest): void {
    const command = this.#perform(request).finally(() => {
      this.#commands.delete(command);
      this.#ended.notify();
    });
    this.#commands.add(command);
  }

  /**
   * Waits for the commands under way, and until their results are sent; not for ever: the kit may not read.
   *
   * A command that does not end in time has failed, and that is its result.
   */
  async #finish(): Promise<void> {
    const done = () => Promise.all(this.#commands).then(() => undefined);
    await within(GRACE_SECONDS, "the end of the commands", done()).catch(() => undefined);
    const late = `No more was asked, and it did not end within ${GRACE_SECONDS} s.`;
    this.#tooLate.resolve(outcomeOf(new TimeoutError(late)));
    await within(SEND_SECONDS, "the kit", done()).catch(() => undefined);
  }

  async #perform(request: DriveRequest): Promise<void> {
    const outcome = this.#outcome(request).catch(outcomeOf); // every command is answered, whatever its client does
    await this.send(resultOf(request.id, await Promise.race([outcome, this.#tooLate.promise])));
  }

  async #outcome({ device: name, command }: DriveRequest): Promise<Outcome> {
    switch (command.case) {
      case "describe":
        return description();
      case "startDevice":
        await this.#start(name, command.value);
        return DONE;
      case "stopDevice": {
        const device = this.#devices.get(name);
        this.#devices.delete(name);
        await (await device)?.stop();
        return DONE;
      }
      default: {
        const device = this.#devices.get(name);
        if (device === undefined && command.case !== undefined) {
          throw new WrongCommand(`There is no device ${name}: start it first.`);
        }
        return perform((await device) as Device, command);
      }
    }
  }

  async #start(name: string, command: StartDeviceCommand): Promise<void> {
    if (!DEVICE_NAME.test(name)) {
      throw new WrongCommand("The name of a device is 1 to 64 letters, digits, `-` and `_`.");
    }
    if (this.#devices.has(name)) {
      throw new WrongCommand(`There is a device ${name} already: stop it first.`);
    }
    if (this.#devices.size >= MAX_DEVICES) {
      throw new WrongCommand(`There are ${MAX_DEVICES} devices, the most that there can be.`);
    }
    this.#started += 1;
    const device = Device.make(name, command, join(this.folder, `device-${this.#started}`), this.send);
    this.#devices.set(name, device);
    try {
      await device;
    } catch (error) {
      this.#devices.delete(name);
      throw error;
    }
  }
}

function description(): Outcome {
  const features = Object.values(ClientFeature).filter(
    (each): each is ClientFeature => typeof each === "number" && each !== 0,
  );
  const commands = DriveRequestSchema.fields.flatMap((field) => (field.oneof === undefined ? [] : [field.name]));
  return {
    case: "description",
    value: { name: NAME, version: ownVersion(), features, commands: commands.sort(), maxDevices: MAX_DEVICES },
  };
}

function ownVersion(): string {
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { readonly version: string }).version;
}
