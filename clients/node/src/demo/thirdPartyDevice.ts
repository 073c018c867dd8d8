/** The device of a third-party user; knows its partner's server by URL only. */

import { httpRequest, readBody } from "../connection/http.js";
import { ProxyTransport } from "../connection/proxyTransport.js";
import { mediaHost } from "../media/upload.js";
import type { ServerAddress } from "../protocol/endpoint.js";
import { ThirdPartyClient } from "../thirdParty.js";
import { addressOf, type Command, CommandFailed, Device, type DevicePlace, OPTIONS } from "./device.js";
import type { Fields, Json } from "./fields.js";

const MAX_ANSWER_BYTES = 64 * 1024;

/** Connects itself, or through the partner's proxy when the user has enlisted for that. */
export class ThirdPartyDevice extends Device<ThirdPartyClient> {
  /**
   * @param place The surroundings of the device.
   * @param messenger Base URL of the partner's server.
   * @param user User-visible identifier.
   * @param clientIp Public address that the partner's load balancer sees; empty for a user who connects directly.
   */
  constructor(
    place: DevicePlace,
    private readonly messenger: string,
    private readonly user: string,
    private readonly clientIp: string,
  ) {
    super(place);
  }

  override commands(): Readonly<Record<string, Command>> {
    return {
      ...super.commands(),
      enlist: (fields) => this.#enlist(fields),
      send_image: async (fields) => {
        const [to, file, mimetype] = [fields.text("to"), fields.text("file"), fields.text("mimetype")];
        const sent = await this.client.sendImage(to, file, mediaHost(`${this.messenger}/media`), { mimetype });
        return { id: sent.id };
      },
      ping_reachability: async (fields) => {
        await this.client.sendReachabilityPing(fields.text("phone_number"), fields.text("display_name"));
        return {};
      },
      wait_for_trust: async () => {
        const { jid, expiresAtMs } = await this.waitFor("TrustedContact", "the mark of a trusted contact");
        return { jid, expires_at_ms: expiresAtMs };
      },
    };
  }

  protected override async makeClient(server: ServerAddress): Promise<ThirdPartyClient> {
    const state = await this.loadState();
    if (!this.clientIp) {
      return ThirdPartyClient.direct(server, state, () => this.#getToken(), this.file, OPTIONS);
    }
    const login = { user: this.user, jid: state.jid, getToken: () => this.#getToken() };
    const transport = new ProxyTransport(`${this.messenger}/proxy`, login, this.clientIp);
    return new ThirdPartyClient(transport, state, this.file, OPTIONS);
  }

  /** Enlists with the documented form post, with the proxy's auth key if the user connects through the proxy. */
  async #enlist(fields: Fields): Promise<Json> {
    const server = addressOf(fields);
    const client = ThirdPartyClient.direct(server, await this.loadState(), () => this.#getToken(), this.file);
    const authKey = this.clientIp ? new Uint8Array(Buffer.from(await this.#getProxyKey(), "hex")) : undefined;
    return { jid: await client.enlistOverHttp(server.http, await this.#getToken(), authKey) };
  }

  #getToken(): Promise<string> {
    return this.#ask("/tokens", "token", { user: this.user });
  }

  #getProxyKey(): Promise<string> {
    return this.#ask(`/proxy/authkey?${new URLSearchParams({ user: this.user }).toString()}`, "public_key");
  }

  /** Asks the messenger's server for something. */
  async #ask(path: string, field: string, json?: Json): Promise<string> {
    const url = this.messenger + path;
    const request =
      json === undefined ? ({ method: "GET", url } as const) : ({ method: "POST", url, body: { json } } as const);
    const body = await httpRequest(request, (answer) => readBody(answer, MAX_ANSWER_BYTES));
    const value = (JSON.parse(body.toString()) as Json)[field];
    if (typeof value !== "string") {
      throw new CommandFailed(`the messenger's server gave no ${field}`);
    }
    return value;
  }
}
