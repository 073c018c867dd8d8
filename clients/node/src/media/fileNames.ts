/**
 * Makes the name of a file harmless, whoever chose it; knows no file system.
 *
 * A sender chooses the name under which a recipient stores a file. A harmless name is one component of a path on every
 * common system, looks like what it is, and can be sent: the recipient's client makes every name harmless, and a
 * sender's client does so before the upload. Source: content.proto, `file_name`; otherwise policy.
 */

/** The longest name of a file on common systems, in UTF-8. */
export const MAX_NAME_BYTES = 255;
/** How long the part after the last dot may be to survive when a name is shortened. */
export const MAX_EXTENSION_BYTES = 32;
/** Instead of a name of which nothing is left. */
export const UNNAMED = "file";

/** Not allowed in a name on Windows; a colon would begin the name of a stream. */
const RESERVED = /[<>:"|?*]/gu;
const DEVICE = /^(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9¹²³])$/u;
/** Of the format characters, the joiners are part of words and emoji. */
const INVISIBLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}]/gu;

/** What is seen by itself: of marks and joiners alone, nobody sees a name. New emoji, or a company's own, are. */
const SEEN = /[\p{L}\p{N}\p{P}\p{S}\p{Cn}\p{Co}]/u;

/**
 * Returns the last component of a name, without what could deceive or harm; `file` when nothing is left.
 *
 * @param name Any text, also one with lone surrogates.
 * @returns 1 to 255 bytes of UTF-8 that are a single component of a path: no separator of any system, no control or
 *   invisible direction characters, not `.` or `..`, and not the name of a Windows device.
 */
export function harmlessName(name: string): string {
  const text = new TextDecoder().decode(new TextEncoder().encode(name)); // a lone surrogate becomes U+FFFD
  const component = text
    .replaceAll("\\", "/")
    .replace(/[\u2028\u2029]/gu, " ")
    .replace(/\/+$/u, "")
    .split("/")
    .at(-1);
  let kept = (component ?? "").replace(INVISIBLE, "").replace(RESERVED, "_");
  kept = shortened(kept.replace(/^ +/u, "").replace(/[ .]+$/u, ""));
  if (DEVICE.test((kept.split(".")[0] ?? "").replace(/ +$/u, "").toUpperCase())) {
    kept = shortened(`_${kept}`);
  }
  return SEEN.test(kept) ? kept : UNNAMED;
}

function shortened(name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) {
    return name;
  }
  const dot = name.lastIndexOf(".");
  const keepsExtension =
    dot > 0 && Buffer.byteLength(name) - Buffer.byteLength(name.slice(0, dot)) - 1 <= MAX_EXTENSION_BYTES;
  const [stem, extension] = keepsExtension ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  const room = MAX_NAME_BYTES - Buffer.byteLength(extension);
  return wholeCharacters(stem, room).replace(/[ .]+$/u, "") + extension;
}

/** Returns the beginning of a text that has at most so many bytes of UTF-8, up to a whole character. */
export function wholeCharacters(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  let end = Math.min(maxBytes, bytes.length);
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end -= 1;
  }
  return bytes.toString("utf8", 0, end);
}
