/** Opens a gRPC connection to an address, with TLS where a certificate is to be trusted; makes no call. */

import type { Transport as GrpcTransport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { ConnectionEnded } from "../errors.js";

/** Longest message that a client reads, in bytes: gRPC's own default, which this library does not have. */
export const MAX_MESSAGE_BYTES = 4 << 20;
/**
 * How long a connection without a call stays open, and how long `connect-node` keeps one that was closed in memory, with
 * all that it was opened for: a quarter of an hour by its default. A chat channel is a call.
 */
const IDLE_MS = 10_000;

/** One HTTP/2 connection of its own, which opens with the first call. */
export interface OpenedConnection {
  /** Makes calls on it. */
  readonly grpc: GrpcTransport;
  /** Aborted, with a ConnectionEnded as its reason, when it is closed: nothing may wait for an answer any more. */
  readonly closed: AbortSignal;
  /** Ends it, with all that is under way. Idempotent. */
  readonly close: () => void;
}

/**
 * Returns a connection; it connects with the first call. Clients of one process share none (PRX-03).
 *
 * @param address `host:port`.
 * @param ca The certificate to trust, as PEM; empty for no TLS.
 */
export function openConnectionTo(address: string, ca = ""): OpenedConnection {
  const baseUrl = `${ca ? "https" : "http"}://${address}`;
  const options = { idleConnectionTimeoutMs: IDLE_MS };
  const sessionManager = new Http2SessionManager(baseUrl, options, ca ? { ca } : undefined);
  const closing = new AbortController();
  return {
    grpc: createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: MAX_MESSAGE_BYTES }),
    closed: closing.signal,
    close: () => {
      closing.abort(new ConnectionEnded("CLOSED", "This client was closed meanwhile; the call may have been done."));
      sessionManager.abort();
    },
  };
}
