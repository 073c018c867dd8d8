/**
 * The payload of a login for either kind of account; knows no handshake.
 *
 * Source: interop_api/v1/chat.proto, LoginPayload; CHN-06, PRX-02.
 */

import { create } from "@bufbuild/protobuf";

import {
  Capability,
  ConnectionMode,
  type LoginPayload,
  LoginPayloadSchema,
  Product,
} from "../gen/interop_api/v1/chat_pb.js";
import { parseJid } from "../protocol/jid.js";
import { PROTOCOL_VERSION } from "../protocol/sizes.js";

/** Optional parts of the protocol that this client knows. */
export const CAPABILITIES: readonly Capability[] = [
  Capability.TYPING,
  Capability.REACHABILITY_PINGS,
  Capability.TRUSTED_CONTACTS,
  Capability.CHALLENGES,
  Capability.KEY_DIGESTS,
  Capability.MESSAGE_REQUESTS,
  Capability.KEM_PREKEYS,
];

/** The choices of a client at login. */
export interface LoginOptions {
  /** Whether this user sends and receives read receipts (RCP-01). Yes by default. */
  readonly readReceipts?: boolean;
  /** The end client's public IP address, set by a proxy only: it makes this a login in proxy mode. */
  readonly clientIp?: string;
  /** Interop protocol version (ENL-15). */
  readonly protocolVersion?: number;
  /** Optional parts that the client knows: what needs another one is not sent to it. */
  readonly capabilities?: readonly Capability[];
}

/**
 * Returns the login of a third-party user.
 *
 * @param jid As the enlistment returned it, `{integrator}-{number}@interop`.
 * @param token A token that the partner issued for this user.
 * @param options Choices.
 * @throws JidError `jid` is not a JID.
 */
export function thirdPartyLogin(jid: string, token: string, options: LoginOptions = {}): LoginPayload {
  return create(LoginPayloadSchema, {
    ...common(options),
    product: Product.INTEROP,
    interopData: {
      accountId: BigInt(parseJid(jid).user),
      token: new TextEncoder().encode(token),
      enableReadReceipts: options.readReceipts ?? true,
    },
  });
}

/**
 * Returns the login of a WhatsApp user, whose auth key alone proves who they are.
 *
 * @param jid `{digits}@s.whatsapp.net`.
 * @param options Choices.
 * @throws JidError `jid` is not a JID.
 */
export function whatsAppLogin(jid: string, options: LoginOptions = {}): LoginPayload {
  return create(LoginPayloadSchema, {
    ...common(options),
    username: BigInt(parseJid(jid).user),
    product: Product.WHATSAPP,
    enableReadReceipts: options.readReceipts ?? true,
  });
}

function common(options: LoginOptions) {
  const clientIp = options.clientIp ?? "";
  return {
    protocolVersion: options.protocolVersion ?? PROTOCOL_VERSION,
    connectionMode: clientIp ? ConnectionMode.PROXY : ConnectionMode.DIRECT,
    clientIp,
    capabilities: [...(options.capabilities ?? CAPABILITIES)],
  };
}
