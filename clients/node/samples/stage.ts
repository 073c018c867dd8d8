/** The stage of the samples: runs a messenger's server, registers it with the simulator, makes users of both sides. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync, realpathSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

import { unaryCall } from "../src/connection/calls.js";
import { httpRequest, readBody } from "../src/connection/http.js";
import { openConnectionTo } from "../src/connection/opening.js";
import { ProxyTransport } from "../src/connection/proxyTransport.js";
import { AdminService, DevicePlatform } from "../src/gen/interop_api/admin/v1alpha1/admin_pb.js";
import { IdentifierType, PartnerStatus } from "../src/gen/interop_api/v1/interop_pb.js";
import type { ClientOptions } from "../src/options.js";
import { type Endpoint, endpointFromReadyLine } from "../src/protocol/endpoint.js";
import { printable } from "../src/protocol/printable.js";
import { ClientState, type StateStore } from "../src/state.js";
import { ThirdPartyClient } from "../src/thirdParty.js";
import { WhatsAppClient } from "../src/whatsapp.js";

const MAX_ANSWER_BYTES = 64 * 1024;
const CLIENT_IP = "203.0.113.7";
/** The environment that `make` sets up, seen from where the built samples are: `dist/samples`. */
const OWN_ENVIRONMENT = fileURLToPath(new URL("../../../../.venv/bin/interopsim", import.meta.url));

/** What ends that which has begun, when a signal ends this process: then no `finally` runs. */
const endings = new Set<() => void>();

let isWaiting = false;

function endAll(status: number): void {
  for (const end of endings) {
    end();
  }
  process.exit(status);
}

/** Notes how to end what has begun; call what it returns once that has ended by itself. */
function endAtSignal(ending: () => void): () => void {
  if (!isWaiting) {
    isWaiting = true;
    process.once("SIGINT", () => endAll(130));
    process.once("SIGTERM", () => endAll(143));
  }
  endings.add(ending);
  return () => endings.delete(ending);
}

/** A folder for the time of a sample. */
export class TemporaryFolder implements AsyncDisposable {
  readonly #forget = endAtSignal(() => rmSync(this.path, { recursive: true, force: true, maxRetries: 3 }));

  private constructor(readonly path: string) {}

  /** Makes one whose name begins like this. */
  static async make(prefix: string): Promise<TemporaryFolder> {
    return new TemporaryFolder(await mkdtemp(join(tmpdir(), prefix)));
  }

  /** Deletes it, with all that is in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    this.#forget();
  }
}

/** Returns the addresses of the simulator that the variable INTEROPSIM names, as `interopsim run` and `env` set it. */
export function endpoint(): Endpoint {
  const line = process.env["INTEROPSIM"];
  if (!line) {
    throw new Error("There is no simulator: run this as `interopsim run -- node …`.");
  }
  return endpointFromReadyLine(line);
}

/** Prints a sentence if its claim is true, or else ends the sample with it. */
export function expect(claim: boolean, sentence: string): void {
  if (!claim) {
    throw new Error(`NOT SO: ${printable(sentence)}`);
  }
  console.log(printable(sentence));
}

/** Returns the command `interopsim` that the variable INTEROPSIM_COMMAND names, or the checkout's, or one on the PATH. */
export function interopsim(): string {
  const named = process.env["INTEROPSIM_COMMAND"];
  const found = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "interopsim"));
  const command = named || [OWN_ENVIRONMENT, ...found].find((path) => existsSync(path));
  if (!command) {
    throw new Error("The command interopsim is not there: pip install interopsim, or name it in INTEROPSIM_COMMAND.");
  }
  return command;
}

/** A process that prints one line of JSON when it is ready, and ends on SIGTERM. */
export class Child implements AsyncDisposable {
  readonly #forget = endAtSignal(() => this.process.kill());

  private constructor(
    private readonly process: ChildProcess,
    /** What it said when it was ready. */
    readonly ready: Readonly<Record<string, string>>,
  ) {}

  /** Starts a program, and returns when it is ready. Fails where there is no such program, or it ends before. */
  static async start(command: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Child> {
    const child = spawn(command, args, {
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child, "spawn");
    for await (const line of createInterface({ input: child.stdout })) {
      return new Child(child, JSON.parse(line) as Readonly<Record<string, string>>);
    }
    throw new Error(`${args.join(" ")} has not become ready`);
  }

  /** Ends it, and waits until it has gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.process;
    if (exitCode === null && signalCode === null) {
      const gone = once(this.process, "exit");
      this.process.kill();
      await gone;
    }
    this.#forget();
  }
}

/** A third-party messenger with its server, which runs in a process of its own. */
export class Messenger implements AsyncDisposable {
  private constructor(
    readonly integrator: number,
    private readonly simulator: Endpoint,
    private readonly server: Child,
    private readonly folder: TemporaryFolder,
  ) {}

  /** Runs a messenger's server and registers it with a simulator. */
  static async open(integrator: number, simulator = endpoint()): Promise<Messenger> {
    const folder = await TemporaryFolder.make("messenger-");
    try {
      return await Messenger.#openIn(folder, integrator, simulator);
    } catch (error) {
      await folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  static async #openIn(folder: TemporaryFolder, integrator: number, simulator: Endpoint): Promise<Messenger> {
    const python = join(dirname(realpathSync(interopsim())), "python");
    const issuer = `https://sample-messenger-${integrator}.example`;
    const known = ["--simulator-grpc", simulator.grpc, "--simulator-http", simulator.http];
    const root = Buffer.from(simulator.rootPublicKey).toString("hex");
    const options = ["--data", folder.path, "--issuer", issuer, ...known, "--root", root];
    const server = await Child.start(python, ["-m", "partner_server", ...options]);
    const messenger = new Messenger(integrator, simulator, server, folder);
    const { base_url: baseUrl = "", push_url: pushUrl = "", media_url: mediaUrl = "" } = server.ready;
    const partner = {
      partner: {
        integrator,
        name: `Sample Messenger ${integrator}`,
        issuer,
        baseUrl,
        pushUrl,
        mediaUrl,
        status: PartnerStatus.ACTIVE,
        identifierType: IdentifierType.USERNAME,
        proxyAllowed: true,
      },
    };
    try {
      await admin(simulator, AdminService.method.putPartner, partner);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return messenger;
  }

  /** Where its users' files are kept. */
  get mediaUrl(): string {
    return this.server.ready["media_url"] ?? "";
  }

  /** Returns a token that vouches for a user. */
  token(user: string): Promise<string> {
    return this.#ask("/tokens", "token", { user });
  }

  /** Returns the client of a user of this messenger, by default on a new device; not enlisted yet. */
  user(
    name: string,
    options: ClientOptions = {},
    state = ClientState.generate(),
    store?: StateStore,
  ): ThirdPartyClient {
    return ThirdPartyClient.direct(this.simulator, state, () => this.token(name), store, options);
  }

  /** Returns the client of a user who connects through this messenger's proxy, which holds the auth key; enlisted. */
  async proxied(name: string, options: ClientOptions = {}): Promise<ThirdPartyClient> {
    const query = new URLSearchParams({ user: name }).toString();
    const authKey = new Uint8Array(Buffer.from(await this.#ask(`/proxy/authkey?${query}`, "public_key"), "hex"));
    const state = ClientState.generate();
    const jid = await this.user(name, {}, state).enlistOverHttp(this.simulator.http, await this.token(name), authKey);
    const login = { user: name, jid, getToken: () => this.token(name) };
    const transport = new ProxyTransport(this.server.ready["proxy_url"] ?? "", login, CLIENT_IP);
    return new ThirdPartyClient(transport, state, undefined, options);
  }

  async #ask(path: string, field: string, json?: Readonly<Record<string, string>>): Promise<string> {
    const url = (this.server.ready["base_url"] ?? "") + path;
    const request = json ? ({ method: "POST", url, body: { json } } as const) : ({ method: "GET", url } as const);
    const body = await httpRequest(request, (answer) => readBody(answer, MAX_ANSWER_BYTES));
    return (JSON.parse(body.toString()) as Readonly<Record<string, string>>)[field] ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Returns the connected client of a new WhatsApp user who has opted in for these integrators, if any are given. */
export async function whatsAppUser(
  integrators: readonly number[] = [],
  simulator = endpoint(),
  options: ClientOptions = {},
): Promise<WhatsAppClient> {
  const state = ClientState.generate();
  const phoneNumber = `+316${String(randomInt(10 ** 8)).padStart(8, "0")}`;
  const user = { phoneNumber, authkey: state.authPublicKey, platform: DevicePlatform.ANDROID };
  state.jid = (await admin(simulator, AdminService.method.putWhatsAppUser, user)).jid;
  const client = WhatsAppClient.direct(simulator, state, undefined, options);
  await client.connect();
  await client.publishPrekeys();
  if (integrators.length > 0) {
    await client.acceptTerms();
    await client.optIn(integrators);
  }
  return client;
}

/** Makes a call of the simulator's operator. */
async function admin<I extends DescMessage, O extends DescMessage>(
  simulator: Endpoint,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
): Promise<MessageShape<O>> {
  const connection = openConnectionTo(simulator.admin, simulator.ca);
  try {
    return await unaryCall(connection, method, request);
  } finally {
    connection.close();
  }
}
