/**
 * How texts are read from protobufs and written to them: as they are. Whatever does either imports this for its effect.
 *
 * By itself, `@bufbuild/protobuf` drops a byte order mark at the beginning of a text. Then a text is not what its sender
 * wrote, and the id of a message is not the one that the server and the sender know it by. Half of a surrogate pair it
 * writes as another character: then a message goes to another JID, and its answer is for another id. The setting is for
 * all of the process that uses the same copy of that library.
 */

import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";

const encoder = new TextEncoder();
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

configureTextEncoding({
  ...getTextEncoding(),
  encodeUtf8: (text) => {
    if (!isUnicode(text)) {
      throw new TypeError("half of a surrogate pair is no Unicode text");
    }
    return encoder.encode(text);
  },
  decodeUtf8: (bytes, isStrict = false) => (isStrict ? strict : lenient).decode(bytes),
});

/** Says whether a text is one: JavaScript's can have halves of surrogate pairs, of which UTF-8 has none. */
export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
