/**
 * The client of a third-party user; knows nothing of the partner's own server but its tokens.
 *
 * Source: ENL-07 to ENL-15, MED-02, ABU-06, LIF-03.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { InteropClient } from "./client.js";
import { httpRequest, readBody } from "./connection/http.js";
import { type LoginOptions, thirdPartyLogin } from "./connection/login.js";
import { DirectTransport } from "./connection/transport.js";
import { refusalFromJson, refusalFromProto, ServerRefusal } from "./errors.js";
import { AccountService } from "./gen/interop_api/v1/account_pb.js";
import { EnlistmentService, EnlistRequestSchema } from "./gen/interop_api/v1/enlistment_pb.js";
import {
  type AnswerChallengeRequestSchema,
  ChallengeOption,
  IntegrityService,
  type RequestChallengeResponse,
} from "./gen/interop_api/v1/integrity_pb.js";
import { InteropService } from "./gen/interop_api/v1/interop_pb.js";
import { MediaType } from "./media/crypto.js";
import { type MediaHost, withEncryptedBlob } from "./media/upload.js";
import { checkDescription, mediaContent } from "./messaging/contents.js";
import type { MediaRetryRequested } from "./messaging/events.js";
import type { SentMessage } from "./messaging/outgoing.js";
import type { ClientOptions } from "./options.js";
import { encodeBase64url } from "./protocol/encoding.js";
import type { ServerAddress } from "./protocol/endpoint.js";
import { INTEROP_SERVER, parseJid } from "./protocol/jid.js";
import { PREKEY_ID_BYTES, PROTOCOL_VERSION, REGISTRATION_ID_BYTES } from "./protocol/sizes.js";
import { KEY_TYPE } from "./protocol/xeddsaKeys.js";
import type { ClientState, StateStore } from "./state.js";

/** The path to which the client posts the documented form. */
export const ENLISTMENT_PATH = "/3p/interop_reg";

const MAX_OUTCOME_BYTES = 64 * 1024;

/** Gets a token from the partner's own server: tokens are short-lived, so each login asks for a new one. */
export type TokenSource = () => Promise<string>;

/** What one says of an image. */
export interface ImageFacts {
  /** `image/png` by default. */
  readonly mimetype?: string;
  /** Text to show under it. */
  readonly caption?: string;
}

/** A third-party user. `enlist` once, then connect. */
export class ThirdPartyClient extends InteropClient {
  /**
   * Makes a client that connects itself.
   *
   * @param server Its address, and the root to trust.
   * @param state Keys and sessions.
   * @param getToken Gets a token for each login.
   * @param store Saves the state; undefined saves nothing.
   * @param options Choices of the application.
   * @param login Choices at login.
   */
  static direct(
    server: ServerAddress,
    state: ClientState,
    getToken: TokenSource,
    store?: StateStore,
    options: ClientOptions = {},
    login: LoginOptions = {},
  ): ThirdPartyClient {
    const logIn = async () => thirdPartyLogin(state.jid, await getToken(), login);
    return new ThirdPartyClient(new DirectTransport(server, state.authPrivateKey, logIn), state, store, options);
  }

  /**
   * Enlists this user, or renews the enlistment, and returns the JID.
   *
   * When the server refuses the signed prekey, the client makes a new one and tries again, once (KEY-13).
   *
   * @param token A token that the partner issued for this user.
   * @throws ServerRefusal The server did not enlist the user.
   */
  async enlist(token: string): Promise<string> {
    try {
      return await this.#enlist(token);
    } catch (error) {
      if (!(error instanceof ServerRefusal) || error.recovery !== "NEW_KEYS") {
        throw error;
      }
    }
    this.state.signal.renewSignedPrekey();
    await this.durable.commit(); // before sending: without its private key, the message that uses it is lost
    return this.#enlist(token);
  }

  async #enlist(token: string): Promise<string> {
    const { outcome } = await this.transport.call(EnlistmentService.method.enlist, this.#enlistment(token));
    if (outcome.case !== "success") {
      throw refusalFromProto(outcome.value?.error);
    }
    return this.#keepJid(outcome.value.login);
  }

  /**
   * Enlists with the documented form post, and returns the JID.
   *
   * @param baseUrl Of the server's HTTP surface.
   * @param token A token that the partner issued for this user.
   * @param authPublicKey The auth key of a proxy that will connect for this user, 32 bytes; by default this client's
   *   own.
   * @throws ServerRefusal The server did not enlist the user, or its answer is malformed.
   * @throws Unreachable The server cannot be reached.
   * @throws TimeoutError The server is too slow.
   */
  async enlistOverHttp(baseUrl: string, token: string, authPublicKey = this.state.authPublicKey): Promise<string> {
    const request = create(EnlistRequestSchema, this.#enlistment(token, authPublicKey));
    const form: Record<string, string> = {
      token,
      version: String(request.protocolVersion),
    };
    for (const { name, localName } of EnlistRequestSchema.fields) {
      const value: unknown = request[localName as keyof typeof request];
      if (value instanceof Uint8Array) {
        form[name] = encodeBase64url(value);
      }
    }
    const url = baseUrl.replace(/\/$/u, "") + ENLISTMENT_PATH;
    const body = await httpRequest({ method: "POST", url, body: { form }, ca: this.transport.ca }, (answer) =>
      readBody(answer, MAX_OUTCOME_BYTES),
    );
    return this.#keepJid(loginOf(body.toString()));
  }

  /**
   * Deletes the account, which ends the connection. The server never gives its JID to another account (LIF-03).
   *
   * @throws ServerRefusal The server did not delete the account.
   */
  async deleteAccount(): Promise<void> {
    await this.transport.call(AccountService.method.deleteAccount, {});
  }

  /**
   * Begins a challenge, which replaces any earlier one. The code for one way to answer it comes as ChallengeCode.
   *
   * @throws ServerRefusal RATE_LIMITED: the account has begun too many.
   */
  requestChallenge(): Promise<RequestChallengeResponse> {
    return this.transport.call(IntegrityService.method.requestChallenge, {});
  }

  /**
   * Answers a challenge, after which the account may open new chats again (ABU-06).
   *
   * @param challengeId The challenge.
   * @param answer The code that came as ChallengeCode, or the digits of the prompt in reverse.
   * @param option Which of the two.
   * @throws ServerRefusal CHALLENGE_INVALID: the answer is wrong or late, and the challenge has ended; RATE_LIMITED.
   */
  async answerChallenge(challengeId: string, answer: string, option = ChallengeOption.CHANNEL): Promise<void> {
    const request: MessageInitShape<typeof AnswerChallengeRequestSchema> = { challengeId, option, answer };
    await this.transport.call(IntegrityService.method.answerChallenge, request);
  }

  /**
   * Tells a WhatsApp user that this user would like to write (OPT-10). The server does not say if it arrives.
   *
   * @param phoneNumber Of the WhatsApp user, with `+` and country code.
   * @param displayName The name that this user shows: 1 to 64 printable characters.
   * @throws ServerRefusal REQUEST_MALFORMED, or RATE_LIMITED with the delay before the next ping.
   */
  async sendReachabilityPing(phoneNumber: string, displayName: string): Promise<void> {
    await this.transport.call(InteropService.method.sendReachabilityPing, { phoneNumber, displayName });
  }

  /**
   * Sends an image, whose encrypted blob stays on the partner's own media server.
   *
   * @param to JID of the recipient.
   * @param path The image file.
   * @param host Stores the encrypted blob.
   * @param facts What to say of it.
   * @throws InvalidContent The caption or the MIME type is not text that can be sent, or too long.
   * @throws ServerRefusal As `sendMessage`, with its other errors, and those of the host.
   */
  async sendImage(to: string, path: string, host: MediaHost, facts: ImageFacts = {}): Promise<SentMessage> {
    const { mimetype = "image/png", caption = "" } = facts;
    checkDescription(mimetype, caption);
    const reference = await withEncryptedBlob(
      path,
      MediaType.IMAGE,
      async ({ mediaType, mediaKey, encrypted, path }) => {
        const directPath = this.#pathOf(await host(path));
        return { mediaType, directPath, mediaKey, encrypted, mimetype, name: caption };
      },
    );
    return this.sendMessage(to, mediaContent(reference));
  }

  /**
   * Stores a file once more, and sends its message again under the same id (MED-08).
   *
   * @param request The recipient's request.
   * @param path The file.
   * @param host Stores the encrypted blob.
   * @throws RangeError Neither this client nor `ClientOptions.findSent` knows the message any more.
   * @throws ServerRefusal As `sendMessage`, with its other errors, and those of the host.
   */
  resendMedia(request: MediaRetryRequested, path: string, host: MediaHost): Promise<SentMessage> {
    return this.sendFileAgain(request, path, async (blob) => this.#pathOf(await host(blob.path)));
  }

  #pathOf(storageReference: string): string {
    return `/interop/whatsapp/download/${parseJid(this.jid).integrator}/${storageReference}/`;
  }

  #enlistment(token: string, authkey = this.state.authPublicKey): MessageInitShape<typeof EnlistRequestSchema> {
    const { registrationId, identityKey, signedPrekey } = this.state.signal.publishable;
    return {
      authkey,
      eKeytype: Uint8Array.of(KEY_TYPE),
      eRegid: bigEndian(registrationId, REGISTRATION_ID_BYTES),
      eIdent: identityKey,
      eSkeyId: bigEndian(signedPrekey.keyId, PREKEY_ID_BYTES),
      eSkeyVal: signedPrekey.publicKey,
      eSkeySig: signedPrekey.signature,
      token,
      protocolVersion: PROTOCOL_VERSION,
    };
  }

  async #keepJid(jid: string): Promise<string> {
    if (!isAccount(jid)) {
      throw new ServerRefusal("ANSWER_MALFORMED", { advice: "The server named no account of a messenger." });
    }
    const { signal } = this.state;
    this.state.jid = jid;
    signal.confirmedSignedPrekeyId = signal.publishable.signedPrekey.keyId;
    await this.durable.commit();
    return jid;
  }
}

function isAccount(jid: string): boolean {
  try {
    return parseJid(jid).server === INTEROP_SERVER;
  } catch {
    return false;
  }
}

function bigEndian(number: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(number, 0, length);
  return new Uint8Array(bytes);
}

function loginOf(body: string): string {
  let refusal: ServerRefusal;
  try {
    const outcome = JSON.parse(body) as { readonly status?: unknown; readonly login?: unknown };
    if (outcome.status === "ok" && typeof outcome.login === "string") {
      return outcome.login;
    }
    refusal = refusalFromJson(outcome);
  } catch {
    throw new ServerRefusal("ANSWER_MALFORMED", { advice: "The server did not answer with an outcome object." });
  }
  throw refusal;
}
