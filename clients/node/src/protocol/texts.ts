/**
 * How texts are read from protobufs: as they are. Whatever reads a protobuf with texts imports this for its effect.
 *
 * By itself, `@bufbuild/protobuf` drops a byte order mark at the beginning of a text. Then a text is not what its sender
 * wrote, and the id of a message is not the one that the server and the sender know it by. The setting is for all of
 * the process that uses the same copy of that library.
 */

import { configureTextEncoding, getTextEncoding } from "@bufbuild/protobuf/wire";

const lenient = new TextDecoder("utf-8", { ignoreBOM: true });
const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

configureTextEncoding({
  ...getTextEncoding(),
  decodeUtf8: (bytes, isStrict = false) => (isStrict ? strict : lenient).decode(bytes),
});
