"""Every reason for a refusal, one row each: its meaning and its consequences; knows no gRPC and no HTTP library.

`make gen` writes the enum `ErrorReason` of errors.proto from this table.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Self


@unique
class Category(Enum):
    """The kind of refusal that a reason is, with the kind's codes over HTTP and on the modelled wire."""

    INVALID_REQUEST = 1, 400, 400
    UNAUTHENTICATED = 2, 401, 401
    PERMISSION_DENIED = 3, 403, 403
    NOT_FOUND = 4, 404, 404
    ALREADY_EXISTS = 5, 409, 409
    FAILED_PRECONDITION = 6, 405, 409
    ABORTED = 7, 409, 409
    RESOURCE_EXHAUSTED = 8, 429, 429
    UNAVAILABLE = 9, 503, 503
    DEADLINE_EXCEEDED = 10, 503, 504
    INTERNAL = 11, 500, 500

    code: int
    """The kind's code on the modelled wire, as observed (KEY-13, CHN-10)."""
    http_status: int
    """The kind's status over HTTP."""

    def __new__(cls, number: int, code: int, http_status: int) -> Self:
        """Makes a member whose value is its number."""
        category = object.__new__(cls)
        category._value_ = number
        category.code = code
        category.http_status = http_status
        return category


class Recovery(Enum):
    """What a client does after a refusal. Names and numbers are those of `Recovery` in errors.proto."""

    NEVER = 1
    """The same request is refused again: change the request, or what it depends on, as the advice says."""
    SAME_AGAIN = 2
    """Send the same again after the delay in the refusal, or else with back-off."""
    RECONNECT = 3
    """Open a new connection, after the delay in the refusal, or else with back-off."""
    NEW_TOKEN = 4
    """Get a fresh token from the partner, then try again."""
    ENLIST = 5
    """Enlist again, then connect with the JID that this returns."""
    NEW_KEYS = 6
    """Make new keys and publish them."""
    REFRESH_DEVICES = 7
    """Take the device list from the refusal, and bundles for devices that are new on it, then send again."""
    CHALLENGE = 8
    """Request a challenge and answer it."""

    @property
    def retry_after_ms(self) -> int | None:
        """The delay where the place that refuses knows none: where a retry helps, there is always one."""
        return _BACK_OFF_MS if self in (Recovery.SAME_AGAIN, Recovery.RECONNECT) else None


_OF_PLACE = ""
"""Several rules are broken in that way: each place that refuses names its own."""
_BACK_OFF_MS = 1_000
"""What a client waits before a new attempt whose time nobody knows; policy, as `reconnect_ms`."""
_NEW_KEYS = 406
"""The code on which observed clients make new keys (KEY-13)."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The properties of a reason."""

    number: int
    category: Category
    requirement: str
    recovery: Recovery
    meaning: str
    advice: str
    code: int = 0
    login_code: int = 0
    http_status: int = 0


@unique
class Reason(Enum):
    """Why a request, stanza or login was refused. Names and numbers are those of `ErrorReason` in errors.proto."""

    category: Category
    """What kind of refusal it is."""
    requirement: str
    """Id of the requirement that is broken unless the place that refuses names another; empty when each place must."""
    recovery: Recovery
    """What a client does about it."""
    meaning: str
    """The reason's comment in the contract."""
    advice: str
    """What a person can do about it."""
    code: int
    """The code on the modelled wire: the reason's own, or that of its category."""
    login_code: int
    """The code when a login is refused (CHN-10)."""
    http_status: int
    """The status over HTTP: the reason's own, or that of its category."""

    def __new__(cls, row: _Row) -> Self:
        """Makes a member whose value is its number on the wire."""
        reason = object.__new__(cls)
        reason._value_ = row.number
        reason.category, reason.requirement, reason.recovery = row.category, row.requirement, row.recovery
        reason.meaning, reason.advice = row.meaning, row.advice
        reason.code = row.code or row.category.code
        reason.login_code = row.login_code or reason.code
        reason.http_status = row.http_status or row.category.http_status
        return reason

    # fmt: off
    BAD_INTEGRATOR = _Row(1, Category.PERMISSION_DENIED, "ENL-01", Recovery.NEVER,
        "The token's issuer is not a registered partner, or the token speaks for another one (ENL-01, T1).",
        "Use a token whose `iss` is the issuer that this partner is registered with.", login_code=401)
    PARTNER_NOT_ACTIVE = _Row(2, Category.PERMISSION_DENIED, "ENL-01", Recovery.NEVER,
        "The partner is registered but onboarding, suspended or removed (ENL-01).",
        "Set the partner's status to active with the admin call PutPartner.")
    TOKEN_TOO_LARGE = _Row(3, Category.INVALID_REQUEST, "ENL-06", Recovery.NEVER,
        "The token is longer than 4,096 bytes (ENL-06).",
        "Issue tokens of at most 4,096 bytes.")
    TOKEN_MALFORMED = _Row(4, Category.UNAUTHENTICATED, "ENL-05", Recovery.NEVER,
        "The token is not a compact JWS with a JSON object in it (ENL-05).",
        "Send a compact JWS: three base64url parts joined by dots.")
    TOKEN_ALGORITHM_REFUSED = _Row(5, Category.UNAUTHENTICATED, "ENL-05", Recovery.NEVER,
        "The token is signed with anything but RS256 (ENL-05).",
        "Sign tokens with RS256; nothing else is accepted.")
    TOKEN_KEY_UNKNOWN = _Row(6, Category.UNAUTHENTICATED, "ENL-04", Recovery.NEW_TOKEN,
        "The token names no `kid`, or one that the partner's key set does not hold (ENL-04).",
        "Put a `kid` into the token's header that your JWKS serves with use=sig, alg=RS256.")
    TOKEN_SIGNATURE_INVALID = _Row(7, Category.UNAUTHENTICATED, "ENL-03", Recovery.NEW_TOKEN,
        "The signature does not verify under the partner's cached key (ENL-03).",
        "Sign with the private key that belongs to the `kid` in your JWKS.")
    TOKEN_EXPIRED = _Row(8, Category.UNAUTHENTICATED, "ENL-05", Recovery.NEW_TOKEN,
        "The token's `exp` has passed (ENL-05).",
        "Get a fresh token from your messenger's server and try again.")
    TOKEN_NOT_YET_VALID = _Row(9, Category.UNAUTHENTICATED, "ENL-05", Recovery.NEW_TOKEN,
        "The token's `nbf` or `iat` lies in the future (ENL-05).",
        "Check the clock of the server that issues the tokens, and get a fresh one.")
    TOKEN_LIFETIME_TOO_LONG = _Row(10, Category.UNAUTHENTICATED, "ENL-05", Recovery.NEVER,
        "The token lives longer than policy allows (ENL-05).",
        "Issue tokens with a shorter life.")
    TOKEN_CLAIMS_INVALID = _Row(11, Category.UNAUTHENTICATED, "ENL-07", Recovery.NEVER,
        "A required claim is absent or has the wrong type or value (ENL-07).",
        "A token needs `iss`, `sub`, `aud`, `iat` and `exp` of the right types.")
    TOKEN_SUBJECT_MISMATCH = _Row(12, Category.PERMISSION_DENIED, "ENL-07", Recovery.NEVER,
        "The token speaks for another user than the account that it is used for (ENL-07, T2).",
        "Use a token whose `sub` is the user-visible identifier that was enlisted.", login_code=401)
    JWKS_UNAVAILABLE = _Row(13, Category.UNAVAILABLE, "ENL-03", Recovery.SAME_AGAIN,
        "No usable key set of the partner could be fetched so far (ENL-03).",
        "Serve your key set at /.well-known/oauth/openid/jwks, then call RefreshJwks.")
    KEY_MALFORMED = _Row(14, Category.INVALID_REQUEST, _OF_PLACE, Recovery.NEW_KEYS,
        "A key, id or signature has the wrong length, range or encoding, or a key has low order (ENL-08, KEY-02).",
        "Check lengths and ranges of keys, ids and signatures.", code=_NEW_KEYS)
    PREKEY_SIGNATURE_INVALID = _Row(15, Category.INVALID_REQUEST, "ENL-10", Recovery.NEW_KEYS,
        "A signed prekey's signature does not verify under the identity key (ENL-10, KEY-13).",
        "Sign `0x05 ‖ public key` with XEdDSA under the identity key; regenerate the keys.", code=_NEW_KEYS)
    PROTOCOL_VERSION_TOO_OLD = _Row(16, Category.FAILED_PRECONDITION, "ENL-15", Recovery.NEVER,
        "The client speaks an interop protocol version under the floor (ENL-15).",
        "Update the client.")
    LOCATION_NOT_ALLOWED = _Row(17, Category.PERMISSION_DENIED, "ENL-16", Recovery.NEVER,
        "The user is not located where third-party users must be (ENL-16, T17).",
        "Third-party users must be located in the European Economic Area: connect from there.")

    HANDSHAKE_OUT_OF_ORDER = _Row(20, Category.FAILED_PRECONDITION, "CHN-01", Recovery.NEVER,
        "A handshake message or frame came where the protocol allows none (CHN-01).",
        "Send client_hello, await server_hello, send client_finish, then only sealed frames.")
    HANDSHAKE_MALFORMED = _Row(21, Category.INVALID_REQUEST, "CHN-03", Recovery.NEVER,
        "A handshake message has a wrong length or is not a handshake message (CHN-03).",
        "Check the lengths of the handshake fields.")
    HANDSHAKE_AUTHENTICATION_FAILED = _Row(22, Category.UNAUTHENTICATED, "CHN-02", Recovery.NEVER,
        "A handshake message was altered or made with other keys (CHN-02).",
        "Check prologue, key order and transcript hash of Noise_XX_25519_AESGCM_SHA256.")
    LOGIN_MALFORMED = _Row(23, Category.INVALID_REQUEST, _OF_PLACE, Recovery.NEVER,
        "The login payload does not parse or misses a field (CHN-06).",
        "Check the login payload's fields.")
    NOT_ENLISTED = _Row(24, Category.UNAUTHENTICATED, "CHN-10", Recovery.ENLIST,
        "The account does not exist (any more): enlist (again) (CHN-10, LIF-03).",
        "Enlist, then connect with the JID that the enlistment returned.")
    AUTH_KEY_MISMATCH = _Row(25, Category.UNAUTHENTICATED, "CHN-07", Recovery.ENLIST,
        "The Noise static key is not the enlisted auth key (CHN-07).",
        "Use the static key that was enlisted as `authkey`, or enlist again.")
    FRAME_AUTHENTICATION_FAILED = _Row(26, Category.UNAUTHENTICATED, "CHN-05", Recovery.RECONNECT,
        "A sealed frame did not authenticate (CHN-05).",
        "Check key direction and nonce counter; reconnect.")
    FRAME_TOO_LARGE = _Row(27, Category.INVALID_REQUEST, "CHN-09", Recovery.NEVER,
        "A frame is longer than the limit (CHN-09).",
        "Split the batch: frames are limited to `max_frame_bytes`.")
    FRAME_MALFORMED = _Row(28, Category.INVALID_REQUEST, "CHN-09", Recovery.NEVER,
        "A frame's plaintext is not a batch of stanzas; the connection ends (CHN-09).",
        "Seal one serialised Batch per frame, with at least one stanza.")
    BATCH_TOO_LARGE = _Row(29, Category.INVALID_REQUEST, "CHN-09", Recovery.NEVER,
        "A batch holds more stanzas than the limit (CHN-09).",
        "Split the batch: it is limited to `max_batch_stanzas`.")
    CONNECTION_REPLACED = _Row(30, Category.ABORTED, "CHN-11", Recovery.NEVER,
        "The account logged in elsewhere; this connection is over (CHN-11).",
        "The account logged in elsewhere; do not reconnect on your own.")
    CONNECTION_SILENT = _Row(31, Category.ABORTED, "CHN-12", Recovery.RECONNECT,
        "Nothing was heard from the client for too long (CHN-12).",
        "Send a ping every 20 to 30 seconds; reconnect.")
    CONNECTION_MULTIPLEXED = _Row(32, Category.PERMISSION_DENIED, "PRX-03", Recovery.NEVER,
        "A stanza names another sender than the account of its connection (PRX-03).",
        "Use one connection per account; leave `from_jid` empty.")
    SESSION_REQUIRED = _Row(33, Category.UNAUTHENTICATED, "CHN-01", Recovery.RECONNECT,
        "The call carries no session token: connect first (CHN-01).",
        "Connect first, then send `authorization: Bearer {session_token}`.")
    SESSION_DEAD = _Row(34, Category.UNAUTHENTICATED, "CHN-01", Recovery.RECONNECT,
        "The session token's connection has ended (CHN-01).",
        "The connection of this session has ended: connect again.")
    SERVER_DRAINING = _Row(35, Category.UNAVAILABLE, "CHN-10", Recovery.RECONNECT,
        "The server is stopping; reconnect (CHN-10).",
        "Reconnect with back-off.")
    HANDSHAKE_TIMEOUT = _Row(36, Category.DEADLINE_EXCEEDED, "CHN-01", Recovery.RECONNECT,
        "The login did not arrive in time (CHN-01).",
        "Send the handshake without pauses; reconnect.")
    ENLISTMENT_EXPIRED = _Row(37, Category.UNAUTHENTICATED, "LIF-04", Recovery.ENLIST,
        "The account was un-enlisted because it had not connected for thirty days by default: enlist again (LIF-04).",
        "Thirty days passed without a connection: enlist again, you get a new JID.")
    TEMPORARILY_BANNED = _Row(38, Category.PERMISSION_DENIED, "ABU-05", Recovery.RECONNECT,
        "The account is banned for a time; `LoginFailure.sub_code` says what for (ABU-05).",
        "Connect again when the ban has ended, and write to people who want to hear from you.", code=402)
    BANNED = _Row(39, Category.PERMISSION_DENIED, "ABU-05", Recovery.NEVER,
        "The account is banned for good (ABU-05).",
        "The account is banned for good; the operator can lift it.", code=406)
    PROXY_NOT_ALLOWED = _Row(40, Category.PERMISSION_DENIED, "PRX-01", Recovery.NEVER,
        "The partner's agreement does not allow proxy mode (PRX-01).",
        "Connect directly, or let the operator set the partner's proxy_allowed.")
    CLIENT_ADDRESS_INVALID = _Row(41, Category.INVALID_REQUEST, "PRX-02", Recovery.NEVER,
        "Proxy mode without a public client IP address (PRX-02).",
        "Give the end client's public IPv4 or IPv6 address in `client_ip`.")
    KEYS_REPLACED = _Row(42, Category.ABORTED, "ENL-14", Recovery.RECONNECT,
        "The account was enlisted or registered again with other keys: the connection was proved with keys "
        "that are not the account's any more (ENL-14, CHN-07).",
        "Connect with the new keys; if you did not enlist again, somebody else with your token did.")
    STANZA_MALFORMED = _Row(43, Category.INVALID_REQUEST, _OF_PLACE, Recovery.NEVER,
        "A stanza lacks what it needs, or a field of it is out of range or of the wrong form; the connection "
        "goes on (CHN-09).",
        "Check the named field against the comments in stanza.proto.")
    STANZA_UNKNOWN = _Row(44, Category.INVALID_REQUEST, "CHN-09", Recovery.NEVER,
        "A stanza has no kind that the server knows, or one that only the server sends; the connection goes "
        "on (CHN-09).",
        "Send only the kinds of stanza that stanza.proto allows to clients.")

    REQUEST_MALFORMED = _Row(50, Category.INVALID_REQUEST, _OF_PLACE, Recovery.NEVER,
        "A request field is absent, too long, out of range or of the wrong form.",
        "Check the named field against the comments in the protos, which `interopsim protos DIR` writes.")
    TOO_MANY_ITEMS = _Row(51, Category.INVALID_REQUEST, _OF_PLACE, Recovery.NEVER,
        "A list in the request is longer than the limit.",
        "Keep lists within the limits given in the protos, which `interopsim protos DIR` writes.")
    PREKEY_ID_DUPLICATE = _Row(52, Category.INVALID_REQUEST, "KEY-04", Recovery.NEW_KEYS,
        "One request holds the same prekey id twice (KEY-04).",
        "Give every one-time prekey of a request its own id.", code=_NEW_KEYS)
    PREKEY_REUSED = _Row(53, Category.ALREADY_EXISTS, "KEY-04", Recovery.NEW_KEYS,
        "A one-time prekey was published by this account before (KEY-04).",
        "Generate new one-time prekeys; never publish one twice.", code=_NEW_KEYS)
    PREKEYS_NOT_SET = _Row(54, Category.FAILED_PRECONDITION, "KEY-01", Recovery.NEVER,
        "The account has not published its keys (KEY-01).",
        "Publish keys first: SetPreKeys.")
    IDENTITY_KEY_MISMATCH = _Row(55, Category.FAILED_PRECONDITION, "ENL-13", Recovery.ENLIST,
        "The identity key differs from the enlisted one (ENL-13).",
        "To change the identity key, enlist again.")
    KEM_PREKEYS_OFF = _Row(56, Category.FAILED_PRECONDITION, "KEY-15", Recovery.NEVER,
        "Post-quantum prekeys are off (KEY-15).",
        "Leave KEM prekeys out, or let the operator start the server with kem_prekeys=true.")
    QUOTA_EXCEEDED = _Row(57, Category.RESOURCE_EXHAUSTED, _OF_PLACE, Recovery.NEVER,
        "As much of this kind is stored for the account as the limit allows (ABU-01, KEY-03).",
        "Remove something first: what is stored does not become less by waiting.")

    RECIPIENT_NOT_REACHABLE = _Row(60, Category.NOT_FOUND, "OPT-09", Recovery.NEVER,
        "Unknown, un-enlisted, not opted in or otherwise out of reach: one answer for all (OPT-09).",
        "The person cannot be reached: ask them to turn on third-party chats with your messenger.")
    SENDER_NOT_OPTED_IN = _Row(61, Category.FAILED_PRECONDITION, "OPT-01", Recovery.NEVER,
        "The sending WhatsApp user has third-party chats off, or off for this partner (OPT-01, OPT-06).",
        "Turn on third-party chats for the recipient's messenger with OptIn.")
    RECIPIENT_BLOCKED_BY_SENDER = _Row(62, Category.FAILED_PRECONDITION, "MSG-06", Recovery.NEVER,
        "The sender has blocked the recipient (MSG-06).",
        "Unblock the recipient first.")
    USER_VISIBLE_IDENTIFIER = _Row(63, Category.INVALID_REQUEST, "MSG-01", Recovery.NEVER,
        "An address is a user-visible identifier, not a JID (MSG-01).",
        "Address people by JID; get it from Resolve.")
    ADDRESS_MALFORMED = _Row(64, Category.INVALID_REQUEST, "MSG-01", Recovery.NEVER,
        "An address is not a JID of this service (MSG-01).",
        "Use `{integrator}-{number}@interop` or `{digits}@s.whatsapp.net`.")
    NUMBER_BASED_NOT_SUPPORTED = _Row(65, Category.FAILED_PRECONDITION, "MSG-12", Recovery.NEVER,
        "SMS and other number-based messages are not interoperable (DMA art. 7; MSG-12).",
        "SMS and other number-based services are outside interoperability; use a chat.")
    CALLS_NOT_SUPPORTED = _Row(66, Category.FAILED_PRECONDITION, "MSG-12", Recovery.NEVER,
        "Voice and video calls are not interoperable yet (MSG-12).",
        "Calls are outside interoperability for now; send a message.")
    GROUPS_NOT_SUPPORTED = _Row(67, Category.FAILED_PRECONDITION, "LIF-06", Recovery.NEVER,
        "Groups are not modelled (LIF-06).",
        "Write to one person at a time.")
    ROUTE_NOT_SUPPORTED = _Row(68, Category.FAILED_PRECONDITION, "MSG-06", Recovery.NEVER,
        "Exactly one end of a third-party chat is a WhatsApp user (MSG-06).",
        "One end of the chat must be a WhatsApp user, the other a third-party user.")
    DEVICE_LIST_MISMATCH = _Row(69, Category.FAILED_PRECONDITION, "MSG-03", Recovery.REFRESH_DEVICES,
        "The `enc` list does not match the recipient's device list (MSG-03).",
        "Send exactly one `enc`, for device 0.")
    MESSAGE_TOO_LARGE = _Row(70, Category.INVALID_REQUEST, "MSG-11", Recovery.NEVER,
        "The ciphertext is longer than the limit (MSG-11).",
        "Send large content as media.")
    MAILBOX_FULL = _Row(71, Category.RESOURCE_EXHAUSTED, "MSG-11", Recovery.SAME_AGAIN,
        "The recipient's mailbox is full; retry later (MSG-11).",
        "Retry after the delay; the recipient has to fetch messages first.")
    RATE_LIMITED = _Row(72, Category.RESOURCE_EXHAUSTED, _OF_PLACE, Recovery.SAME_AGAIN,
        "Too many requests of this kind; retry after the delay (MSG-11, OPT-09).",
        "Slow down; retry after the delay.", login_code=503)
    NEW_CHATS_CAPPED = _Row(73, Category.RESOURCE_EXHAUSTED, "ABU-05", Recovery.CHALLENGE,
        "The sender has opened too many new chats that are unanswered; wait, or answer a challenge (ABU-05, "
        "ABU-06).",
        "Wait for answers or for the delay, or answer a challenge: RequestChallenge.", code=475)
    NEW_CHATS_LOCKED = _Row(74, Category.RESOURCE_EXHAUSTED, "ABU-05", Recovery.CHALLENGE,
        "The sender may not open new chats for a time, because of reports (ABU-05).",
        "People have reported you: wait for the delay, or answer a challenge.", code=463)
    CHALLENGE_INVALID = _Row(75, Category.FAILED_PRECONDITION, "ABU-06", Recovery.CHALLENGE,
        "The challenge is unknown, answered or expired, or the answer is wrong (ABU-06).",
        "Call RequestChallenge and answer the new one.")
    ADDRESS_NAMES_DEVICE = _Row(76, Category.FAILED_PRECONDITION, "MSG-01", Recovery.NEVER,
        "An address names a device, where the account as a whole is meant (MSG-01).",
        "Leave the device out of the JID: the server knows the recipient's devices.")
    MESSAGE_ID_REUSED = _Row(77, Category.ALREADY_EXISTS, "MSG-04", Recovery.NEVER,
        "The id of the message named a message to another recipient before (MSG-04).",
        "Give every message an id of its own; the same id again means the same message.")

    TERMS_NOT_ACCEPTED = _Row(80, Category.FAILED_PRECONDITION, "OPT-03", Recovery.NEVER,
        "The terms were not shown and then accepted (OPT-03).",
        "Call RecordTerms with SHOWN, then with ACCEPTED.")
    NOT_ELIGIBLE = _Row(81, Category.FAILED_PRECONDITION, "OPT-04", Recovery.NEVER,
        "The WhatsApp user's number or platform does not qualify (OPT-04).",
        "Third-party chats need an eligible number and an Android or iOS device.")
    PARTNER_UNKNOWN = _Row(82, Category.NOT_FOUND, "OPT-03", Recovery.NEVER,
        "The named partner does not exist or is not active (OPT-03).",
        "Choose from ListPartners.")
    CALLER_NOT_WHATSAPP_USER = _Row(83, Category.PERMISSION_DENIED, _OF_PLACE, Recovery.NEVER,
        "Only WhatsApp users may call this.",
        "Only a WhatsApp user can do this.")
    CALLER_NOT_THIRD_PARTY_USER = _Row(84, Category.PERMISSION_DENIED, _OF_PLACE, Recovery.NEVER,
        "Only third-party users may call this.",
        "Only a third-party user can do this.")

    UPLOAD_TOKEN_INVALID = _Row(90, Category.INVALID_REQUEST, "MED-05", Recovery.NEVER,
        "The upload token is absent or wrong (MED-05).",
        "The token is base64url without padding of SHA-256(ciphertext ‖ MAC).")
    UPLOAD_AUTH_INVALID = _Row(91, Category.UNAUTHENTICATED, "MED-05", Recovery.NEVER,
        "The upload auth is unknown or expired (MED-05).",
        "Get a fresh auth from GetMediaConnection.")
    UPLOAD_LENGTH_MISMATCH = _Row(92, Category.INVALID_REQUEST, "MED-07", Recovery.NEVER,
        "More or fewer bytes came than were declared (MED-07).",
        "Send exactly the declared number of bytes; ask GetUploadStatus where to go on.")
    UPLOAD_HASH_MISMATCH = _Row(93, Category.INVALID_REQUEST, "MED-05", Recovery.NEVER,
        "The bytes do not hash to the token (MED-05).",
        "The bytes must hash to the token; start again at 0.")
    UPLOAD_OFFSET_MISMATCH = _Row(94, Category.FAILED_PRECONDITION, "MED-07", Recovery.NEVER,
        "The upload resumes at an offset that is not the committed one (MED-07).",
        "Ask GetUploadStatus where to go on.")
    BLOB_TOO_LARGE = _Row(95, Category.INVALID_REQUEST, "MED-07", Recovery.NEVER,
        "The blob is larger than the limit (MED-07).",
        "Keep blobs within `max_blob_bytes`.", http_status=502)
    BLOB_NOT_FOUND = _Row(96, Category.NOT_FOUND, "MED-04", Recovery.NEVER,
        "No blob has this path, or the partner's media server says so with status 404 or 410 (MED-04, MED-02).",
        "Check the path; ask the sender to send it again.")
    BLOB_EXPIRED = _Row(97, Category.NOT_FOUND, "MED-04", Recovery.NEVER,
        "The blob's retention has passed (MED-04).",
        "The blob is no longer kept; ask the sender to send it again.", code=410, http_status=410)
    RANGE_INVALID = _Row(98, Category.INVALID_REQUEST, "MED-04", Recovery.NEVER,
        "The requested range lies outside the blob (MED-04).",
        "Ask for a range inside the blob.", http_status=416)
    STORAGE_REFERENCE_INVALID = _Row(99, Category.INVALID_REQUEST, "MED-03", Recovery.NEVER,
        "A storage reference has forbidden characters or names another place (MED-03, T11).",
        "A storage reference is 1 to 256 characters of A-Z, a-z, 0-9, `-`, `_`, `.`, `~`.")
    PARTNER_MEDIA_UNAVAILABLE = _Row(100, Category.UNAVAILABLE, "MED-03", Recovery.SAME_AGAIN,
        "The partner's media server failed in another way than with 404 or 410: an error, a redirect, silence, or an "
        "answer that is cut short or of another range (MED-03).",
        "The partner's media server must answer 200 with the blob, in time, without redirects.", http_status=502)

    NOT_REGISTERED = _Row(110, Category.NOT_FOUND, _OF_PLACE, Recovery.NEVER,
        "The admin request names something that does not exist.",
        "Check its name or id; what is new must be registered first.")
    ALREADY_REGISTERED = _Row(111, Category.ALREADY_EXISTS, _OF_PLACE, Recovery.NEVER,
        "The admin request adds something that exists already.",
        "Use another one, or change the existing entry.")

    SERVER_FAULT = _Row(120, Category.INTERNAL, "SIM-01", Recovery.SAME_AGAIN,
        "The server met an unexpected failure; its log has the details.",
        "Try again with back-off; if it stays, read the server's log and report a bug.")
    STORAGE_UNAVAILABLE = _Row(121, Category.UNAVAILABLE, "SIM-03", Recovery.SAME_AGAIN,
        "The server's database or its blobs cannot be reached, or not be written at present; whether the call was done "
        "may be unknown (SIM-03).",
        "Send the same again after the delay: what was done already is recognised, as after a lost answer.")
    WORLD_SHARED = _Row(122, Category.FAILED_PRECONDITION, _OF_PLACE, Recovery.NEVER,
        "The server is one of several nodes of one world, and none of them does this to the others.",
        "Use a server that is alone, or stop all nodes first.")
    # fmt: on
