// Words for times, numbers and names; knows no element.

const NUMBER = new Intl.NumberFormat("en");
// What a terminal or a reader could be deceived by: controls, and marks that turn the direction of text.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** 4812 → "4,812". */
export const number = (value) => NUMBER.format(value);

/** "1 message", "2 messages". */
export const count = (value, noun) => `${number(value)} ${noun}${Number(value) === 1 ? "" : "s"}`;

const date = (ms) => {
  const at = new Date(Number(ms));
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
};

/** Milliseconds since the UNIX epoch → "2026-11-29 05:35:37". */
export const dateTime = (ms) => date(ms)?.replace("T", " ").slice(0, -5) ?? "–";

/** Milliseconds since the UNIX epoch → "11-29 05:35:37.248": as long as a log needs. */
export const dayTime = (ms) => date(ms)?.slice(-19, -1).replace("T", " ") ?? "–";

/** Milliseconds since the UNIX epoch → "05:35:37.248". */
export const exactTime = (ms) => date(ms)?.slice(-13, -1) ?? "–";

/** Milliseconds since the UNIX epoch → "05:35"; empty for a time that nobody knows. */
export const shortTime = (ms) => (Number(ms) > 0 ? (date(ms)?.slice(-13, -8) ?? "") : "");

/** Bytes → "214 B" or "3.1 MB". */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** "CIPHERTEXT_TYPE_PREKEY_MESSAGE", "CIPHERTEXT_TYPE_" → "prekey message". */
export const word = (value, prefix = "") =>
  String(value).replace(prefix, "").toLowerCase().replaceAll("_", " ");

/** Shows what cannot be seen: a mark that turns the direction becomes "\u202e". For logs; phones show texts as phones do. */
export const visible = (text) =>
  String(text).replace(UNSEEN, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`);
