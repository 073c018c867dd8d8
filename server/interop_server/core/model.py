"""What the rules talk about: partners, accounts, keys, messages; knows nothing of how any of it is sent or stored.

Numbers of the enums are those of `protos/interop_api`, so that conversion is a cast.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import NamedTuple


class PartnerStatus(IntEnum):
    """State of a partner's agreement (ENL-02)."""

    ACTIVE = 1
    ONBOARDING = 2
    REMOVED = 3
    SUSPENDED = 4


class IdentifierType(IntEnum):
    """What a partner calls its users by (ENL-02)."""

    EMAIL = 1
    PHONE = 2
    USERNAME = 3


class Platform(IntEnum):
    """Kind of a WhatsApp user's device (OPT-04)."""

    ANDROID = 1
    IOS = 2
    WEB = 3
    DESKTOP = 4


class InboxMode(IntEnum):
    """How a WhatsApp user wants to see third-party chats (OPT-05)."""

    SEPARATE = 1
    COMBINED = 2


class AccountEnd(IntEnum):
    """How a third-party account ended: all that is kept of it, beside its JID (LIF-03, LIF-04)."""

    DELETED = 1
    """By its user."""
    EXPIRED = 2
    """By itself, after thirty days without a connection."""


class ConnectionMode(IntEnum):
    """How a client reaches the server (PRX-01)."""

    DIRECT = 1
    PROXY = 2


class CiphertextType(IntEnum):
    """What protects a message (MSG-03)."""

    PREKEY_MESSAGE = 1
    DOUBLE_RATCHET = 2
    SENDER_KEY = 3


class MessageType(IntEnum):
    """What a message is, as far as the server may know (MSG-02)."""

    TEXT = 1
    MEDIA = 2
    REACTION = 3


class ReceiptType(IntEnum):
    """What a receipt says (RCP-01)."""

    DELIVERED = 1
    READ = 2


class RetryReason(IntEnum):
    """Why a message could not be decrypted (RCP-03)."""

    UNKNOWN = 0
    NO_SESSION = 1
    INVALID_KEY = 2
    INVALID_KEY_ID = 3
    INVALID_MESSAGE = 4
    INVALID_SIGNATURE = 5
    FUTURE_MESSAGE = 6
    BAD_MAC = 7
    INVALID_SESSION = 8
    INVALID_MESSAGE_KEY = 9
    BAD_BROADCAST_EPHEMERAL = 10
    UNKNOWN_COMPANION = 11
    DEVICE_IDENTITY_FAILURE = 12
    STATUS_REVOKE_DELAY = 13


class TypingState(IntEnum):
    """What a person is doing in a chat (MSG-13)."""

    COMPOSING = 1
    RECORDING = 2
    PAUSED = 3


class MessageRequestState(IntEnum):
    """Where a first contact stands (OPT-14)."""

    REQUESTED = 1
    ACCEPTED = 2
    DECLINED = 3


class SpamFlow(IntEnum):
    """Where in an app a report was made (ABU-03)."""

    MESSAGE_MENU = 1
    CONTACT_INFO = 2
    ACCOUNT_INFO_BLOCK = 3
    MESSAGE_REQUEST = 4


class ChallengeOption(IntEnum):
    """How a challenge can be answered (ABU-06)."""

    CHANNEL = 1
    CAPTCHA = 2


class SanctionKind(IntEnum):
    """What an account may not do for a time (ABU-05)."""

    NEW_CHATS_LOCKED = 1
    TEMPORARY_BAN = 2
    BAN = 3


class NotificationType(IntEnum):
    """What a notification is about. Numbers are those of the fields of `Notification`."""

    PREKEYS_LOW = 1
    IDENTITY_CHANGED = 2
    REACHABILITY_PING = 3
    TRUSTED_CONTACT = 4
    DIGEST_REQUESTED = 5
    CHALLENGE_CODE = 6


class StanzaKind(IntEnum):
    """What a mailbox item is."""

    MESSAGE = 1
    RECEIPT = 2
    NOTIFICATION = 3
    RETRY_RECEIPT = 4


@dataclass(frozen=True, slots=True)
class Partner:
    """A registered partner ("integrator")."""

    integrator: int
    """1 to 999."""
    name: str
    issuer: str
    """The `iss` of its tokens; unique."""
    base_url: str
    """Where `/.well-known/oauth/openid/jwks` is added to."""
    push_url: str
    """Where pushes are posted to; empty for none."""
    media_url: str
    """Where `/{storage_reference}` is added to; empty for none."""
    status: PartnerStatus
    identifier_type: IdentifierType
    icon: str = ""
    proxy_allowed: bool = False
    group_messaging: bool = False
    """Listed to WhatsApp users, and nothing more (OPT-07, LIF-06)."""


class ExternalUser(NamedTuple):
    """A person as their messenger names them: the same also when they have no account any more."""

    integrator: int
    """The partner, 1 to 999; 0 for a WhatsApp user."""
    external_id: str
    """The normalised user-visible identifier; the number's digits for a WhatsApp user."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can connect: a WhatsApp user or a third-party user."""

    account_id: int
    """Row id: never leaves the server."""
    jid: str
    integrator: int
    """The partner, 1 to 999; 0 for a WhatsApp user."""
    external_id: str
    """The normalised user-visible identifier; the number's digits for a WhatsApp user."""
    auth_key: bytes
    """32 bytes, X25519: the only thing kept to recognise the client by (CHN-08)."""
    platform: Platform | None = None
    """Of a WhatsApp user."""
    last_connected_at_ms: int = field(default=0, compare=False)
    """When it was last known to be connected, or enlisted if it never was; as it stood when this was read."""

    @property
    def is_whatsapp(self) -> bool:
        """Says whether this is a WhatsApp user."""
        return self.integrator == 0

    @property
    def external_user(self) -> ExternalUser:
        """Who it is, whichever account they have."""
        return ExternalUser(self.integrator, self.external_id)


@dataclass(frozen=True, slots=True)
class Sanction:
    """What somebody may not do (ABU-05)."""

    kind: SanctionKind
    sub_code: int = 0
    """For a temporary ban, one of `SUB_CODES`; otherwise 0."""
    ends_at_ms: int | None = None
    """None for a ban for good, and only there."""


class Complaints(NamedTuple):
    """What seems to be wrong with somebody, in numbers of people (ABU-07)."""

    reporters: int
    """Who have reported them, so that it counted."""
    blockers: int
    """Who have a chat with them and have blocked them."""
    unanswered_chats: int
    """WhatsApp users whom they wrote to first, and who have not answered."""


class SignedPreKey(NamedTuple):
    """A signed prekey (KEY-02)."""

    key_id: int
    public_key: bytes
    """32 bytes."""
    signature: bytes
    """64 bytes."""


class OneTimePreKey(NamedTuple):
    """A one-time prekey (KEY-02)."""

    key_id: int
    public_key: bytes
    """32 bytes."""


class KemPreKey(NamedTuple):
    """An ML-KEM-1024 prekey, one-time or last-resort (KEY-15)."""

    key_id: int
    public_key: bytes
    """1,568 bytes."""
    signature: bytes
    """64 bytes."""


class KemPreKeys(NamedTuple):
    """The KEM prekeys that an account publishes or adds (KEY-15)."""

    last_resort: KemPreKey | None
    one_time: tuple[KemPreKey, ...] = ()


class KemPreKeyIds(NamedTuple):
    """Which KEM prekeys an account holds (KEY-10, KEY-15)."""

    last_resort: int | None
    """None when it holds none at all."""
    one_time: list[int]
    """Ascending."""


class PreKeyKind(Enum):
    """Which prekeys can run low (KEY-09, KEY-15)."""

    ONE_TIME = "one-time"
    KEM = "one-time KEM"


class PreKeyCounts(NamedTuple):
    """How many one-time prekeys are left."""

    one_time: int
    kem: int | None = None
    """None when the account holds no KEM prekeys, not even a last-resort one."""

    def few(self, threshold: int) -> frozenset[PreKeyKind]:
        """Says of which kinds fewer than the threshold are left (KEY-09)."""
        counted = ((PreKeyKind.ONE_TIME, self.one_time), (PreKeyKind.KEM, self.kem))
        return frozenset(kind for kind, count in counted if count is not None and count < threshold)


class PublishedKeys(NamedTuple):
    """What an account publishes, without its one-time prekeys (KEY-01)."""

    registration_id: int
    """Full 32-bit range."""
    identity_key: bytes
    """32 bytes."""
    signed_prekey: SignedPreKey


class TakenBundle(NamedTuple):
    """A bundle as it left the store, and how many prekeys are left."""

    keys: PublishedKeys
    one_time_prekey: OneTimePreKey | None
    """None when the store was empty (KEY-06)."""
    remaining: int
    kem_prekey: KemPreKey | None = None
    """A one-time KEM prekey, or else the last-resort one; None when the account holds none (KEY-15)."""
    kem_remaining: int | None = None
    """One-time KEM prekeys that are left; None when the account holds no KEM prekey."""
    kem_is_last_resort: bool = False
    kem_withdrawn: bool = False
    """Whether the account has published KEM prekeys and holds none any more (KEY-16)."""


@dataclass(frozen=True, slots=True)
class NewEnlistment:
    """What an enlistment writes."""

    integrator: int
    external_id: str
    """Normalised."""
    jid: str
    """Used when the identifier is new."""
    auth_key: bytes
    keys: PublishedKeys
    protocol_version: int
    now_ms: int
    recent_since_ms: int = 0
    """Peers of chats with a message since then are told of a changed identity (KEY-17)."""


class Enlisted(NamedTuple):
    """What an enlistment wrote."""

    account: Account
    identity_changed: bool
    auth_key_changed: bool
    notified: list[int]
    """Account ids whose mailbox got an identity-change notification (KEY-17)."""


@dataclass(frozen=True, slots=True)
class InteropSettings:
    """A WhatsApp user's choices (OPT-01 to OPT-05)."""

    enabled: bool = False
    integrators: frozenset[int] = frozenset()
    inbox_mode: InboxMode = InboxMode.SEPARATE
    terms_shown: bool = False
    terms_accepted: bool = False


class PartnerTerms(NamedTuple):
    """What a partner's agreement says about its users' connections."""

    status: PartnerStatus
    proxy_allowed: bool


class ReachabilitySettings(NamedTuple):
    """Which reachability pings a WhatsApp user lets through (OPT-11)."""

    enabled: bool = True
    muted: frozenset[int] = frozenset()
    """Partners whose users' pings are dropped."""


class PingFacts(NamedTuple):
    """All that decides whether a reachability ping is delivered but how many there are, read in one query (OPT-11)."""

    partner_name: str
    """Of the sender's partner."""
    partner_active: bool
    recipient: Account | None
    """None when nobody has the number."""
    opted_in: bool
    """Whether the recipient has third-party chats on and has chosen the sender's partner."""
    enabled: bool
    """Whether the recipient lets pings through at all."""
    partner_muted: bool
    recipient_blocked_sender: bool


class PingBounds(NamedTuple):
    """How many reachability pings there may be (OPT-12)."""

    counted_since_ms: int
    """Pings of the sender after that count."""
    most_counted: int
    outstanding_since_ms: int
    """A ping after that is outstanding until its recipient opts in."""
    most_outstanding: int
    """For one recipient."""


class PingFate(Enum):
    """What became of a reachability ping."""

    DELIVERED = auto()
    DROPPED = auto()
    """There was nothing to deliver."""
    OUTSTANDING = auto()
    """Dropped: one of the sender's is outstanding."""
    CROWDED = auto()
    """Dropped: as many as may be are outstanding for the recipient."""


class RouteFacts(NamedTuple):
    """All that decides whether a sender may reach a recipient, read in one query (MSG-06)."""

    account_id: int
    jid: str
    integrator: int
    """Of the recipient; 0 for a WhatsApp user."""
    external_id: str
    partner_active: bool
    """Whether the partner of the third-party end is active."""
    opted_in: bool
    """Whether the WhatsApp end has third-party chats on and has chosen that partner."""
    sender_blocked_recipient: bool
    recipient_blocked_sender: bool
    read_receipts: bool
    """Whether the recipient has read receipts on (RCP-01)."""
    mailbox_items: int
    """What waits for the recipient; not counted, and 0, when the WhatsApp end has not opted in (OPT-09)."""
    mailbox_bytes: int
    request_state: MessageRequestState | None = None
    """Where the first contact of the two stands; None when neither has written (OPT-14)."""
    trusted_until_ms: int = 0
    """End of the third-party end's newest trusted-contact mark; 0 when there was none (OPT-14)."""
    registration_id: int | None = None
    """That the recipient has published; None before (MSG-05)."""


class DeviceCiphertext(NamedTuple):
    """A message as it was encrypted for one device of its recipient."""

    type: CiphertextType
    device_id: int
    ciphertext: bytes
    registration_id: int | None = None
    """The one that the sender's session was made with, where it says so (MSG-05)."""


class OutgoingMessage(NamedTuple):
    """A message as its sender wrote it, of valid form."""

    stanza_id: str
    to: str
    """The recipient's JID as text, not yet parsed."""
    message_type: MessageType
    enc: tuple[DeviceCiphertext, ...]
    """For each device."""
    retry_count: int = 0
    """0 for a first sending, 1 to 5 for an answer to a retry receipt (RCP-04)."""
    reporting_token: bytes = b""
    """16 bytes, or none (ABU-04)."""


class ReportedMessage(NamedTuple):
    """A message that a report names, of valid form (ABU-03)."""

    stanza_id: str
    revealed: "RevealedContent | None"
    """What it says, when the reporter reveals it."""


class RevealedContent(NamedTuple):
    """What a reporter reveals of a message. Used once, to verify it, and kept nowhere (ABU-04, ABU-08)."""

    plaintext: bytes
    """The serialised `Message` of content.proto."""
    message_secret: bytes
    """32 bytes, from inside it."""


class RetryKeys(NamedTuple):
    """A fresh bundle inside a retry receipt (RCP-03)."""

    identity_key: bytes
    """32 bytes."""
    signed_prekey: SignedPreKey
    one_time_prekey: OneTimePreKey


class RetryReceipt(NamedTuple):
    """Asks for a message again (RCP-03)."""

    message_id: str
    retry_count: int
    """How often, this time included."""
    reason: RetryReason
    registration_id: int
    keys: RetryKeys | None
    media_status: int | None
    """404 or 410 when it is the blob that is missing (MED-08)."""


class RetryOutcome(Enum):
    """What became of a retry receipt in the store."""

    FORWARDED = auto()
    NEVER_SENT = auto()
    """Its recipient never sent that message to its sender (RCP-05)."""
    TOO_MANY = auto()
    """Enough were forwarded for that message (RCP-04)."""


class MailboxItem(NamedTuple):
    """Something on its way to a recipient, as it is stored."""

    recipient_id: int
    sender_id: int
    """0 for the server itself."""
    sender_jid: str
    """Empty for the server itself."""
    kind: StanzaKind
    subtype: int
    """CiphertextType, ReceiptType, NotificationType or RetryReason."""
    message_type: int
    """MessageType; 0 when the item is no message."""
    stanza_id: str
    """Id of the message, also of the one that a retry receipt asks for; empty for a receipt or notification."""
    timestamp_ms: int
    content: bytes
    """Ciphertext; message ids joined by a line feed; the notification's JID, its count, or its fields as JSON; or the
    rest of a retry receipt as JSON."""
    retry_count: int = 0
    """Of a message or retry receipt: 0 for a first sending."""
    reporting_token: bytes = b""
    """Of a message: 16 bytes, or none."""
    is_dropped: bool = False
    """Whether a message is remembered as sent, and goes nowhere (ABU-02, OPT-14)."""


class RequestAnswer(NamedTuple):
    """What a WhatsApp user's answer to a message request writes (OPT-14)."""

    whatsapp_id: int
    third_party_id: int
    state: MessageRequestState
    trusted_until_ms: int = 0
    """End of the trusted-contact mark that comes with it; 0 for none."""
    notice: MailboxItem | None = None
    """Tells the third-party user of that mark."""


class Delivery(NamedTuple):
    """A mailbox item on its way out."""

    delivery_id: int
    """Grows with every item stored."""
    item: MailboxItem
    inbox_mode: InboxMode
    """The recipient's choice now."""
    request_state: MessageRequestState | None = None
    """Of a message to a WhatsApp user: where the first contact stands now (OPT-14)."""


class Stored(NamedTuple):
    """What became of a stored message."""

    timestamp_ms: int
    """Of a duplicate: of the first time that (sender, id) was stored (MSG-04)."""
    duplicate: bool


class SentMessage(NamedTuple):
    """What is remembered of a message that was taken, long after it was acked: never what it says."""

    recipient_id: int
    timestamp_ms: int
    """Of its first sending."""
    reporting_token: bytes
    """Of its last sending: 16 bytes, or none (ABU-04)."""
    is_dropped: bool
    """Whether it went nowhere."""
    retry_count: int
    """Of the last sending that was delivered (RCP-04)."""
    retries_allowed: int
    """The largest count of a retry receipt that was forwarded to its sender."""

    def allows_resend(self, recipient_id: int, retry_count: int) -> bool:
        """Says whether sending it again is an answer that was asked for, not a duplicate (RCP-04)."""
        return recipient_id == self.recipient_id and self.retry_count < retry_count <= self.retries_allowed


class Backlog(NamedTuple):
    """What waits for a recipient at the moment of connecting (MSG-08)."""

    messages: int
    receipts: int
    notifications: int
    retry_receipts: int
    last_delivery_id: int
    """0 when nothing waits."""

    @property
    def total(self) -> int:
        """All that waits."""
        return self.messages + self.receipts + self.notifications + self.retry_receipts


class Chat(NamedTuple):
    """A WhatsApp user's chat with a third-party user (OPT-06)."""

    peer_jid: str
    integrator: int
    external_id: str
    last_message_at_ms: int
    read_only: bool
    request_state: MessageRequestState
    """Whether it is a message request, and what came of it (OPT-14)."""


@dataclass(frozen=True, slots=True)
class MediaBlob:
    """An uploaded blob (MED-04)."""

    direct_path: str
    """`/v/t…`."""
    sha256: bytes
    """Of ciphertext ‖ MAC: 32 bytes; also the blob's name in the blob store."""
    length: int
    owner_id: int
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Login:
    """What the last handshake message says, of valid form (CHN-06)."""

    static_key: bytes
    """The Noise static key that the client has proved: 32 bytes."""
    phone_number: str
    """Digits, for a WhatsApp user; otherwise empty."""
    account_number: int
    """For a third-party user; otherwise 0."""
    token: str
    protocol_version: int
    mode: ConnectionMode
    client_ip: str
    read_receipts: bool
    is_interop: bool


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What the server knows of a connection (PRX-01, PRX-05)."""

    account: Account
    mode: ConnectionMode
    client_ip: str
    """As the proxy gave it; empty in direct mode."""
    peer_address: str
    connected_at_ms: int
    client_closed_at_ms: int | None = None
    """Since when its end client is closed, as a test has observed it (PRX-04); None while it is open."""
    fingerprint: str = field(default="")
    """Slot for a transport fingerprint in direct mode (PRX-05); this server takes none."""

    @property
    def signals_available(self) -> bool:
        """Says whether peer address and fingerprint speak for the end client (PRX-05)."""
        return self.mode is ConnectionMode.DIRECT
