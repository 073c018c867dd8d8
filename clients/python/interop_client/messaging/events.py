"""The events that a client gives to the application; knows no wire format."""

from dataclasses import dataclass, field

from interop_client.errors import Recovery
from interop_client.media.reference import MediaReference


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proves to the server what a message says, when its recipient reports it (ABU-04)."""

    plaintext: bytes = field(repr=False)
    """The decrypted message, without padding."""
    message_secret: bytes = field(repr=False)
    """32 bytes, part of the plaintext."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """The fields of every message."""

    sender: str
    """JID of the sender."""
    id: str
    """Id of the message, unique per sender."""
    timestamp_ms: int
    """When the server accepted it: milliseconds since the UNIX epoch."""
    inbox_mode: str
    """How a WhatsApp user wants to see it: `SEPARATE` or `COMBINED`; empty for a third-party user (OPT-05)."""
    request_state: str
    """For a WhatsApp user: `REQUESTED` while the sender waits for an answer to their first message, `ACCEPTED`, or
    `DECLINED`; empty for a third-party user (OPT-14)."""
    offline: bool
    """Whether it waited on the server for this connection."""
    retry_count: int = field(default=0, kw_only=True, compare=False)
    """0 for a first sending; otherwise the number of this client's request that it answers (RCP-04)."""
    evidence: Evidence | None = field(default=None, kw_only=True, repr=False, compare=False)
    """Proves to the server what the message says. None when the sender gave no reporting token or a wrong one: a report
    can then name the message, but not reveal its content."""


@dataclass(frozen=True, slots=True)
class TextReceived(Incoming):
    """A peer sent a text."""

    text: str
    """The text."""
    reply_to: str | None
    """Id of the message that it answers."""


@dataclass(frozen=True, slots=True)
class MediaReceived(Incoming):
    """A peer sent a file, which the application has to download."""

    media: MediaReference
    """The path and the key of its blob."""


@dataclass(frozen=True, slots=True)
class ReactionReceived(Incoming):
    """A peer reacted to a message."""

    target_id: str
    """Id of that message."""
    emoji: str
    """The reaction; empty when the peer removed it."""


@dataclass(frozen=True, slots=True)
class EditReceived(Incoming):
    """A peer edited one of their texts, within twenty minutes (MSG-12)."""

    target_id: str
    """Id of the edited message."""
    text: str
    """The new text."""


@dataclass(frozen=True, slots=True)
class DeletionReceived(Incoming):
    """A peer deleted one of their messages on both sides (MSG-12). When it overtakes the message, it comes after it,
    and may come before it too."""

    target_id: str
    """Id of that message."""


@dataclass(frozen=True, slots=True)
class ChangeRefused(Incoming):
    """A peer tried to edit or delete a message and may not: leave the message as it is (MSG-12)."""

    target_id: str
    """Id of the message."""
    reason: str
    """`NOT_OWN`: the change itself says that the peer did not send the message; `SUPERSEDED`: a newer edit came before
    this one; `TOO_LATE`: for an edit, twenty minutes have passed, or the message is not among the newest that came
    within that time. If the message itself has not come, the edit follows should it still come."""


@dataclass(frozen=True, slots=True)
class Unsupported(Incoming):
    """A peer sent a content that third-party chats do not support: show that it cannot be shown (MSG-12)."""

    kind: str
    """`STICKER`, `DISAPPEARING_MESSAGES`, `PROTOCOL_MESSAGE_{type}`, or `FIELD_{number}` for a field unknown here."""


Message = (
    TextReceived | MediaReceived | ReactionReceived | EditReceived | DeletionReceived | ChangeRefused | Unsupported
)
"""A message that a peer sent."""


UNKNOWN_TYPE = "UNKNOWN_TYPE"
"""Why a message that is newer than this client is not opened."""


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message came that the client cannot decrypt, and that it would not help to ask for again. The client has told
    the server, which will not deliver it again."""

    sender: str
    """JID of the sender."""
    id: str
    """Id of the message."""
    reason: str
    """Name of the error in `interop_client.signal.errors`, such as `NoSession`; or `UNKNOWN_TYPE` when the message, or
    its ciphertext, is of a type that is newer than this client."""


@dataclass(frozen=True, slots=True)
class MessageAwaited:
    """A message came that the client cannot decrypt yet. The client has asked its sender to send it again under the
    same id; `Undecryptable` follows when that has failed five times (RCP-03, RCP-04)."""

    sender: str
    """JID of the sender."""
    id: str
    """Id of the message."""
    retry_count: int
    """How often the client has asked for it, this time included."""
    reason: str
    """Name of the error in `interop_client.signal.errors`, such as `NoSession`."""


@dataclass(frozen=True, slots=True)
class MessageHeld:
    """A message came under another identity key than the peer's known one, and no notification of the change has come.

    It waits on the server, unacked, for the user's decision: `accept_identity` opens it, `refuse_identity` drops it. It
    is told again in every connection until then.
    """

    sender: str
    """JID of the sender."""
    id: str
    """Id of the message."""
    identity_key: bytes
    """The key that the sender presents, 32 bytes, to compare with theirs in person."""


@dataclass(frozen=True, slots=True)
class RetryRequested:
    """A recipient could not decrypt a message that this user sent. The client sends it again by itself: `MessageResent`
    or `RetryUnanswered` follows (RCP-03)."""

    sender: str
    """JID of the recipient of the message, who asks for it."""
    message_id: str
    """Id of the message."""
    retry_count: int
    """How often the recipient has asked, this time included."""
    reason: int
    """`RetryReason` of stanza.proto."""


@dataclass(frozen=True, slots=True)
class MessageResent:
    """The client sent a message again on the recipient's request. Not a delivery: `on_event` does not see it."""

    to_jid: str
    """JID of the recipient."""
    id: str
    """Id of the message."""
    retry_count: int
    """Of the request that this answers."""
    timestamp_ms: int
    """When the server accepted it: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class RetryUnanswered:
    """The client could not send a message again that its recipient asked for. Not a delivery: `on_event` does not see
    it."""

    to_jid: str
    """JID of the recipient."""
    id: str
    """Id of the message."""
    reason: str
    """`CONTENT_UNKNOWN` when neither client nor application still has its content, see `ClientOptions.find_sent`; the
    reason of the server's refusal; or the name of an error in `interop_client.signal.errors`."""


@dataclass(frozen=True, slots=True)
class MediaRetryRequested:
    """A recipient could not download the file of a message, since its blob is gone: `resend_media` uploads the file and
    sends the message again (MED-08)."""

    sender: str
    """JID of the recipient of the message, who asks for it."""
    message_id: str
    """Id of the message."""
    retry_count: int
    """How often the recipient has asked, this time included."""
    status: int
    """The status of the recipient's download: 404 or 410."""


@dataclass(frozen=True, slots=True)
class Typing:
    """A peer is typing to this user (MSG-13). Not a delivery: `on_event` does not see it, and the client drops it while
    too many events wait."""

    sender: str
    """JID of the peer."""
    state: str
    """`COMPOSING`, `RECORDING` or `PAUSED`."""
    expires_after_seconds: int
    """Forget it after so many seconds, or when a message from the peer comes."""


@dataclass(frozen=True, slots=True)
class ReceiptReceived:
    """The recipient's device has messages, or the recipient has read them. May come twice for the same message."""

    sender: str
    """JID of the recipient of the messages, who sent the receipt."""
    is_read: bool
    """Whether the recipient has read them; otherwise their device has received them."""
    message_ids: tuple[str, ...]
    """Ids of the messages."""
    timestamp_ms: int
    """When the server accepted the receipt: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A peer has a new identity key: warn the user. The next message goes to the new key (KEY-17)."""

    jid: str
    """The peer."""


@dataclass(frozen=True, slots=True)
class PreKeysLow:
    """The server has few one-time prekeys of this account left (KEY-09)."""

    count: int
    """How many are left."""
    kem_count: int | None = None
    """How many one-time KEM prekeys are left; None when the account has published none (KEY-15)."""


@dataclass(frozen=True, slots=True)
class ChallengeCode:
    """The code that answers a challenge (ABU-06)."""

    challenge_id: str
    """The challenge that it answers."""
    digits: str
    """6 digits."""


@dataclass(frozen=True, slots=True)
class ReachabilityPing:
    """A third-party user would like to write to this WhatsApp user, who has not opted in for their partner (OPT-10)."""

    integrator: int
    """The partner of the third-party user."""
    partner_name: str
    """The partner's name."""
    display_name: str
    """The name that the third-party user gives themselves; not verified."""
    timestamp_ms: int
    """When the third-party user sent it: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class TrustedContact:
    """A WhatsApp user wrote back or accepted the message request (OPT-14)."""

    jid: str
    """The WhatsApp user."""
    expires_at_ms: int
    """When the mark ends unless it is renewed: milliseconds since the UNIX epoch."""


@dataclass(frozen=True, slots=True)
class DigestRequested:
    """The server asks the client to compare keys. The client does so by itself; `PreKeysCompared` follows (KEY-10).

    It is told again in every connection until then.
    """


@dataclass(frozen=True, slots=True)
class PqDowngrade:
    """A peer's bundle lacks a KEM prekey, although the peer is known to have published some (KEY-16).

    The peer has stopped publishing KEM prekeys, or an attacker withholds them. Not a delivery: `on_event` does not see
    it.
    """

    jid: str
    """The peer."""


@dataclass(frozen=True, slots=True)
class PreKeysCompared:
    """The client compared its keys with the server's, which had asked for it. Not a delivery: `on_event` does not see
    it."""

    were_intact: bool
    """Whether they were the same; otherwise the client has published all anew."""


@dataclass(frozen=True, slots=True)
class OfflinePreview:
    """How many deliveries waited while the client was offline; they follow without a request (MSG-08)."""

    messages: int
    receipts: int
    notifications: int
    retry_receipts: int = 0


@dataclass(frozen=True, slots=True)
class OfflineEnd:
    """All waiting deliveries have come."""

    count: int
    """How many deliveries waited."""


@dataclass(frozen=True, slots=True)
class StanzaRefused:
    """The server refused a stanza other than a message. Not kept when `event_capacity` events wait already."""

    id: str
    """Id of the stanza, when it has one."""
    kind: str
    """Kind of the stanza, such as `receipt` or `call_offer`; empty when the server did not know it."""
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
    | MessageHeld
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
"""Any event that a client gives to the application."""
