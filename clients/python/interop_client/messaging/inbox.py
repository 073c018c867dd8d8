"""Decrypts the server's deliveries and decides the answers; knows no network and saves nothing.

Source: MSG-09, MSG-10, RCP-01, RCP-03, RCP-04, MED-08, KEY-17.
"""

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.memory import KEY_BYTES, MAX_FINISHED
from interop_client.messaging.changes import Changes
from interop_client.messaging.contents import message_event
from interop_client.messaging.events import (
    UNKNOWN_TYPE,
    ChallengeCode,
    DeletionReceived,
    DigestRequested,
    EditReceived,
    Event,
    Evidence,
    IdentityChanged,
    Incoming,
    MediaRetryRequested,
    Message,
    MessageAwaited,
    MessageHeld,
    OfflineEnd,
    OfflinePreview,
    PreKeysLow,
    ReachabilityPing,
    ReceiptReceived,
    RetryRequested,
    TrustedContact,
    Undecryptable,
)
from interop_client.messaging.retries import ask_again, can_help, end_asking
from interop_client.signal.content import parse_message, unpad
from interop_client.signal.errors import InvalidContent, InvalidMessage, SignalError, UntrustedIdentity
from interop_client.signal.store import CiphertextType
from interop_client.state import ClientState
from interop_protocol.franking import is_reporting_token
from interop_protocol.sizes import MAX_RECEIPT_IDS

DELIVERY_KINDS = frozenset({"message", "receipt", "retry_receipt", "notification", "offline_preview", "offline_end"})
"""Kinds of stanzas that `open` understands and must get in order of arrival."""

MAX_HELD = 256
"""How many messages wait for the user's decision about an identity key at once; the server counts them as in flight."""

_NACK_PARSE = 487
_NACK_UNKNOWN_STANZA = 488
_NACK_UNKNOWN_TYPE = 490
_NACK_PROTOBUF = 491
_NACK_UNHANDLED = 500

_INBOX_MODES = {
    stanza_pb2.INBOX_MODE_SEPARATE: "SEPARATE",
    stanza_pb2.INBOX_MODE_COMBINED: "COMBINED",
}
_REQUEST_STATES = {
    stanza_pb2.MESSAGE_REQUEST_STATE_REQUESTED: "REQUESTED",
    stanza_pb2.MESSAGE_REQUEST_STATE_ACCEPTED: "ACCEPTED",
    stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED: "DECLINED",
}
_MESSAGE_TYPES = frozenset(stanza_pb2.MessageType.values())
_ENC_TYPES = frozenset(stanza_pb2.CiphertextType.values())
_RECEIPT_TYPES = frozenset(stanza_pb2.ReceiptType.values())
_CIPHERTEXT_TYPES = {
    stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE: CiphertextType.PREKEY,
    stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET: CiphertextType.DOUBLE_RATCHET,
}


@dataclass(slots=True)
class Answers:
    """The client's answers to deliveries, to send once the state is saved."""

    acks: list[int] = field(default_factory=list)
    """Ids of deliveries that the server may delete."""
    nacks: dict[int, int] = field(default_factory=dict)
    """Code for each delivery that the client cannot process, by its id (MSG-10)."""
    delivered: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Ids of the decrypted messages, by sender."""
    retries: list[stanza_pb2.RetryReceipt] = field(default_factory=list)
    """Requests to send messages again that the client could not decrypt."""

    def stanzas(self) -> Iterator[stanza_pb2.Stanza]:
        """Yields the stanzas of all answers."""
        for retry in self.retries:  # before the acks, after which the server forgets the message
            yield stanza_pb2.Stanza(retry_receipt=retry)
        for sender, ids in self.delivered.items():
            yield from receipts(stanza_pb2.RECEIPT_TYPE_DELIVERED, sender, ids)
        for delivery_id, code in self.nacks.items():
            if delivery_id:  # what has none is no delivery, whatever it says
                yield stanza_pb2.Stanza(nack=stanza_pb2.Nack(delivery_id=delivery_id, nack_code=code))
        if acks := [delivery_id for delivery_id in self.acks if delivery_id]:
            yield stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=acks))


def receipts(
    receipt_type: stanza_pb2.ReceiptType.ValueType, to: str, message_ids: list[str]
) -> Iterator[stanza_pb2.Stanza]:
    """Yields the receipts for messages from one sender, as few as the limit allows."""
    for at in range(0, len(message_ids), MAX_RECEIPT_IDS):
        ids = message_ids[at : at + MAX_RECEIPT_IDS]
        yield stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(type=receipt_type, to_jid=to, message_ids=ids))


@dataclass(frozen=True, slots=True)
class Opened:
    """A delivery on its way through the application, which `Inbox.finish` ends."""

    events: tuple[Event, ...] = ()
    """For the application, in order."""
    key: bytes | None = None
    """What to know the delivery by when it comes again; None when it must then be opened again."""
    name: tuple[str, str] | None = None
    """Sender and id of the message that it brought."""
    again: tuple[stanza_pb2.Stanza, ...] = ()
    """Deliveries held so far, to open next."""


class Inbox:
    """Opens deliveries with the keys of one account.

    Args:
        state: The account's keys, sessions and memory of deliveries; opening changes them.
        in_flight: How many deliveries the server may have in flight, so may deliver again.
    """

    def __init__(self, state: ClientState, in_flight: int = MAX_FINISHED) -> None:
        self._state = state
        self._signal = state.signal
        self._changes = Changes(state.deliveries)
        self._in_flight = in_flight
        self._max_held = min(MAX_HELD, in_flight // 2)
        self._held: list[stanza_pb2.Stanza] = []
        self.retries: deque[tuple[int, stanza_pb2.RetryReceipt]] = deque()
        """Recipients' requests to send messages again, each with its delivery id, which is acked after the answer."""
        self.digests: list[int] = []
        """Ids of the server's requests to compare keys, which are acked after that, too."""

    def open(self, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        """Opens one delivery and adds its answer to `answers`, which may leave after `finish`.

        Returns:
            What to hand over: no event for a repeated delivery, or a kind that is newer than this client.
        """
        kind, key = stanza.WhichOneof("kind"), _key_of(stanza)
        if (code := _code_of_unknown(stanza)) is not None:
            return Opened(_unknown_event(stanza, code, answers))
        is_for_text = kind == "retry_receipt" and not stanza.retry_receipt.HasField("media_status")
        if is_for_text:
            self.retries.append((stanza.delivery_id, stanza.retry_receipt))  # acked, too, once it is answered
            return Opened((_retry_event(stanza.retry_receipt),))
        if stanza.notification.HasField("digest_requested"):
            self.digests.append(stanza.delivery_id)
            return Opened((DigestRequested(),))
        if self._is_repeated(stanza, key):
            _answer_again(stanza, answers)
            return Opened()
        if kind == "message":
            return self._open_message(stanza, key, answers)
        answers.acks.append(stanza.delivery_id)
        if kind == "notification":
            return self._notified(stanza.notification, key)
        if kind == "receipt":
            return Opened((_receipt_event(stanza.receipt),), key)
        if kind == "retry_receipt":
            return Opened((_retry_event(stanza.retry_receipt),), key)
        if kind == "offline_preview":
            preview = stanza.offline_preview
            counts = (preview.messages, preview.receipts, preview.notifications, preview.retry_receipts)
            return Opened((OfflinePreview(*counts),))
        return Opened((OfflineEnd(stanza.offline_end.count),))

    def finish(self, opened: Opened) -> None:
        """Notes that the application has finished a delivery. Only then may it be acked."""
        if opened.key is not None:
            self._state.deliveries.finish(opened.key, self._in_flight)
        if opened.name is not None:
            if opened.key is not None:  # whichever copy it was, the first one must not be shown after it
                self._state.deliveries.finish(message_key(*opened.name), self._in_flight)
            self._state.deliveries.changes.pop(opened.name, None)
            end_asking(self._state, opened.name)

    def release(self, jid: str) -> tuple[stanza_pb2.Stanza, ...]:
        """Returns the messages from a peer that wait for the user's decision, in order; they wait no longer."""
        released = tuple(stanza for stanza in self._held if stanza.message.from_jid == jid)
        self._held = [stanza for stanza in self._held if stanza.message.from_jid != jid]
        return released

    def _is_repeated(self, stanza: stanza_pb2.Stanza, key: bytes | None) -> bool:
        if key is None or key not in self._state.deliveries.finished:
            return False
        # What was asked for once more after it had come, such as a file, is wanted again; the copies before it are not.
        asked = self._state.deliveries.asked.get((stanza.message.from_jid, stanza.message.id))
        return asked is None or stanza.message.retry_count < asked.count

    def _open_message(self, stanza: stanza_pb2.Stanza, key: bytes | None, answers: Answers) -> Opened:
        message, envelope = stanza.message, _envelope(stanza)
        try:
            plaintext = unpad(self._decrypted(message, key))
            content = parse_message(plaintext)
            event = message_event(content, replace(envelope, evidence=self._evidence(message, content, plaintext)))
        except UntrustedIdentity as error:
            return self._held_or_closed(stanza, error, answers)
        except SignalError as error:
            # An invalid content would be the same again.
            return Opened((self._closed(stanza, error, answers),), key if isinstance(error, InvalidContent) else None)
        answers.acks.append(stanza.delivery_id)
        answers.delivered[envelope.sender].append(envelope.id)
        events = self._changes.settle(event, content, plaintext, is_here=self._is_here(event))
        return Opened(events, key, (envelope.sender, envelope.id))

    def _is_here(self, event: Message) -> bool:
        if not isinstance(event, EditReceived | DeletionReceived):
            return True
        target, deliveries = (event.sender, event.target_id), self._state.deliveries
        return target in deliveries.texts or message_key(*target) in deliveries.finished

    def _decrypted(self, message: stanza_pb2.Message, key: bytes | None) -> bytes:
        """Decrypts a message, or returns what it was decrypted to before a crash."""
        opened = self._state.deliveries.opened
        if key in opened:
            return opened[key]
        plaintext = self._decrypt(message, message.from_jid)
        if key is not None:
            self._state.deliveries.keep_opened(key, plaintext)
        return plaintext

    def _held_or_closed(self, stanza: stanza_pb2.Stanza, error: UntrustedIdentity, answers: Answers) -> Opened:
        """Leaves a message on the server, unacked, until the user has decided about its sender's identity key."""
        if len(self._held) >= self._max_held:
            return Opened((self._closed(stanza, error, answers),))
        self._held.append(stanza)
        return Opened((MessageHeld(error.remote, stanza.message.id, error.presented),))

    def _closed(self, stanza: stanza_pb2.Stanza, error: SignalError, answers: Answers) -> Event:
        """Decides about a message that could not be opened: asks the sender for it again, or gives up."""
        message = stanza.message
        sender, reason = message.from_jid, type(error).__name__
        name = (sender, message.id)
        retry = None
        if can_help(error):
            retry = ask_again(self._state, name, message.retry_count, reason=error.retry_reason)
        if retry is None:
            answers.nacks[stanza.delivery_id] = _nack_code(error)
            return Undecryptable(sender, message.id, reason)
        answers.retries.append(retry)
        answers.acks.append(stanza.delivery_id)
        return MessageAwaited(sender, message.id, retry.retry_count, reason)

    def _evidence(self, message: stanza_pb2.Message, content: content_pb2.Message, plaintext: bytes) -> Evidence | None:
        secret = content.message_context_info.message_secret
        names = (message.from_jid, self._state.jid, message.id)
        if not is_reporting_token(message.reporting_token, secret, *names, plaintext):
            return None
        return Evidence(plaintext, secret)

    def _decrypt(self, message: stanza_pb2.Message, sender: str) -> bytes:
        if len(message.enc) != 1 or message.enc[0].type not in _CIPHERTEXT_TYPES:
            raise InvalidMessage("a delivery has exactly one ciphertext, of a session")
        enc = message.enc[0]
        return self._signal.decrypt(sender, _CIPHERTEXT_TYPES[enc.type], enc.ciphertext)

    def _notified(self, notification: stanza_pb2.Notification, key: bytes | None) -> Opened:
        if notification.WhichOneof("event") == "identity_changed":
            jid = notification.identity_changed.jid
            self._signal.accept_identity(jid)  # pins the next key that the peer presents
            return Opened((IdentityChanged(jid),), key, again=self.release(jid))
        return Opened((_notification_event(notification),), key)


def _answer_again(stanza: stanza_pb2.Stanza, answers: Answers) -> None:
    """Answers a delivery that was finished before: its ack was lost, and perhaps its receipt with it."""
    answers.acks.append(stanza.delivery_id)
    if stanza.HasField("message"):  # what is remembered was decrypted
        answers.delivered[stanza.message.from_jid].append(stanza.message.id)


def _key_of(stanza: stanza_pb2.Stanza) -> bytes | None:
    """Returns what a delivery is known by when it comes again: a message by its name, anything else by its bytes."""
    if stanza.HasField("message"):
        message = stanza.message
        # A text that was sent again is the same; a file is another blob, which the application wants again (MED-08).
        is_file = message.type == stanza_pb2.MESSAGE_TYPE_MEDIA
        return message_key(message.from_jid, message.id, message.retry_count if is_file else 0)
    if not stanza.delivery_id:
        return None
    body = stanza_pb2.Stanza()
    body.CopyFrom(stanza)
    body.offline = False
    return _digest(body.SerializeToString(deterministic=True))


def message_key(sender: str, message_id: str, copy: int = 0) -> bytes:
    """Returns what the delivery of a message, or of a later copy of it, is known by when it comes again."""
    return _digest(b"message", sender.encode(), message_id.encode(), str(copy).encode())


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=KEY_BYTES).digest()


def _notification_event(notification: stanza_pb2.Notification) -> Event:
    kind = notification.WhichOneof("event")
    if kind == "prekeys_low":
        low = notification.prekeys_low
        return PreKeysLow(low.count, low.kem_count if low.HasField("kem_count") else None)
    if kind == "challenge_code":
        return ChallengeCode(notification.challenge_code.challenge_id, notification.challenge_code.digits)
    if kind == "reachability_ping":
        ping = notification.reachability_ping
        return ReachabilityPing(ping.integrator, ping.partner_name, ping.display_name, notification.timestamp_ms)
    return TrustedContact(notification.trusted_contact.jid, notification.trusted_contact.expires_at_ms)


def _code_of_unknown(stanza: stanza_pb2.Stanza) -> int | None:
    """Returns the nack code of a stanza that is newer than this client; None when all that matters is known."""
    kind = stanza.WhichOneof("kind")
    if kind is None or (kind == "notification" and stanza.notification.WhichOneof("event") is None):
        return _NACK_UNKNOWN_STANZA
    message = stanza.message
    is_known = (
        message.type in _MESSAGE_TYPES
        and all(enc.type in _ENC_TYPES for enc in message.enc)
        and stanza.receipt.type in _RECEIPT_TYPES
    )
    return None if is_known else _NACK_UNKNOWN_TYPE


def _unknown_event(stanza: stanza_pb2.Stanza, code: int, answers: Answers) -> tuple[Event, ...]:
    answers.nacks[stanza.delivery_id] = code
    if stanza.HasField("message"):
        return (Undecryptable(stanza.message.from_jid, stanza.message.id, UNKNOWN_TYPE),)
    return ()


def _envelope(stanza: stanza_pb2.Stanza) -> Incoming:
    message = stanza.message
    inbox_mode = _INBOX_MODES.get(message.inbox_mode, "")
    request_state = _REQUEST_STATES.get(message.request_state, "")
    sender: str = message.from_jid
    facts = (sender, message.id, message.timestamp_ms, inbox_mode, request_state, stanza.offline)
    return Incoming(*facts, retry_count=message.retry_count)


def _receipt_event(receipt: stanza_pb2.Receipt) -> ReceiptReceived:
    is_read = receipt.type == stanza_pb2.RECEIPT_TYPE_READ
    return ReceiptReceived(receipt.from_jid, is_read, tuple(receipt.message_ids), receipt.timestamp_ms)


def _retry_event(receipt: stanza_pb2.RetryReceipt) -> RetryRequested | MediaRetryRequested:
    asked = (receipt.from_jid, receipt.message_id, receipt.retry_count)
    if receipt.HasField("media_status"):
        return MediaRetryRequested(*asked, receipt.media_status)
    return RetryRequested(*asked, receipt.reason)


def refusals(stanzas: tuple[stanza_pb2.Stanza, ...]) -> Iterator[stanza_pb2.Stanza]:
    """Yields the nacks of messages whose sender's identity key the user has refused."""
    for stanza in stanzas:
        yield stanza_pb2.Stanza(nack=stanza_pb2.Nack(delivery_id=stanza.delivery_id, nack_code=_NACK_UNHANDLED))


def _nack_code(error: SignalError) -> int:
    if isinstance(error, InvalidMessage):
        return _NACK_PARSE
    return _NACK_PROTOBUF if isinstance(error, InvalidContent) else _NACK_UNHANDLED
