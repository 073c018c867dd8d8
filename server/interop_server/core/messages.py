"""What users send each other, and what is kept of it; knows nothing of how it is sent or stored.

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
    """What a stored notification is about. Numbers are the field numbers of `Notification`; 1 is never stored."""

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
    """All facts that decide whether a sender may reach a recipient, read in one query (MSG-06)."""

    account_id: int
    jid: str
    integrator: int
    """The recipient's partner; 0 for a WhatsApp user."""
    external_id: str
    """Normalised."""
    partner_active: bool
    """Whether the partner of the third-party end is active."""
    opted_in: bool
    """Whether the WhatsApp end has third-party chats on and has chosen that partner."""
    sender_blocked_recipient: bool
    recipient_blocked_sender: bool
    read_receipts: bool
    """Whether the recipient has read receipts on (RCP-01)."""
    mailbox_items: int
    """Items that wait for the recipient; not counted, and 0, when the WhatsApp end has not opted in (OPT-09)."""
    mailbox_bytes: int
    request_state: MessageRequestState | None = None
    """State of the first contact; None when neither user has written (OPT-14)."""
    trusted_until_ms: int = 0
    """End of the third-party user's newest trusted-contact mark; 0 without a mark (OPT-14)."""
    registration_id: int | None = None
    """The registration id that the recipient has published; None before (MSG-05)."""
    stated_id: str = ""
    """The identifier as the partner stated it; empty when that is its normal form."""

    @property
    def known_as(self) -> str:
        """Returns the identifier by which the partner knows its user: as it stated it itself (LIF-01)."""
        return self.stated_id or self.external_id


class DeviceCiphertext(NamedTuple):
    """A message as it was encrypted for one device of its recipient."""

    type: CiphertextType
    device_id: int
    ciphertext: bytes
    registration_id: int | None = None
    """The registration id that the sender's session was made with; None if the sender does not say (MSG-05)."""


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
    """16 bytes, or empty (ABU-04)."""


class ReportedMessage(NamedTuple):
    """A message that a report names, of valid form (ABU-03)."""

    stanza_id: str
    revealed: "RevealedContent | None"
    """What the reporter reveals of the message; None when they reveal nothing."""


class RevealedContent(NamedTuple):
    """What a reporter reveals of a message. Used once, to verify it, and never kept (ABU-04, ABU-08)."""

    plaintext: bytes
    """The serialised `Message` of content.proto."""
    message_secret: bytes
    """32 bytes, taken from the plaintext."""


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
    """How often the recipient has asked, this time included."""
    reason: RetryReason
    registration_id: int
    keys: RetryKeys | None
    media_status: int | None
    """404 or 410 when the recipient lacks the blob (MED-08)."""


class RetryOutcome(Enum):
    """What happened to a retry receipt in the store."""

    FORWARDED = auto()
    NEVER_SENT = auto()
    """Its recipient never sent that message to its sender (RCP-05)."""
    TOO_MANY = auto()
    """Enough retry receipts were forwarded for that message (RCP-04)."""


class ChatEntry(NamedTuple):
    """What a message changes in the chat of its two ends (OPT-06, OPT-14). `first_contact.chat_entry` decides it."""

    whatsapp_id: int
    third_party_id: int
    opens_as: MessageRequestState
    """State of the first contact if this message opens the chat."""
    is_listed: bool
    """Whether the WhatsApp user's list shows the chat from now on. False leaves the list as it is."""
    answer: "RequestAnswer | None" = None
    """Of a WhatsApp user's message that is not a repetition: what it answers by being stored."""


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
    """MessageType; 0 when the item is not a message."""
    stanza_id: str
    """Id of the message, or of the message that a retry receipt asks for; empty for a receipt or notification."""
    timestamp_ms: int
    content: bytes
    """The ciphertext of a message; otherwise what `mailbox_content.encode` returns."""
    retry_count: int = 0
    """Of a message or retry receipt: 0 for a first sending."""
    reporting_token: bytes = b""
    """Of a message: 16 bytes, or empty."""
    is_dropped: bool = False
    """Whether a message is remembered as sent but not delivered (ABU-02, OPT-14)."""
    chat: ChatEntry | None = None
    """Of a message that is put; None when an item is read, and for other kinds of items."""


class RequestAnswer(NamedTuple):
    """What a WhatsApp user's answer to a message request writes (OPT-14)."""

    whatsapp_id: int
    third_party_id: int
    state: MessageRequestState
    trusted_until_ms: int = 0
    """End of the trusted-contact mark that is put; 0 for none."""
    notice: MailboxItem | None = None
    """The notification of that mark to the third-party user."""


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
    """The result of storing an item of a mailbox; of a notification the timestamp only."""

    timestamp_ms: int
    """Of a duplicate: when this (sender, id) was first stored (MSG-04)."""
    duplicate: bool
    other_recipient: bool = False
    """Of a duplicate: whether the first message was to another recipient, so that this one does not repeat it."""
    delivery: "Delivery | None" = None
    """What waits now for the recipient; None for a duplicate, and for what goes into no mailbox."""
    follows: int = 0
    """The id of the delivery that waits before it; 0 when there is none."""


class SentMessage(NamedTuple):
    """What is remembered of an accepted message, long after it was acked: never its content."""

    recipient_id: int
    timestamp_ms: int
    """When it was first sent."""
    reporting_token: bytes
    """Of its last sending: 16 bytes, or none (ABU-04)."""
    is_dropped: bool
    """Whether it was dropped."""
    retry_count: int
    """Of the last sending that was delivered (RCP-04)."""
    retries_allowed: int
    """The largest count of a retry receipt that was forwarded to its sender."""

    def allows_resend(self, recipient_id: int, retry_count: int) -> bool:
        """Says whether sending it again answers a retry receipt, and is not a duplicate (RCP-04)."""
        return recipient_id == self.recipient_id and self.retry_count < retry_count <= self.retries_allowed


class Backlog(NamedTuple):
    """What waits for a recipient at the time of a login (MSG-08)."""

    messages: int
    receipts: int
    notifications: int
    retry_receipts: int
    last_delivery_id: int
    """0 when nothing waits."""

    @property
    def total(self) -> int:
        """All waiting items."""
        return self.messages + self.receipts + self.notifications + self.retry_receipts


class Chat(NamedTuple):
    """A WhatsApp user's chat with a third-party user (OPT-06)."""

    peer_jid: str
    integrator: int
    external_id: str
    last_message_at_ms: int
    read_only: bool
    request_state: MessageRequestState
    """Whether the chat is a message request, and how it was answered (OPT-14)."""
