/**
 * Lengths, ranges and limits that both ends must know; knows nothing of what a deployment may configure.
 *
 * "Policy" marks a value that is not public: it is the simulator's choice, never WhatsApp's.
 */

/** The interop protocol version that this release speaks (ENL-15); policy: the real numbers are not public. */
export const PROTOCOL_VERSION = 1;

/** A Curve25519 public key without its type byte, in bytes (KEY-02). */
export const PUBLIC_KEY_BYTES = 32;
/** A Curve25519 private key, in bytes. */
export const PRIVATE_KEY_BYTES = 32;
/** An XEdDSA signature, in bytes (KEY-02). */
export const SIGNATURE_BYTES = 64;
/** `e_regid` in bytes; the full 32-bit range is used (ENL-08). */
export const REGISTRATION_ID_BYTES = 4;
/** `e_skey_id` in bytes (ENL-08). */
export const PREKEY_ID_BYTES = 3;
/** The lowest id of a prekey (KEY-02). */
export const MIN_PREKEY_ID = 1;
/** The highest id of a prekey: three bytes; the next id after it is 1 (KEY-02). */
export const MAX_PREKEY_ID = 16_777_215;
/** One-time prekeys in one list (KEY-04). */
export const MAX_ONE_TIME_PREKEYS = 20_000;
/** Devices of one account in one list (KEY-08): as many as an account can have in the protocol that is modelled. */
export const MAX_DEVICES = 100;
/** Users in one request for prekey bundles (KEY-07); policy: the official schema has 100,000. */
export const MAX_BUNDLE_USERS = 256;
/** An ML-KEM-1024 encapsulation key, in bytes (KEY-15). */
export const KEM_PUBLIC_KEY_BYTES = 1_568;
/** One-time KEM prekeys in one list (KEY-15). */
export const MAX_KEM_PREKEYS = 5_000;
/** The digest of an account's public keys, in bytes (KEY-10). */
export const KEY_DIGEST_BYTES = 20;

/** A partner's JWT, in bytes (ENL-06). */
export const MAX_TOKEN_BYTES = 4_096;
/** The lowest number of a partner (ENL-02). */
export const MIN_INTEGRATOR = 1;
/** The highest number of a partner (ENL-02). */
export const MAX_INTEGRATOR = 999;
/** Longest text that is parsed as a JID, in characters; policy. */
export const MAX_JID_CHARACTERS = 128;
/** Largest number in a third-party user's JID: the client logs in with it as an unsigned 64-bit number (CHN-06). */
export const MAX_ACCOUNT_ID = (1n << 64n) - 1n;
/** Identifiers in one request to resolve (OPT-08). */
export const MAX_RESOLVE_USERS = 256;

/** How often a recipient may ask for the same message again (RCP-04); observed. */
export const MAX_RETRIES = 5;

/** The digest of a ciphertext or of a blocklist, in bytes (MED-05, ABU-02). */
export const SHA256_BYTES = 32;
/** The tag that AES-GCM adds to what it seals, in bytes (CHN-02). */
export const TAG_BYTES = 16;
/** Delivery ids in one ack (MSG-09); policy. */
export const MAX_ACK_IDS = 4_096;
/** Message ids in one receipt (RCP-02). */
export const MAX_RECEIPT_IDS = 256;
/** Deliveries of the backlog that one request asks for (MSG-08). */
export const MAX_OFFLINE_BATCH = 200;
/** Longest sealed frame of the server, in bytes (CHN-09): with what gRPC adds it is under 4 MiB. */
export const MAX_SERVER_FRAME_BYTES = (4 << 20) - 64;
/** No client may ask for shorter frames than this, in bytes (CHN-09); policy: a stanza of usual limits fits. */
export const MIN_CLIENT_FRAME_BYTES = 128 << 10;
/** Hard cap of a frame, in bytes: its length has three bytes (CHN-09). The server's own cap is lower. */
export const MAX_FRAME_BYTES = (1 << 24) - 1;
