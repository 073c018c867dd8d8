/**
 * A client of the interop server: for a third-party messenger's account, and for a WhatsApp user's.
 *
 * Read in this order to write a client of your own:
 *
 * 1. `protocol`: handshake, certificates, addresses.
 * 2. `connection`: `channel` (Noise and frames), then `transport`; `proxyFrames` for a messenger's proxy.
 * 3. `signal`: sessions.
 * 4. `keys`: prekeys, published and refilled.
 * 5. `messaging`: `inbox` and `openConnection` (deliveries), `outgoing` (messages), `retries` (broken sessions repaired).
 * 6. `media`: files.
 * 7. `client`, then `thirdParty` or `whatsapp`.
 */

export { InteropClient, WAIT_SECONDS } from "./client.js";
export { CAPABILITIES, type LoginOptions } from "./connection/login.js";
export { type ProxyLogin, ProxyTransport } from "./connection/proxyTransport.js";
export { type BlobStreams, DirectTransport, type LoginFactory, type Transport } from "./connection/transport.js";
export {
  ConnectionEnded,
  LoginRefused,
  type Recovery,
  type RefusalFacts,
  ServerRefusal,
  TimeoutError,
  Unreachable,
  type Violation,
} from "./errors.js";
export { DEFAULT_PREKEYS } from "./keys/prekeys.js";
export { type Log, log } from "./log.js";
export { type EncryptedMedia, type MediaCheck, MediaTampered, MediaType } from "./media/crypto.js";
export { harmlessName } from "./media/fileNames.js";
export type { MediaReference } from "./media/reference.js";
export { type MediaHost, mediaHost, type Progress } from "./media/upload.js";
export type * from "./messaging/events.js";
export { UNKNOWN_TYPE } from "./messaging/events.js";
export type { FindSent, SentMessage } from "./messaging/outgoing.js";
export type { ClientOptions } from "./options.js";
export { CertificateError } from "./protocol/certificates.js";
export { type Endpoint, endpointFromReadyLine, type ServerAddress } from "./protocol/endpoint.js";
export { JidError, parseJid } from "./protocol/jid.js";
export { RemoteProtocolError } from "./protocol/noise.js";
export * from "./signal/errors.js";
export { ClientState, DurableState, MemoryStore, StateFile, type StateStore } from "./state.js";
export { type ImageFacts, ThirdPartyClient, type TokenSource } from "./thirdParty.js";
export { WhatsAppClient } from "./whatsapp.js";
