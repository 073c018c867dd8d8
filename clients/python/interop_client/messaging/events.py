"""What a client tells its user; knows no wire format."""

from dataclasses import dataclass, field

from interop_client.errors import Recovery
from interop_client.media.reference import MediaReference


@dataclass(frozen=True, slots=True)
class Evidence:
    """What proves to the server what a message says, should its recipient report it (ABU-04)."""

    plaintext: bytes = field(repr=False)
    """The message as it was encrypted, without padding."""
    message_secret: bytes = field(repr=False)
    """32 bytes, from inside it."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What every message has."""

    sender: str
    """JID of who sent it."""
    id: str
    """Id of the message, unique per sender."""
    timestamp_ms: int
    """When the server took it: milliseconds since the UNIX epoch."""
    inbox_mode: str
    """How a WhatsApp user wants to see it: `SEPARATE` or `COMBINED`; empty for a third-party user (OPT-05)."""
    request_state: str
    """For a WhatsApp user: `REQUESTED` while the sender waits for an answer to their first message, `ACCEPTED`, or
    `DECLINED`; empty for a third-party user (OPT-14)."""
    offline: bool
    """Whether it waited for this connection."""
    retry_count: int = field(default=0, kw_only=True, compare=False)
    """0 for a first sending; otherwise which request of this client's it answers (RCP-04)."""
    evidence: Evidence | None = field(default=None, kw_only=True, repr=False, compare=False)
    """What proves to the server what it says. None when its sender gave no reporting token, or a wrong one: then a
    report of it can name it, but not show its words."""


@dataclass(frozen=True, slots=True)
class TextReceived(Incoming):
    """Somebody wrote."""

    text: str
    """What they wrote."""
    reply_to: str | None
    """Id of the message that it answers."""


@dataclass(frozen=True, slots=True)
class MediaReceived(Incoming):
    """Somebody sent a file, which is still to be downloaded."""

    media: MediaReference
    """Where it is and what opens it."""


@dataclass(frozen=True, slots=True)
class ReactionReceived(Incoming):
    """Somebody reacted to a message."""

    target_id: str
    """Id of that message."""
    emoji: str
    """The reaction; empty when it was taken off."""


@dataclass(frozen=True, slots=True)
class EditReceived(Incoming):
    """Somebody changed a text of theirs, within twenty minutes (MSG-12)."""

    target_id: str
    """Id of the message that they changed."""
    text: str
    """What it says now."""


@dataclass(frozen=True, slots=True)
class DeletionReceived(Incoming):
    """Somebody deleted a message of theirs for everybody (MSG-12)."""

    target_id: str
    """Id of that message."""


@dataclass(frozen=True, slots=True)
class ChangeRefused(Incoming):
    """Somebody wanted to change or delete a message and may not: leave it as it is (MSG-12)."""

    target_id: str
    """Id of the message."""
    reason: str
    """`NOT_OWN`: they say themselves that it is not theirs; `TOO_LATE`: for an edit, twenty minutes have passed, or the
    message is not among the newest that came within that time."""


@dataclass(frozen=True, slots=True)
class Unsupported(Incoming):
    """Somebody sent what third-party chats do not support: say that it cannot be shown (MSG-12)."""

    kind: str
    """`STICKER`, `DISAPPEARING_MESSAGES`, `PROTOCOL_MESSAGE_{type}`, or `FIELD_{number}` of what has no name here."""


Message = (
    TextReceived | MediaReceived | ReactionReceived | EditReceived | DeletionReceived | ChangeRefused | Unsupported
)
"""What a person sent."""


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message came that cannot be read, and that it does not help to ask for again; the server was told and will not
    bring it again."""

    sender: str
    """JID of who sent it."""
    id: str
    """Id of the message."""
    reason: str
    """Name of the error in `interop_client.signal.errors`, such as `NoSession`."""


@dataclass(frozen=True, slots=True)
class MessageAwaited:
    """A message came that cannot be read yet. The client has asked its sender for it again, who is to send it under
    the same id; `Undecryptable` follows when that has failed five times (RCP-03, RCP-04)."""

    sender: str
    """JID of who sent it."""
    id: str
    """Id of the message."""
    retry_count: int
    """How often it was asked for, this time included."""
    reason: str
    """Name of the error in `interop_client.signal.errors`, such as `NoSession`."""


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """A recipient could not decrypt a message of this user's. The client sends it again by itself: `MessageResent` or
    `RetryUnanswered` follows (RCP-03)."""

    sender: str
    """JID of the recipient of the message, who asks for it."""
    message_id: str
    """Id of the message."""
    retry_count: int
    """How often they have asked, this time included."""
    reason: int
    """`RetryReason` of stanza.proto."""


@dataclass(frozen=True, slots=True)
class MessageResent:
    """A message was sent again because its recipient had asked for it. No delivery: `on_event` does not see it."""

    to_jid: str
    """JID of the recipient."""
    id: str
    """Id of the message."""
    retry_count: int
    """Of the request that this answers."""
    timestamp_ms: int
    """When the server took it: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class RetryUnanswered:
    """A message that its recipient had asked for could not be sent again. No delivery: `on_event` does not see it."""

    to_jid: str
    """JID of the recipient."""
    id: str
    """Id of the message."""
    reason: str
    """`CONTENT_UNKNOWN` when what it says is not kept any more, see `ClientOptions.find_sent`; the reason of the
    server's refusal; or the name of an error in `interop_client.signal.errors`."""


@dataclass(frozen=True, slots=True)
class MediaRetryRequested:
    """A recipient found the file of a message gone: `resend_media` uploads it and sends the message again (MED-08)."""

    sender: str
    """JID of the recipient of the message, who asks for it."""
    message_id: str
    """Id of the message."""
    retry_count: int
    """How often they have asked, this time included."""
    status: int
    """What the download was answered with: 404 or 410."""


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody is typing to this user (MSG-13). No delivery: `on_event` does not see it, and while too many events wait
    it is dropped."""

    sender: str
    """JID of who is typing."""
    state: str
    """`COMPOSING`, `RECORDING` or `PAUSED`."""
    expires_after_seconds: int
    """Forget it after so many seconds, or when a message of theirs comes."""


@dataclass(frozen=True, slots=True)
class ReceiptReceived:
    """The recipient's device has messages, or the recipient has seen them. May come twice for the same message."""

    sender: str
    """JID of the recipient of the messages, who sent the receipt."""
    is_read: bool
    """Whether they were seen; otherwise they were delivered."""
    message_ids: tuple[str, ...]
    """Ids of the messages."""
    timestamp_ms: int
    """When the server took the receipt: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A peer has a new identity key: show a security notice. The next message goes to the new key (KEY-17)."""

    jid: str
    """The peer."""


@dataclass(frozen=True, slots=True)
class PreKeysLow:
    """Few one-time prekeys are left at the server (KEY-09)."""

    count: int
    """How many."""
    kem_count: int | None = None
    """How many one-time KEM prekeys are left; None when none were published (KEY-15)."""


@dataclass(frozen=True, slots=True)
class ChallengeCode:
    """The code that answers a challenge (ABU-06)."""

    challenge_id: str
    """The challenge that it answers."""
    digits: str
    """6 digits."""


@dataclass(frozen=True, slots=True)
class ReachabilityPing:
    """A third-party user would like to write: to a WhatsApp user who has not opted in for their messenger (OPT-10)."""

    integrator: int
    """The messenger."""
    partner_name: str
    """Its name."""
    display_name: str
    """What the third-party user calls themselves; nobody has verified it."""
    timestamp_ms: int
    """When: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class TrustedContact:
    """A WhatsApp user wrote back or accepted the message request (OPT-14)."""

    jid: str
    """The WhatsApp user."""
    expires_at_ms: int
    """When the mark ends unless it is renewed: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class DigestRequested:
    """The server asks for a comparison of keys. The client makes it by itself; `PreKeysCompared` follows (KEY-10)."""


@dataclass(frozen=True, slots=True)
class PqDowngrade:
    """A bundle that was taken lacks the KEM prekey that the peer is known to have (KEY-16).

    The peer has stopped publishing them, or somebody between keeps them away. No delivery: `on_event` does not see it.
    """

    jid: str
    """The peer."""


@dataclass(frozen=True, slots=True)
class PreKeysCompared:
    """The keys were compared with the server's because it had asked. No delivery: `on_event` does not see it."""

    were_intact: bool
    """Whether they were the same; otherwise all were published anew."""


@dataclass(frozen=True, slots=True)
class OfflinePreview:
    """What waited while the client was away; it follows by itself (MSG-08)."""

    messages: int
    receipts: int
    notifications: int
    retry_receipts: int = 0


@dataclass(frozen=True, slots=True)
class OfflineEnd:
    """All that waited has come."""

    count: int
    """How many deliveries it was."""


@dataclass(frozen=True, slots=True)
class StanzaRefused:
    """The server refused a stanza other than a message."""

    id: str
    """Id of the stanza, when it has one."""
    kind: str
    """What it was, such as `receipt` or `call_offer`; empty when the server did not know."""
    reason: str
    """Name of the reason."""
    advice: str
    """What to do about it."""
    request_id: str
    """Names the refusal in the server's journal, for `interopsim explain`."""
    recovery: Recovery
    """What to do about it, for programs."""


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The channel ended without `close`. `connect` opens a new one."""

    reason: str
    """Name of the reason, as in ConnectionEnded."""
    advice: str
    """What to do about it; may be empty."""
    recovery: Recovery = Recovery.UNKNOWN
    """What to do about it, for programs."""


Event = (
    Message
    | Undecryptable
    | MessageAwaited
    | RetryRequested
    | MessageResent
    | RetryUnanswered
    | MediaRetryRequested
    | Typing
    | ReceiptReceived
    | IdentityChanged
    | PreKeysLow
    | ChallengeCode
    | ReachabilityPing
    | TrustedContact
    | DigestRequested
    | PreKeysCompared
    | PqDowngrade
    | OfflinePreview
    | OfflineEnd
    | StanzaRefused
    | ConnectionLost
)
"""Anything that a client tells."""
