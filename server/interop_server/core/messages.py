"""What passes between people, and what is kept of it; knows nothing of how it is sent or stored.

Numbers of the enums are those of `protos/interop_api`, so that conversion is a cast.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import ClassVar, NamedTuple

from interop_server.core.model import InboxMode, MessageRequestState, OneTimePreKey, SignedPreKey


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


@dataclass(frozen=True, slots=True)
class Indicator:
    """What a person is doing in a chat just now: the peer sees it at once or never. One class for each kind."""

    kind: ClassVar[str]
    """Its kind of stanza, as the wire names it."""

    @property
    def detail(self) -> str:
        """What the journal says of it beside its kind."""
        return ""


class NotificationType(IntEnum):
    """What a stored notification is about. Numbers are those of the fields of `Notification`; 1 is never stored."""

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
    to_jid: str
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


class ChatEntry(NamedTuple):
    """What a message does to the chat of its two ends (OPT-06, OPT-14). `first_contact.chat_entry` decides it."""

    whatsapp_id: int
    third_party_id: int
    opens_as: MessageRequestState
    """State of the first contact if this message opens the chat."""
    is_listed: bool
    """Whether the WhatsApp user's list shows the chat from now on; if not, it stays as it is."""


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
    """The ciphertext of a message; of anything else what `mailbox_content.encode` makes."""
    retry_count: int = 0
    """Of a message or retry receipt: 0 for a first sending."""
    reporting_token: bytes = b""
    """Of a message: 16 bytes, or none."""
    is_dropped: bool = False
    """Whether a message is remembered as sent, and goes nowhere (ABU-02, OPT-14)."""
    chat: ChatEntry | None = None
    """Of a message that is put; None when it is read, and for everything else."""


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
    """Grows with every item stored for its recipient; never 0."""
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
    other_recipient: bool = False
    """Of a duplicate: whether the first was to another recipient, so that this is no repetition of it."""


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
