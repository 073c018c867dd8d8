/** Where a simulator is reached, as a value: a server says it of itself, and clients read it; opens no connection. */

import { PUBLIC_KEY_BYTES } from "./sizes.js";

/** One server, as its clients know it. */
export interface ServerAddress {
  /** Address of the gRPC surface, `host:port`. */
  readonly grpc: string;
  /** The root that certifies the server's static key, 32 bytes (CHN-04). */
  readonly rootPublicKey: Uint8Array;
  /** Base URL of the HTTP surface, without a slash at the end. */
  readonly http: string;
  /** The certificate that signs the server's for TLS, as PEM; empty for no TLS. */
  readonly ca: string;
}

/** The addresses of one simulator. Use it wherever a ServerAddress is expected. */
export interface Endpoint extends ServerAddress {
  /** Address of the admin service, `host:port`. */
  readonly admin: string;
  /** What admin calls need; empty when they need none. */
  readonly adminToken: string;
}

/**
 * Reads the line of JSON that `interopsim up` prints when it is ready.
 *
 * @throws SyntaxError: The text is not such a line.
 */
export function endpointFromReadyLine(line: string): Endpoint {
  const facts: unknown = JSON.parse(line);
  if (typeof facts !== "object" || facts === null) {
    throw new SyntaxError("this is not the ready line of a server");
  }
  const text = (name: string, absent?: string): string => {
    const value: unknown = Reflect.get(facts, name) ?? absent;
    if (typeof value !== "string") {
      throw new SyntaxError(`the ready line of a server has no ${name}`);
    }
    return value;
  };
  const rootPublicKey = new Uint8Array(Buffer.from(text("root_public_key"), "hex"));
  if (rootPublicKey.length !== PUBLIC_KEY_BYTES) {
    throw new SyntaxError(`a root key has ${PUBLIC_KEY_BYTES} bytes, not ${rootPublicKey.length}`);
  }
  return {
    grpc: text("grpc"),
    rootPublicKey,
    http: text("http"),
    ca: text("ca", ""),
    admin: text("admin"),
    adminToken: text("admin_token", ""),
  };
}
