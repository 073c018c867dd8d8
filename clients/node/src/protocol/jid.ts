/** JIDs, the addresses of the protocol, and why a text is not one; knows no account. */

import { MAX_ACCOUNT_ID, MAX_JID_CHARACTERS } from "./sizes.js";

/** Server part of a third-party user's JID. */
export const INTEROP_SERVER = "interop";
/** Server part of a WhatsApp user's JID. */
export const WHATSAPP_SERVER = "s.whatsapp.net";

/** Why a text is not a JID of this service. */
export type JidErrorReason =
  | "GROUP_ADDRESS"
  | "NUMBER_BASED_ADDRESS"
  | "USER_VISIBLE_IDENTIFIER"
  | "CALL_ADDRESS"
  | "UNSUPPORTED_ADDRESS"
  | "UNSUPPORTED_DEVICE"
  | "MALFORMED";

/** A text is not a JID of this service. The text itself may be personal data, so the message does not repeat it. */
export class JidError extends Error {
  override readonly name = "JidError";

  constructor(readonly reason: JidErrorReason) {
    super(reason);
  }
}

const NUMBER_SCHEMES = ["sms:", "smsto:", "mms:", "mmsto:", "tel:"];
const OTHER_SERVERS: ReadonlyMap<string, JidErrorReason> = new Map([
  ["g.us", "GROUP_ADDRESS"],
  ["call", "CALL_ADDRESS"],
  ["lid", "UNSUPPORTED_ADDRESS"],
  ["msgr", "UNSUPPORTED_ADDRESS"],
  ["newsletter", "UNSUPPORTED_ADDRESS"],
  ["broadcast", "UNSUPPORTED_ADDRESS"],
  ["bot", "UNSUPPORTED_ADDRESS"],
  ["hosted", "UNSUPPORTED_ADDRESS"],
  ["hosted.lid", "UNSUPPORTED_ADDRESS"],
]);
const THIRD_PARTY = /^([1-9][0-9]{0,2})-([1-9][0-9]{0,19})(:(?:0|[1-9][0-9]?))?@interop$/;
const WHATSAPP = /^([1-9][0-9]{4,14})(:(?:0|[1-9][0-9]?))?@s\.whatsapp\.net$/;
const PRIMARY_DEVICE = ":0";

/** The internal identifier of a user who can receive messages (MSG-01). */
export class Jid {
  /**
   * @param user Digits: the account's number at a partner, or a WhatsApp user's phone number without its plus sign.
   * @param server `INTEROP_SERVER` or `WHATSAPP_SERVER`.
   * @param integrator The partner, 1 to 999; 0 for a WhatsApp user.
   */
  constructor(
    readonly user: string,
    readonly server: string,
    readonly integrator: number,
  ) {}

  /** The canonical text of this JID. */
  get text(): string {
    return this.integrator ? thirdPartyJid(this.integrator, this.user) : whatsappJid(this.user);
  }

  /** Whether this is a WhatsApp user. */
  get isWhatsapp(): boolean {
    return this.server === WHATSAPP_SERVER;
  }

  /** Returns the canonical text. */
  toString(): string {
    return this.text;
  }
}

/** Returns the JID of a partner's account (ENL-12). */
export function thirdPartyJid(integrator: number, number: bigint | string): string {
  return `${integrator}-${number}@${INTEROP_SERVER}`;
}

/** Returns the JID of a WhatsApp user, from the digits of the phone number. */
export function whatsappJid(phoneNumber: string): string {
  return `${phoneNumber}@${WHATSAPP_SERVER}`;
}

/**
 * Parses `{integrator}-{number}@interop` or `{phone number}@s.whatsapp.net`.
 *
 * Partner accounts have one device and WhatsApp users are addressed as a whole, so a device suffix may only be `:0`,
 * which is dropped. Source: ENL-12, KEY-08, MSG-01.
 *
 * @param text Any text that somebody gave as an address.
 * @throws JidError: GROUP_ADDRESS, CALL_ADDRESS, UNSUPPORTED_ADDRESS (another kind of JID), NUMBER_BASED_ADDRESS (a URI
 *   such as `sms:`), USER_VISIBLE_IDENTIFIER (not a JID at all, such as a phone number, an e-mail address or a
 *   user name), UNSUPPORTED_DEVICE, or MALFORMED (empty, too long, or not in the form of a JID of this service).
 */
export function parseJid(text: string): Jid {
  // Characters are code points: a text of more than that many UTF-16 units may still be short enough.
  if (text.length > MAX_JID_CHARACTERS && [...text].length > MAX_JID_CHARACTERS) {
    throw new JidError("MALFORMED");
  }
  const [, integrator, number, device] = THIRD_PARTY.exec(text) ?? [];
  if (integrator !== undefined && number !== undefined) {
    if (BigInt(number) > MAX_ACCOUNT_ID) {
      throw new JidError("MALFORMED");
    }
    checkDevice(device);
    return new Jid(number, INTEROP_SERVER, Number(integrator));
  }
  const [, phone, phoneDevice] = WHATSAPP.exec(text) ?? [];
  if (phone !== undefined) {
    checkDevice(phoneDevice);
    return new Jid(phone, WHATSAPP_SERVER, 0);
  }
  throw new JidError(reasonFor(text));
}

function checkDevice(device: string | undefined): void {
  if ((device ?? PRIMARY_DEVICE) !== PRIMARY_DEVICE) {
    throw new JidError("UNSUPPORTED_DEVICE");
  }
}

function reasonFor(text: string): JidErrorReason {
  const lowered = text.toLowerCase();
  if (NUMBER_SCHEMES.some((scheme) => lowered.startsWith(scheme))) {
    return "NUMBER_BASED_ADDRESS";
  }
  const at = lowered.lastIndexOf("@");
  const server = lowered.slice(at + 1);
  if (text === "" || (at >= 0 && (server === INTEROP_SERVER || server === WHATSAPP_SERVER))) {
    return "MALFORMED";
  }
  return (at >= 0 && OTHER_SERVERS.get(server)) || "USER_VISIBLE_IDENTIFIER";
}
