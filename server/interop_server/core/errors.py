"""Every way to refuse: reason, category, requirement and advice in one table; knows no gRPC or HTTP status code."""

from enum import Enum, auto
from typing import NamedTuple


class Category(Enum):
    """What kind of refusal a reason is; an edge maps it to its own status codes once."""

    INVALID_REQUEST = auto()
    UNAUTHENTICATED = auto()
    PERMISSION_DENIED = auto()
    NOT_FOUND = auto()
    ALREADY_EXISTS = auto()
    FAILED_PRECONDITION = auto()
    ABORTED = auto()
    RESOURCE_EXHAUSTED = auto()
    UNAVAILABLE = auto()
    DEADLINE_EXCEEDED = auto()


_CODES = {
    Category.INVALID_REQUEST: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION_DENIED: 403,
    Category.NOT_FOUND: 404,
    Category.ALREADY_EXISTS: 409,
    Category.FAILED_PRECONDITION: 405,
    Category.ABORTED: 409,
    Category.RESOURCE_EXHAUSTED: 429,
    Category.UNAVAILABLE: 503,
    Category.DEADLINE_EXCEEDED: 503,
}
_REGENERATE_KEYS = 406
"""On this code observed clients make new keys (KEY-13)."""


class Rule(NamedTuple):
    """What belongs to a reason."""

    category: Category
    requirement: str
    """Id of the requirement that was broken."""
    advice: str
    """What to do about it."""
    own_code: int = 0
    """The code that stands for it on the wire that is modelled, where it is not that of its category."""

    @property
    def code(self) -> int:
        """The code that stands for this refusal on the wire that is modelled, as observed (KEY-13, ABU-05)."""
        return self.own_code or _CODES[self.category]


class Reason(Enum):
    """Why something was refused. Names and numbers are those of `ErrorReason` in errors.proto."""

    BAD_INTEGRATOR = 1
    PARTNER_NOT_ACTIVE = 2
    TOKEN_TOO_LARGE = 3
    TOKEN_MALFORMED = 4
    TOKEN_ALGORITHM_REFUSED = 5
    TOKEN_KEY_UNKNOWN = 6
    TOKEN_SIGNATURE_INVALID = 7
    TOKEN_EXPIRED = 8
    TOKEN_NOT_YET_VALID = 9
    TOKEN_LIFETIME_TOO_LONG = 10
    TOKEN_CLAIMS_INVALID = 11
    TOKEN_SUBJECT_MISMATCH = 12
    JWKS_UNAVAILABLE = 13
    KEY_MALFORMED = 14
    PREKEY_SIGNATURE_INVALID = 15
    PROTOCOL_VERSION_TOO_OLD = 16
    LOCATION_NOT_ALLOWED = 17
    HANDSHAKE_OUT_OF_ORDER = 20
    HANDSHAKE_MALFORMED = 21
    HANDSHAKE_AUTHENTICATION_FAILED = 22
    LOGIN_MALFORMED = 23
    NOT_ENLISTED = 24
    AUTH_KEY_MISMATCH = 25
    FRAME_AUTHENTICATION_FAILED = 26
    FRAME_TOO_LARGE = 27
    FRAME_MALFORMED = 28
    BATCH_TOO_LARGE = 29
    CONNECTION_REPLACED = 30
    CONNECTION_SILENT = 31
    CONNECTION_MULTIPLEXED = 32
    SESSION_REQUIRED = 33
    SESSION_DEAD = 34
    SERVER_DRAINING = 35
    HANDSHAKE_TIMEOUT = 36
    ENLISTMENT_EXPIRED = 37
    TEMPORARILY_BANNED = 38
    BANNED = 39
    PROXY_NOT_ALLOWED = 40
    CLIENT_ADDRESS_INVALID = 41
    REQUEST_MALFORMED = 50
    TOO_MANY_ITEMS = 51
    PREKEY_ID_DUPLICATE = 52
    PREKEY_REUSED = 53
    PREKEYS_NOT_SET = 54
    IDENTITY_KEY_MISMATCH = 55
    KEM_PREKEYS_OFF = 56
    RECIPIENT_NOT_REACHABLE = 60
    SENDER_NOT_OPTED_IN = 61
    RECIPIENT_BLOCKED_BY_SENDER = 62
    USER_VISIBLE_IDENTIFIER = 63
    ADDRESS_MALFORMED = 64
    NUMBER_BASED_NOT_SUPPORTED = 65
    CALLS_NOT_SUPPORTED = 66
    GROUPS_NOT_SUPPORTED = 67
    ROUTE_NOT_SUPPORTED = 68
    DEVICE_LIST_MISMATCH = 69
    MESSAGE_TOO_LARGE = 70
    MAILBOX_FULL = 71
    RATE_LIMITED = 72
    NEW_CHATS_CAPPED = 73
    NEW_CHATS_LOCKED = 74
    CHALLENGE_INVALID = 75
    TERMS_NOT_ACCEPTED = 80
    NOT_ELIGIBLE = 81
    PARTNER_UNKNOWN = 82
    CALLER_NOT_WHATSAPP_USER = 83
    CALLER_NOT_THIRD_PARTY_USER = 84
    UPLOAD_TOKEN_INVALID = 90
    UPLOAD_AUTH_INVALID = 91
    UPLOAD_LENGTH_MISMATCH = 92
    UPLOAD_HASH_MISMATCH = 93
    UPLOAD_OFFSET_MISMATCH = 94
    BLOB_TOO_LARGE = 95
    BLOB_NOT_FOUND = 96
    BLOB_EXPIRED = 97
    RANGE_INVALID = 98
    STORAGE_REFERENCE_INVALID = 99
    PARTNER_MEDIA_UNAVAILABLE = 100
    NOT_REGISTERED = 110
    ALREADY_REGISTERED = 111
    SERVER_FAULT = 120

    @property
    def rule(self) -> Rule:
        """What belongs to this reason."""
        return RULES[self]


class Refusal(Exception):
    """A typed refusal: the only exception that the rules raise on purpose.

    Args:
        reason: Why.
        detail: What exactly, for the caller: names fields and limits, never secrets or other people's data.
        retry_after_ms: When a retry can succeed, where one can.
        cause: What the caller must not learn, for the operator's journal alone (OPT-09, OPT-11, LIF-05).
        requirement: Id of the requirement that was broken, where it is not the one that the reason stands for.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        retry_after_ms: int | None = None,
        *,
        cause: str = "",
        requirement: str = "",
    ) -> None:
        super().__init__(f"{reason.name}: {detail}" if detail else reason.name)
        self.reason = reason
        self.detail = detail
        self.retry_after_ms = retry_after_ms
        self.cause = cause
        self.requirement = requirement or reason.rule.requirement
        """Id of the requirement that was broken."""
        self.request_id = ""
        """Names it in the journal, once it stands there."""

    @property
    def advice(self) -> str:
        """What was wrong, where known, and what to do about it."""
        advice = self.reason.rule.advice
        return f"{self.detail}. {advice}" if self.detail else advice


def _rules() -> dict[Reason, Rule]:
    r, c = Reason, Category
    invalid, unauthenticated, denied = c.INVALID_REQUEST, c.UNAUTHENTICATED, c.PERMISSION_DENIED
    precondition, exhausted, unavailable = c.FAILED_PRECONDITION, c.RESOURCE_EXHAUSTED, c.UNAVAILABLE
    enlist_again = "Get a fresh token from your messenger's server and try again."
    return {
        r.BAD_INTEGRATOR: Rule(
            denied, "ENL-01", "Use a token whose `iss` is the issuer that this partner is registered with."
        ),
        r.PARTNER_NOT_ACTIVE: Rule(
            denied, "ENL-01", "Set the partner's status to active with the admin call PutPartner."
        ),
        r.TOKEN_TOO_LARGE: Rule(invalid, "ENL-06", "Issue tokens of at most 4,096 bytes."),
        r.TOKEN_MALFORMED: Rule(unauthenticated, "ENL-05", "Send a compact JWS: three base64url parts joined by dots."),
        r.TOKEN_ALGORITHM_REFUSED: Rule(unauthenticated, "ENL-05", "Sign tokens with RS256; nothing else is accepted."),
        r.TOKEN_KEY_UNKNOWN: Rule(
            unauthenticated,
            "ENL-04",
            "Put a `kid` into the token's header that your JWKS serves with use=sig, alg=RS256.",
        ),
        r.TOKEN_SIGNATURE_INVALID: Rule(
            unauthenticated, "ENL-03", "Sign with the private key that belongs to the `kid` in your JWKS."
        ),
        r.TOKEN_EXPIRED: Rule(unauthenticated, "ENL-05", enlist_again),
        r.TOKEN_NOT_YET_VALID: Rule(unauthenticated, "ENL-05", "Check the clock of the server that issues the tokens."),
        r.TOKEN_LIFETIME_TOO_LONG: Rule(unauthenticated, "ENL-05", "Issue tokens with a shorter life."),
        r.TOKEN_CLAIMS_INVALID: Rule(
            unauthenticated,
            "ENL-07",
            "A token needs `iss`, `sub`, `aud`, `iat` and `exp` of the right types.",
        ),
        r.TOKEN_SUBJECT_MISMATCH: Rule(
            denied, "ENL-07", "Use a token whose `sub` is the user-visible identifier that was enlisted."
        ),
        r.JWKS_UNAVAILABLE: Rule(
            unavailable,
            "ENL-03",
            "Serve your key set at /.well-known/oauth/openid/jwks, then call RefreshJwks.",
        ),
        r.KEY_MALFORMED: Rule(
            invalid, "ENL-08", "Check lengths and ranges of keys, ids and signatures.", _REGENERATE_KEYS
        ),
        r.PREKEY_SIGNATURE_INVALID: Rule(
            invalid,
            "ENL-10",
            "Sign `0x05 ‖ public key` with XEdDSA under the identity key; regenerate the keys.",
            _REGENERATE_KEYS,
        ),
        r.PROTOCOL_VERSION_TOO_OLD: Rule(precondition, "ENL-15", "Update the client."),
        r.LOCATION_NOT_ALLOWED: Rule(
            denied, "ENL-16", "Third-party users must be located in the European Economic Area: connect from there."
        ),
        r.HANDSHAKE_OUT_OF_ORDER: Rule(
            precondition,
            "CHN-01",
            "Send client_hello, await server_hello, send client_finish, then only sealed frames.",
        ),
        r.HANDSHAKE_MALFORMED: Rule(invalid, "CHN-03", "Check the lengths of the handshake fields."),
        r.HANDSHAKE_AUTHENTICATION_FAILED: Rule(
            unauthenticated,
            "CHN-02",
            "Check prologue, key order and transcript hash of Noise_XX_25519_AESGCM_SHA256.",
        ),
        r.LOGIN_MALFORMED: Rule(invalid, "CHN-06", "Check the login payload's fields."),
        r.NOT_ENLISTED: Rule(
            unauthenticated, "CHN-10", "Enlist, then connect with the JID that the enlistment returned."
        ),
        r.AUTH_KEY_MISMATCH: Rule(
            unauthenticated, "CHN-07", "Use the static key that was enlisted as `authkey`, or enlist again."
        ),
        r.FRAME_AUTHENTICATION_FAILED: Rule(
            unauthenticated, "CHN-05", "Check key direction and nonce counter; reconnect."
        ),
        r.FRAME_TOO_LARGE: Rule(invalid, "CHN-09", "Split the batch: frames are limited to `max_frame_bytes`."),
        r.FRAME_MALFORMED: Rule(
            invalid, "CHN-09", "Seal one serialised Batch per frame, each stanza with what it needs."
        ),
        r.BATCH_TOO_LARGE: Rule(invalid, "CHN-09", "Split the batch: it is limited to `max_batch_stanzas`."),
        r.CONNECTION_REPLACED: Rule(
            c.ABORTED, "CHN-11", "The account logged in elsewhere; do not reconnect on your own."
        ),
        r.CONNECTION_SILENT: Rule(c.ABORTED, "CHN-12", "Send a ping every 20 to 30 seconds; reconnect."),
        r.CONNECTION_MULTIPLEXED: Rule(denied, "PRX-03", "Use one connection per account; leave `from` empty."),
        r.SESSION_REQUIRED: Rule(
            unauthenticated, "CHN-01", "Connect first, then send `authorization: Bearer {session_token}`."
        ),
        r.SESSION_DEAD: Rule(unauthenticated, "CHN-01", "The connection of this session has ended: connect again."),
        r.SERVER_DRAINING: Rule(unavailable, "CHN-10", "Reconnect with back-off."),
        r.HANDSHAKE_TIMEOUT: Rule(c.DEADLINE_EXCEEDED, "CHN-01", "Send the handshake without pauses; reconnect."),
        r.ENLISTMENT_EXPIRED: Rule(
            unauthenticated, "LIF-04", "Thirty days passed without a connection: enlist again, you get a new JID."
        ),
        r.TEMPORARILY_BANNED: Rule(
            denied,
            "ABU-05",
            "Connect again when the ban has ended, and write to people who want to hear from you.",
            402,
        ),
        r.BANNED: Rule(denied, "ABU-05", "The account is banned for good; the operator can lift it.", 406),
        r.PROXY_NOT_ALLOWED: Rule(
            denied, "PRX-01", "Connect directly, or let the operator set the partner's proxy_allowed."
        ),
        r.CLIENT_ADDRESS_INVALID: Rule(
            invalid, "PRX-02", "Give the end client's public IPv4 or IPv6 address in `client_ip`."
        ),
        r.REQUEST_MALFORMED: Rule(invalid, "SIM-01", "Check the named field against the comments in protos/."),
        r.TOO_MANY_ITEMS: Rule(invalid, "KEY-07", "Keep lists within the limits given in protos/."),
        r.PREKEY_ID_DUPLICATE: Rule(
            invalid, "KEY-04", "Give every one-time prekey of a request its own id.", _REGENERATE_KEYS
        ),
        r.PREKEY_REUSED: Rule(
            c.ALREADY_EXISTS, "KEY-04", "Generate new one-time prekeys; never publish one twice.", _REGENERATE_KEYS
        ),
        r.PREKEYS_NOT_SET: Rule(precondition, "KEY-01", "Call SetPreKeys first."),
        r.IDENTITY_KEY_MISMATCH: Rule(precondition, "ENL-13", "To change the identity key, enlist again."),
        r.KEM_PREKEYS_OFF: Rule(
            precondition, "KEY-15", "Leave KEM prekeys out, or let the operator start the server with kem_prekeys=true."
        ),
        r.RECIPIENT_NOT_REACHABLE: Rule(
            c.NOT_FOUND,
            "OPT-09",
            "The person cannot be reached: ask them to turn on third-party chats with your messenger.",
        ),
        r.SENDER_NOT_OPTED_IN: Rule(
            precondition, "OPT-01", "Turn on third-party chats for the recipient's messenger with OptIn."
        ),
        r.RECIPIENT_BLOCKED_BY_SENDER: Rule(precondition, "MSG-06", "Unblock the recipient first."),
        r.USER_VISIBLE_IDENTIFIER: Rule(invalid, "MSG-01", "Address people by JID; get it from Resolve."),
        r.ADDRESS_MALFORMED: Rule(
            invalid, "MSG-01", "Use `{integrator}-{number}@interop` or `{digits}@s.whatsapp.net`."
        ),
        r.NUMBER_BASED_NOT_SUPPORTED: Rule(
            precondition,
            "MSG-12",
            "SMS and other number-based services are outside interoperability; use a chat.",
        ),
        r.CALLS_NOT_SUPPORTED: Rule(
            precondition, "MSG-12", "Calls are outside interoperability for now; send a message."
        ),
        r.GROUPS_NOT_SUPPORTED: Rule(precondition, "LIF-06", "Write to one person at a time."),
        r.ROUTE_NOT_SUPPORTED: Rule(
            precondition,
            "MSG-06",
            "One end of the chat must be a WhatsApp user, the other a third-party user.",
        ),
        r.DEVICE_LIST_MISMATCH: Rule(precondition, "MSG-03", "Send exactly one `enc`, for device 0."),
        r.MESSAGE_TOO_LARGE: Rule(invalid, "MSG-11", "Send large content as media."),
        r.MAILBOX_FULL: Rule(exhausted, "MSG-11", "Retry after the delay; the recipient has to fetch messages first."),
        r.RATE_LIMITED: Rule(exhausted, "MSG-11", "Slow down; retry after the delay."),
        r.NEW_CHATS_CAPPED: Rule(
            exhausted, "ABU-05", "Wait for answers or for the delay, or answer a challenge: RequestChallenge.", 475
        ),
        r.NEW_CHATS_LOCKED: Rule(
            exhausted, "ABU-05", "People have reported you: wait for the delay, or answer a challenge.", 463
        ),
        r.CHALLENGE_INVALID: Rule(precondition, "ABU-06", "Call RequestChallenge and answer the new one."),
        r.TERMS_NOT_ACCEPTED: Rule(precondition, "OPT-03", "Call RecordTerms with SHOWN, then with ACCEPTED."),
        r.NOT_ELIGIBLE: Rule(
            precondition, "OPT-04", "Third-party chats need an eligible number and an Android or iOS device."
        ),
        r.PARTNER_UNKNOWN: Rule(c.NOT_FOUND, "OPT-03", "Choose from ListPartners."),
        r.CALLER_NOT_WHATSAPP_USER: Rule(denied, "OPT-02", "Only a WhatsApp user can do this."),
        r.CALLER_NOT_THIRD_PARTY_USER: Rule(denied, "LIF-03", "Only a third-party user can do this."),
        r.UPLOAD_TOKEN_INVALID: Rule(
            invalid, "MED-05", "The token is base64url without padding of SHA-256(ciphertext ‖ MAC)."
        ),
        r.UPLOAD_AUTH_INVALID: Rule(unauthenticated, "MED-05", "Get a fresh auth from GetMediaConnection."),
        r.UPLOAD_LENGTH_MISMATCH: Rule(
            invalid, "MED-07", "Send exactly the declared number of bytes; ask GetUploadStatus where to go on."
        ),
        r.UPLOAD_HASH_MISMATCH: Rule(invalid, "MED-05", "The bytes must hash to the token; start again at 0."),
        r.UPLOAD_OFFSET_MISMATCH: Rule(precondition, "MED-07", "Ask GetUploadStatus where to go on."),
        r.BLOB_TOO_LARGE: Rule(invalid, "MED-07", "Keep blobs within `max_blob_bytes`."),
        r.BLOB_NOT_FOUND: Rule(c.NOT_FOUND, "MED-04", "Check the path; ask the sender to send it again."),
        r.BLOB_EXPIRED: Rule(
            c.NOT_FOUND, "MED-04", "The blob is no longer kept; ask the sender to send it again.", 410
        ),
        r.RANGE_INVALID: Rule(invalid, "MED-04", "Ask for a range inside the blob."),
        r.STORAGE_REFERENCE_INVALID: Rule(
            invalid,
            "MED-03",
            "A storage reference is 1 to 256 characters of A-Z, a-z, 0-9, `-`, `_`, `.`, `~`.",
        ),
        r.PARTNER_MEDIA_UNAVAILABLE: Rule(
            unavailable,
            "MED-03",
            "The partner's media server must answer 200 with the blob, in time, without redirects.",
        ),
        r.NOT_REGISTERED: Rule(c.NOT_FOUND, "ENL-01", "Register it first."),
        r.ALREADY_REGISTERED: Rule(c.ALREADY_EXISTS, "ENL-01", "Use another one, or change the existing entry."),
        r.SERVER_FAULT: Rule(unavailable, "SIM-01", "Retry; if it stays, read the server's log and report a bug."),
    }


RULES: dict[Reason, Rule] = _rules()
