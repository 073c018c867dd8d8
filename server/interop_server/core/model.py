"""What the rules talk about: partners, accounts, keys, connections; knows nothing of how these are sent or stored.

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
    """The kind of identifier that a partner uses for its users (ENL-02)."""

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
    """How a third-party account ended. Only this and the JID are kept of it (LIF-03, LIF-04)."""

    DELETED = 1
    """By its user."""
    EXPIRED = 2
    """By expiry, after thirty days without a connection."""


class ConnectionMode(IntEnum):
    """How a client reaches the server (PRX-01)."""

    DIRECT = 1
    PROXY = 2


class MessageRequestState(IntEnum):
    """State of a first contact (OPT-14)."""

    REQUESTED = 1
    ACCEPTED = 2
    DECLINED = 3


class SpamFlow(IntEnum):
    """Where in an app a user made a report (ABU-03)."""

    MESSAGE_MENU = 1
    CONTACT_INFO = 2
    ACCOUNT_INFO_BLOCK = 3
    MESSAGE_REQUEST = 4


class ChallengeOption(IntEnum):
    """How a challenge can be answered (ABU-06)."""

    CHANNEL = 1
    CAPTCHA = 2


class Challenge(NamedTuple):
    """A challenge for an account (ABU-06). The answers are secrets: only the account is told, and no journal."""

    token: str
    """Names the challenge: 32 hexadecimal digits."""
    prompt: str
    """What the user reads: the digits of the answer in reverse. Simulator: stands for a picture."""
    code: str
    """What arrives on the account's channel: 6 digits."""
    expires_at_ms: int


class SanctionKind(IntEnum):
    """What a sanction forbids (ABU-05)."""

    NEW_CHATS_LOCKED = 1
    TEMPORARY_BAN = 2
    BAN = 3


@dataclass(frozen=True, slots=True)
class Partner:
    """A registered partner ("integrator")."""

    integrator: int
    """1 to 999."""
    name: str
    issuer: str
    """The `iss` of its tokens; unique."""
    base_url: str
    """The URL that `/.well-known/oauth/openid/jwks` is appended to."""
    push_url: str
    """The URL that pushes are posted to; empty for none."""
    media_url: str
    """The URL that `/{storage_reference}` is appended to; empty for none."""
    status: PartnerStatus
    identifier_type: IdentifierType
    icon: str = ""
    proxy_allowed: bool = False
    group_messaging: bool = False
    """Shown to WhatsApp users, and without any other effect (OPT-07, LIF-06)."""


class ExternalUser(NamedTuple):
    """A person as their partner names them: the same person even after their account has ended."""

    integrator: int
    """The partner, 1 to 999; 0 for a WhatsApp user."""
    external_id: str
    """The normalised user-visible identifier; the number's digits for a WhatsApp user."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user who can connect: a WhatsApp user or a third-party user."""

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
    """When it was last known to be connected, or enlisted if it never was; as of the time when this was read."""
    stated_id: str = field(default="", compare=False)
    """The identifier as the partner stated it at the last enlistment; empty when that is its normal form."""

    @property
    def known_as(self) -> str:
        """Returns the identifier by which the partner knows its user: as it stated it itself (LIF-01)."""
        return self.stated_id or self.external_id

    @property
    def is_whatsapp(self) -> bool:
        """Says whether this is a WhatsApp user."""
        return self.integrator == 0

    @property
    def external_user(self) -> ExternalUser:
        """Returns the person, who stays the same if their account changes."""
        return ExternalUser(self.integrator, self.external_id)


@dataclass(frozen=True, slots=True)
class Sanction:
    """What a person may not do (ABU-05)."""

    kind: SanctionKind
    sub_code: int = 0
    """For a temporary ban, one of `SUB_CODES`; otherwise 0."""
    expires_at_ms: int | None = None
    """None for a permanent ban, and only for that."""


class Complaints(NamedTuple):
    """Complaints about a user, in numbers of people (ABU-07)."""

    reporters: int
    """People whose report of the user counted."""
    blockers: int
    """People who have a chat with the user and have blocked them."""
    unanswered_chats: int
    """WhatsApp users whom the user wrote to first, and who have not answered."""


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
    """The ids of the KEM prekeys that an account holds (KEY-10, KEY-15)."""

    last_resort: int | None
    """None when the account holds no KEM prekeys."""
    one_time: list[int]
    """Ascending."""


class PreKeyKind(Enum):
    """The kinds of prekeys that can run low (KEY-09, KEY-15)."""

    ONE_TIME = "one-time"
    KEM = "one-time KEM"


class PreKeyCounts(NamedTuple):
    """How many one-time prekeys are left."""

    one_time: int
    kem: int | None = None
    """None when the account holds no KEM prekeys, not even a last-resort one."""

    def few(self, threshold: int) -> frozenset[PreKeyKind]:
        """Returns the kinds of which fewer than the threshold are left (KEY-09)."""
        counted = ((PreKeyKind.ONE_TIME, self.one_time), (PreKeyKind.KEM, self.kem))
        return frozenset(kind for kind, count in counted if count is not None and count < threshold)


class PublishedKeys(NamedTuple):
    """The keys that an account publishes, without its one-time prekeys (KEY-01)."""

    registration_id: int
    """Full 32-bit range."""
    identity_key: bytes
    """32 bytes."""
    signed_prekey: SignedPreKey


PRIMARY_DEVICE = 0
"""The one device that an account has here (KEY-08)."""


class DeviceAddress(NamedTuple):
    """One device of an account."""

    jid: str
    """The account's JID, without a device."""
    device_id: int


class KnownDevice(NamedTuple):
    """What a caller that takes bundles knows of a device (KEY-12)."""

    device_id: int
    registration_id: int


class TakenBundle(NamedTuple):
    """A bundle taken from the store, and how many prekeys are left."""

    keys: PublishedKeys
    one_time_prekey: OneTimePreKey | None
    """None when none was left (KEY-06)."""
    remaining: int
    kem_prekey: KemPreKey | None = None
    """A one-time KEM prekey, or else the last-resort one; None when the account holds none (KEY-15)."""
    kem_remaining: int | None = None
    """One-time KEM prekeys that are left; None when the account holds no KEM prekey."""
    kem_is_last_resort: bool = False
    kem_withdrawn: bool = False
    """Whether the account has published KEM prekeys and no longer holds any (KEY-16)."""


class DeviceBundle(NamedTuple):
    """A taken bundle, and the device that its keys belong to."""

    device: DeviceAddress
    taken: TakenBundle


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
    stated_id: str = ""
    """The identifier as the partner stated it; empty when that is its normal form."""
    recent_since_ms: int = 0
    """Peers of chats with a message since then are notified of a changed identity (KEY-17)."""


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
    """Whether third-party chats are on."""
    integrators: frozenset[int] = frozenset()
    """The chosen partners, also while third-party chats are off."""
    inbox_mode: InboxMode = InboxMode.SEPARATE
    terms_shown: bool = False
    terms_accepted: bool = False

    @property
    def opted_in(self) -> frozenset[int]:
        """The partners that the user has opted in for: the chosen ones while third-party chats are on (OPT-02)."""
        return self.integrators if self.enabled else frozenset()


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
    """All facts but the number of pings that decide whether a reachability ping is delivered; one query (OPT-11)."""

    partner_name: str
    """Name of the sender's partner."""
    partner_active: bool
    recipient: Account | None
    """None when no WhatsApp user has the number."""
    opted_in: bool
    """Whether the recipient has third-party chats on and has chosen the sender's partner."""
    enabled: bool
    """Whether the recipient lets pings through at all."""
    partner_muted: bool
    recipient_blocked_sender: bool


class PingBounds(NamedTuple):
    """Limits on the number of reachability pings (OPT-12)."""

    counted_since_ms: int
    """The sender's pings after that time count."""
    most_counted: int
    outstanding_since_ms: int
    """A ping after that time is outstanding until its recipient opts in."""
    most_outstanding: int
    """Most outstanding pings for one recipient."""


class PingFate(Enum):
    """What happened to a reachability ping."""

    DELIVERED = auto()
    DROPPED = auto()
    """There was no notification to deliver."""
    OUTSTANDING = auto()
    """Dropped: an earlier ping of the sender is outstanding."""
    CROWDED = auto()
    """Dropped: the recipient has as many outstanding pings as allowed."""


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
    max_frame_bytes: int | None = None
    """The longest frame that the client takes; None when it does not say."""
    capabilities: frozenset[int] = frozenset()
    """Optional parts that the client knows, by number; also those that this server does not know."""


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
    """Since when its end client is closed, as the operator has reported (PRX-04); None while it is open."""
    fingerprint: str = field(default="")
    """Slot for a transport fingerprint in direct mode (PRX-05); this server takes none."""

    @property
    def signals_available(self) -> bool:
        """Says whether peer address and fingerprint belong to the end client (PRX-05)."""
        return self.mode is ConnectionMode.DIRECT
