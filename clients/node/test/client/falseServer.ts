/** A server of the chat channel that does what a test makes it do: certified, and otherwise as bad as one likes. */

import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import { Change } from "../../src/asynchrony.js";
import {
  CertificateChainSchema,
  CertificateDetailsSchema,
  ChatService,
  type ConnectRequest,
  type ConnectResponseSchema,
} from "../../src/gen/interop_api/v1/chat_pb.js";
import {
  BatchSchema,
  type ChannelLimitsSchema,
  type Stanza,
  type StanzaSchema,
} from "../../src/gen/interop_api/v1/stanza_pb.js";
import { PROLOGUE, Transport } from "../../src/protocol/noise.js";
import {
  concat,
  hmacSha256,
  openAesGcm,
  randomBytes,
  sealAesGcm,
  sha256,
  X25519Key,
} from "../../src/protocol/primitives.js";
import { signXeddsa } from "../../src/protocol/xeddsaKeys.js";

const PROTOCOL_NAME = Buffer.from("Noise_XX_25519_AESGCM_SHA256".padEnd(32, "\0"));
const ALWAYS = { notBefore: 0n, notAfter: 1n << 40n };

export type Frame = MessageInitShape<typeof ConnectResponseSchema>;
export type StanzaInit = MessageInitShape<typeof StanzaSchema>;

/** What a script does with a client that has finished the handshake. */
export class Session {
  constructor(
    private readonly noise: Transport,
    private readonly requests: AsyncIterator<ConnectRequest>,
  ) {}

  /** Returns a frame of some stanzas. */
  frame(...stanzas: StanzaInit[]): Frame {
    return this.sealed(toBinary(BatchSchema, create(BatchSchema, { stanzas })));
  }

  /** Returns a frame of any bytes. */
  sealed(batch: Uint8Array): Frame {
    return { frame: { case: "sealed", value: this.noise.encrypt(batch) } };
  }

  /** Returns the frame of a login. */
  login(limits: MessageInitShape<typeof ChannelLimitsSchema> = {}): Frame {
    return this.frame({ kind: { case: "loginSuccess", value: { jid: "1-1@interop", limits } } });
  }

  /** Returns the stanzas of the client's next frame; undefined when it has ended its half of the stream. */
  async next(): Promise<readonly Stanza[] | undefined> {
    const { done, value } = await this.requests.next();
    if (done || value.frame.case !== "sealed") {
      return undefined;
    }
    return fromBinary(BatchSchema, this.noise.decrypt(value.frame.value)).stanzas;
  }
}

/** Yields what the server sends after the handshake. */
export type Script = (session: Session) => AsyncIterable<Frame>;

/** A server on a port of its own. */
export class FalseServer implements AsyncDisposable {
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #left = new Change();
  /** How many chat channels clients have opened. */
  opened = 0;

  readonly ca = "";
  readonly http = "";

  private constructor(
    private readonly server: Http2Server,
    /** The root that certifies it. */
    readonly rootPublicKey: Uint8Array,
  ) {}

  /**
   * Starts one.
   *
   * @param script What it does on the chat channel.
   * @param routes What it answers besides; nothing by default.
   */
  static async start(script: Script, routes: (router: ConnectRouter) => void = () => undefined): Promise<FalseServer> {
    const rootKey = randomBytes(32);
    const adapter = connectNodeAdapter({
      routes: (router) => {
        routes(router);
        router.service(ChatService, {
          connect: (requests) => {
            server.opened += 1;
            return answers(rootKey, requests, script);
          },
        });
      },
    });
    const server = new FalseServer(createServer(adapter), new X25519Key(rootKey).publicKey);
    server.server.on("session", (session) => {
      server.#sessions.add(session);
      session.on("error", () => undefined); // `close` follows
      session.once("close", () => {
        server.#sessions.delete(session);
        server.#left.notify();
      });
    });
    server.server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    return server;
  }

  /** `host:port`. */
  get grpc(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#sessions.size;
  }

  /** Returns when the last connection has ended. */
  async left(): Promise<void> {
    await this.#left.until(() => this.#sessions.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) {
      session.destroy();
    }
    await new Promise((resolve) => this.server.close(resolve));
  }
}

async function* answers(
  rootKey: Uint8Array,
  stream: AsyncIterable<ConnectRequest>,
  script: Script,
): AsyncGenerator<Frame> {
  const requests = stream[Symbol.asyncIterator]();
  const handshake = new Responder();
  const hello = messageOf(await requests.next());
  const serverHello = hello?.case === "clientHello" ? handshake.answer(hello.value.ephemeral, rootKey) : {};
  yield { frame: { case: "handshake", value: { message: { case: "serverHello", value: serverHello } } } };
  const finish = messageOf(await requests.next());
  if (finish?.case === "clientFinish") {
    yield* script(new Session(handshake.finish(finish.value), requests));
  }
}

function messageOf({ value }: IteratorResult<ConnectRequest>) {
  const frame = (value as ConnectRequest | undefined)?.frame;
  return frame?.case === "handshake" ? frame.value.message : undefined;
}

/** The server's side of the handshake, which the client's package does not have. */
class Responder {
  readonly #static = new X25519Key(randomBytes(32));
  readonly #ephemeral = new X25519Key(randomBytes(32));
  #hash = sha256(PROTOCOL_NAME, PROLOGUE);
  #chainingKey: Uint8Array = PROTOCOL_NAME;
  #key: Uint8Array = PROTOCOL_NAME;
  #sealed = 0;

  answer(remote: Uint8Array, rootKey: Uint8Array) {
    this.#hash = sha256(this.#hash, remote);
    this.#hash = sha256(this.#hash, this.#ephemeral.publicKey);
    this.#mixKey(this.#ephemeral.agree(remote));
    const staticKey = this.#mixHash(this.#seal(this.#static.publicKey));
    this.#mixKey(this.#static.agree(remote));
    const payload = this.#mixHash(this.#seal(chainOf(rootKey, this.#static.publicKey)));
    return { ephemeral: this.#ephemeral.publicKey, staticKey, payload };
  }

  finish({ staticKey, payload }: { staticKey: Uint8Array; payload: Uint8Array }): Transport {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(this.#sealed, 8);
    const remote = openAesGcm(this.#key, nonce, staticKey, this.#hash) ?? new Uint8Array();
    this.#mixHash(staticKey);
    this.#mixKey(this.#ephemeral.agree(remote));
    this.#mixHash(payload);
    const [receiving, sending] = this.#expand(new Uint8Array());
    return new Transport(sending, receiving);
  }

  #seal(plaintext: Uint8Array): Uint8Array {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(this.#sealed, 8);
    this.#sealed += 1;
    return sealAesGcm(this.#key, nonce, plaintext, this.#hash);
  }

  #mixHash(data: Uint8Array): Uint8Array {
    this.#hash = sha256(this.#hash, data);
    return data;
  }

  #mixKey(secret: Uint8Array): void {
    [this.#chainingKey, this.#key] = this.#expand(secret);
    this.#sealed = 0;
  }

  #expand(secret: Uint8Array): [Uint8Array, Uint8Array] {
    const key = hmacSha256(this.#chainingKey, secret);
    const first = hmacSha256(key, Uint8Array.of(1));
    return [first, hmacSha256(key, concat(first, Uint8Array.of(2)))];
  }
}

function chainOf(rootKey: Uint8Array, serverStatic: Uint8Array): Uint8Array {
  const intermediateKey = randomBytes(32);
  const certificate = (signer: Uint8Array, serial: number, key: Uint8Array) => {
    const described = create(CertificateDetailsSchema, { serial, issuerSerial: serial - 1, key, ...ALWAYS });
    const details = toBinary(CertificateDetailsSchema, described);
    return { details, signature: signXeddsa(signer, details, randomBytes(64)) };
  };
  const intermediate = certificate(rootKey, 1, new X25519Key(intermediateKey).publicKey);
  const leaf = certificate(intermediateKey, 2, serverStatic);
  return toBinary(CertificateChainSchema, create(CertificateChainSchema, { leaf, intermediate }));
}
