/** The device of a WhatsApp user; knows no partner's server. */

import { TermsResult } from "../gen/interop_api/v1/interop_pb.js";
import { InboxMode } from "../gen/interop_api/v1/stanza_pb.js";
import type { ServerAddress } from "../protocol/endpoint.js";
import { whatsappJid } from "../protocol/jid.js";
import { WhatsAppClient } from "../whatsapp.js";
import { type Command, Device, type DevicePlace, OPTIONS } from "./device.js";
import type { Json } from "./fields.js";

/** Connects itself. */
export class WhatsAppDevice extends Device<WhatsAppClient> {
  /**
   * @param place The surroundings of the device.
   * @param user The phone number, E.164 with a leading `+`.
   */
  constructor(
    place: DevicePlace,
    private readonly user: string,
  ) {
    super(place);
  }

  override commands(): Readonly<Record<string, Command>> {
    return {
      ...super.commands(),
      make_keys: () => this.#makeKeys(),
      get_settings: () => this.#getSettings(),
      list_partners: async () => {
        const partners = await this.client.listPartners();
        return { partners: partners.map(({ integrator, name }) => ({ integrator, name })) };
      },
      see_terms: async () => {
        await this.client.recordTerms(TermsResult.SHOWN);
        return {};
      },
      accept_terms: async () => {
        await this.client.recordTerms(TermsResult.ACCEPTED);
        return {};
      },
      opt_in: async (fields) => {
        await this.client.optIn(fields.numbers("integrators"));
        return {};
      },
      opt_out: async (fields) => {
        await this.client.optOut(fields.numbers("integrators"));
        return {};
      },
      wait_for_reachability_ping: async () => {
        const ping = await this.waitFor("ReachabilityPing", "a reachability ping");
        const { integrator, partnerName: partner_name, displayName: display_name } = ping;
        return { told: { integrator, partner_name, display_name } };
      },
      accept_request: async (fields) => {
        await this.client.acceptMessageRequest(fields.text("jid"));
        return {};
      },
      choose_separate_inbox: async () => {
        await this.client.setInboxMode(InboxMode.SEPARATE);
        return {};
      },
      list_chats: async () => {
        const chats: Json[] = [];
        for await (const { peerJid: peer, externalId: name, readOnly: read_only } of this.client.listChats()) {
          chats.push({ peer, name, read_only });
        }
        return { chats };
      },
      send_document: async (fields) => {
        const [to, file, mimetype] = [fields.text("to"), fields.text("file"), fields.text("mimetype")];
        return { id: (await this.client.sendDocument(to, file, mimetype, this.place.progress)).id };
      },
    };
  }

  protected override async makeClient(server: ServerAddress): Promise<WhatsAppClient> {
    return WhatsAppClient.direct(server, await this.loadState(), this.file, OPTIONS);
  }

  /** Makes and saves the device's keys, and returns the public auth key with which the operator registers it. */
  async #makeKeys(): Promise<Json> {
    const state = await this.loadState();
    state.jid = whatsappJid(this.user.replace(/^\+/u, ""));
    await this.file.save(state.toBytes());
    return { auth_public_key: Buffer.from(state.authPublicKey).toString("hex") };
  }

  async #getSettings(): Promise<Json> {
    const settings = await this.client.getSettings();
    return {
      enabled: settings.enabled,
      integrators: settings.integrators,
      inbox_mode: InboxMode[settings.inboxMode],
      terms_accepted: settings.termsAccepted,
      eligible: settings.eligible,
    };
  }
}
