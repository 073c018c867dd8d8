/**
 * The client of a WhatsApp user, for third-party chats only; knows no registration of phone numbers.
 *
 * Source: OPT-01 to OPT-11, OPT-14, MED-04, MED-05.
 */

import { basename } from "node:path";

import { InteropClient } from "./client.js";
import { type LoginOptions, whatsAppLogin } from "./connection/login.js";
import { type BlobStreams, DirectTransport } from "./connection/transport.js";
import {
  type GetInteropSettingsResponse,
  type GetReachabilityResponse,
  InteropService,
  MessageRequestAnswer,
  type PartnerListing,
  TermsResult,
  type ThirdPartyChat,
} from "./gen/interop_api/v1/interop_pb.js";
import type { InboxMode } from "./gen/interop_api/v1/stanza_pb.js";
import { MediaType } from "./media/crypto.js";
import { harmlessName } from "./media/fileNames.js";
import { type Progress, uploadBlob, withEncryptedBlob } from "./media/upload.js";
import { checkDescription, mediaContent } from "./messaging/contents.js";
import type { MediaRetryRequested } from "./messaging/events.js";
import type { SentMessage } from "./messaging/outgoing.js";
import type { ClientOptions } from "./options.js";
import type { ServerAddress } from "./protocol/endpoint.js";
import type { ClientState, StateStore } from "./state.js";

/** The version of the terms that WhatsApp users accept (OPT-03). */
export const TERMS_ID = "20240306";

const PAGE_SIZE = 100;

const calls = InteropService.method;

/** The client of a WhatsApp user, who is registered with the admin service. */
export class WhatsAppClient extends InteropClient {
  /**
   * Makes a client that connects itself.
   *
   * @param server Its address, and the root to trust.
   * @param state Keys and sessions; its JID is `{digits}@s.whatsapp.net`.
   * @param store Saves the state; undefined saves nothing.
   * @param options Choices of the application.
   * @param login Choices at login.
   */
  static direct(
    server: ServerAddress,
    state: ClientState,
    store?: StateStore,
    options: ClientOptions = {},
    login: LoginOptions = {},
  ): WhatsAppClient {
    const logIn = () => Promise.resolve(whatsAppLogin(state.jid, login));
    return new WhatsAppClient(new DirectTransport(server, state.authPrivateKey, logIn), state, store, options);
  }

  /** Records that the user was shown the terms, and then that they accepted them (OPT-03). */
  async acceptTerms(): Promise<void> {
    await this.recordTerms(TermsResult.SHOWN);
    await this.recordTerms(TermsResult.ACCEPTED);
  }

  /**
   * Records one step of accepting the terms (OPT-03).
   *
   * @throws ServerRefusal TERMS_NOT_ACCEPTED: the user was not shown them before.
   */
  async recordTerms(result: TermsResult): Promise<void> {
    await this.transport.call(calls.recordTerms, { termsId: TERMS_ID, result });
  }

  /** Returns the partners that the user can choose, by integrator id (OPT-07). */
  async listPartners(): Promise<PartnerListing[]> {
    return (await this.transport.call(calls.listPartners, {})).partners;
  }

  /**
   * Turns third-party chats on for exactly these partners, and off for all others.
   *
   * @throws ServerRefusal TERMS_NOT_ACCEPTED, NOT_ELIGIBLE or PARTNER_UNKNOWN.
   */
  async optIn(integrators: readonly number[]): Promise<void> {
    await this.transport.call(calls.optIn, { integrators: [...integrators] });
  }

  /** Removes these partners from the user's choice: their chats become read-only (OPT-06). */
  async optOut(integrators: readonly number[]): Promise<void> {
    await this.transport.call(calls.optOut, { integrators: [...integrators] });
  }

  /**
   * Turns third-party chats on or off as a whole, and keeps the chosen partners (OPT-02).
   *
   * @throws ServerRefusal TERMS_NOT_ACCEPTED or NOT_ELIGIBLE.
   */
  async setThirdPartyChats(enabled: boolean): Promise<void> {
    await this.transport.call(calls.setThirdPartyChats, { enabled });
  }

  /** Chooses how the inbox shows third-party chats (OPT-05). */
  async setInboxMode(inboxMode: InboxMode): Promise<void> {
    await this.transport.call(calls.setInboxMode, { inboxMode });
  }

  /** Returns which reachability pings come through (OPT-11). */
  getReachability(): Promise<GetReachabilityResponse> {
    return this.transport.call(calls.getReachability, {});
  }

  /**
   * Chooses which reachability pings come through; the server does not tell senders (OPT-11).
   *
   * @param enabled Whether any come through.
   * @param muted Partners whose users' pings do not come through; replaces those muted before.
   */
  async setReachability(enabled: boolean, muted: readonly number[] = []): Promise<void> {
    await this.transport.call(calls.setReachability, { enabled, mutedIntegrators: [...muted] });
  }

  /** Returns this user's choices. */
  getSettings(): Promise<GetInteropSettingsResponse> {
    return this.transport.call(calls.getInteropSettings, {});
  }

  /** Yields this user's third-party chats, newest first, including read-only ones (OPT-06). */
  async *listChats(): AsyncGenerator<ThirdPartyChat, void, undefined> {
    let pageToken = "";
    do {
      const page = await this.transport.call(calls.listThirdPartyChats, { pageSize: PAGE_SIZE, pageToken });
      yield* page.chats;
      pageToken = page.nextPageToken;
    } while (pageToken);
  }

  /**
   * Accepts a third-party user's message request; the server tells them. Writing to them does the same (OPT-14).
   * Idempotent.
   */
  async acceptMessageRequest(peerJid: string): Promise<void> {
    await this.transport.call(calls.answerMessageRequest, { peerJid, answer: MessageRequestAnswer.ACCEPT });
  }

  /**
   * Declines a third-party user's message request; the server does not tell them (OPT-14).
   *
   * No more of their messages come. Idempotent; the user can accept later.
   */
  async declineMessageRequest(peerJid: string): Promise<void> {
    await this.transport.call(calls.answerMessageRequest, { peerJid, answer: MessageRequestAnswer.DECLINE });
  }

  /** Deletes a third-party chat from the list; the server does not tell the peer. Idempotent. */
  async deleteChat(peerJid: string): Promise<void> {
    await this.transport.call(calls.deleteThirdPartyChat, { peerJid });
  }

  /**
   * Sends a file: encrypts it, uploads the blob, and sends its path and key.
   *
   * @param to JID of the recipient.
   * @param path The file; the recipient sees its name, made harmless as in `fileNames`, but not its folder.
   * @param mimetype Of the file.
   * @param progress Called with how much of the blob was sent.
   * @throws InvalidContent The MIME type is not text that can be sent, or too long.
   * @throws ServerRefusal The server refused the upload; or as `sendMessage`, with its other errors.
   */
  async sendDocument(
    to: string,
    path: string,
    mimetype = "application/octet-stream",
    progress?: Progress,
  ): Promise<SentMessage> {
    const name = harmlessName(basename(path));
    checkDescription(mimetype, name);
    const reference = await withEncryptedBlob(path, MediaType.DOCUMENT, async (blob) => {
      const directPath = await uploadBlob(this.transport, this.#blobs, blob, progress);
      const { mediaType, mediaKey, encrypted } = blob;
      return { mediaType, directPath, mediaKey, encrypted, mimetype, name };
    });
    return this.sendMessage(to, mediaContent(reference));
  }

  /**
   * Uploads a file once more, and sends its message again under the same id (MED-08).
   *
   * @param request The recipient's request.
   * @param path The file.
   * @param progress Called with how much of the blob was sent.
   * @throws RangeError Neither this client nor `ClientOptions.findSent` knows the message any more.
   * @throws ServerRefusal The server refused the upload; or as `sendMessage`, with its other errors.
   */
  resendMedia(request: MediaRetryRequested, path: string, progress?: Progress): Promise<SentMessage> {
    return this.sendFileAgain(request, path, (blob) => uploadBlob(this.transport, this.#blobs, blob, progress));
  }

  get #blobs(): BlobStreams {
    const { blobs } = this.transport;
    if (blobs === undefined) {
      throw new TypeError("this transport has no blob streams");
    }
    return blobs;
  }
}
