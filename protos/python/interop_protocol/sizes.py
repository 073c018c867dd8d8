"""Lengths, ranges and limits that both ends must know; knows nothing of what a deployment may configure.

"Policy" marks a value that is not public: it is the simulator's choice, never WhatsApp's.
"""

PROTOCOL_VERSION = 1
"""The interop protocol version that this release speaks (ENL-15); policy: the real numbers are not public."""
UNNAMED_PROTOCOL_VERSION = 1
"""The version of a client that names none: the documented enlistment form has no field for it (ENL-08)."""

PUBLIC_KEY_BYTES = 32
"""A Curve25519 public key without its type byte (KEY-02)."""
PRIVATE_KEY_BYTES = 32
"""A Curve25519 private key."""
SIGNATURE_BYTES = 64
"""An XEdDSA signature (KEY-02)."""
REGISTRATION_ID_BYTES = 4
"""`e_regid`; the full 32-bit range is used (ENL-08)."""
PREKEY_ID_BYTES = 3
"""`e_skey_id` (ENL-08)."""
MIN_PREKEY_ID = 1
"""KEY-02."""
MAX_PREKEY_ID = 16_777_215
"""KEY-02: three bytes; the next id after it is 1."""
MAX_ONE_TIME_PREKEYS = 20_000
"""One-time prekeys in one list (KEY-04)."""
MAX_DEVICES = 100
"""Devices of one account in one list (KEY-08): as many as an account can have in the protocol that is modelled."""
MAX_BUNDLE_USERS = 256
"""Users in one request for prekey bundles (KEY-07); policy: the official schema has 100,000."""
KEM_PUBLIC_KEY_BYTES = 1_568
"""An ML-KEM-1024 encapsulation key (KEY-15)."""
MAX_KEM_PREKEYS = 5_000
"""One-time KEM prekeys in one list (KEY-15)."""
KEY_DIGEST_BYTES = 20
"""KEY-10."""

MAX_TOKEN_BYTES = 4_096
"""A partner's JWT (ENL-06)."""
MIN_INTEGRATOR = 1
"""ENL-02."""
MAX_INTEGRATOR = 999
"""ENL-02."""
MAX_JID_CHARACTERS = 128
"""Longest text that is parsed as a JID; policy."""
MAX_ACCOUNT_ID = (1 << 64) - 1
"""Largest number in a third-party user's JID: the client logs in with it as an unsigned 64-bit number (CHN-06)."""
JID_NUMBER_MIN = 10_000_000_000_000
"""Smallest number that the server gives to a new JID (ENL-12); policy: 14 digits, as in Meta's sample."""
JID_NUMBER_MAX = 99_999_999_999_999
"""Largest number that the server gives to a new JID (ENL-12); policy."""
MAX_RESOLVE_USERS = 256
"""Identifiers in one request to resolve (OPT-08)."""

MAX_RETRIES = 5
"""How often a recipient may ask for the same message again (RCP-04); observed."""

SHA256_BYTES = 32
"""The digest of a ciphertext or of a blocklist (MED-05, ABU-02)."""
TAG_BYTES = 16
"""The tag that AES-GCM adds to what it seals (CHN-02)."""
MAX_ACK_IDS = 4_096
"""Delivery ids in one ack (MSG-09); policy."""
MAX_RECEIPT_IDS = 256
"""Message ids in one receipt (RCP-02)."""
MAX_OFFLINE_BATCH = 200
"""Deliveries of the backlog that one request asks for (MSG-08)."""
MAX_SERVER_FRAME_BYTES = (4 << 20) - 64
"""Longest sealed frame of the server (CHN-09): with what gRPC adds it is under 4 MiB, the default of gRPC clients."""
MIN_CLIENT_FRAME_BYTES = 128 << 10
"""No client may ask for shorter frames than this (CHN-09); policy: a stanza of usual limits fits."""
MAX_FRAME_BYTES = (1 << 24) - 1
"""Hard cap of a frame: its length has three bytes (CHN-09). The server's own cap is lower."""
