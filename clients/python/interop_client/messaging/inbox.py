"""Decrypts the server's deliveries and decides the answers; knows no network and saves nothing.

Source: MSG-09, MSG-10, RCP-01, RCP-03, RCP-04, MED-08, KEY-17.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.messaging.contents import message_event
from interop_client.messaging.events import (
    UNKNOWN_TYPE,
    ChallengeCode,
    ChangeRefused,
    DigestRequested,
    EditReceived,
    Event,
    Evidence,
    IdentityChanged,
    Incoming,
    MediaRetryRequested,
    Message,
    MessageAwaited,
    OfflineEnd,
    OfflinePreview,
    PreKeysLow,
    ReachabilityPing,
    ReceiptReceived,
    RetryRequested,
    TextReceived,
    TrustedContact,
    Undecryptable,
)
from interop_client.messaging.retries import ask_again, can_help, end_asking
from interop_client.signal.content import parse_message, unpad
from interop_client.signal.errors import DuplicateMessage, InvalidContent, InvalidMessage, SignalError
from interop_client.signal.store import CiphertextType
from interop_client.state import ClientState
from interop_protocol.franking import is_reporting_token
from interop_protocol.sizes import MAX_RECEIPT_IDS

DELIVERY_KINDS = frozenset({"message", "receipt", "retry_receipt", "notification", "offline_preview", "offline_end"})
"""Kinds of stanzas that `open` understands and must get in order of arrival."""

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
            yield stanza_pb2.Stanza(nack=stanza_pb2.Nack(delivery_id=delivery_id, nack_code=code))
        if self.acks:
            yield stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=self.acks))


def receipts(
    receipt_type: stanza_pb2.ReceiptType.ValueType, to: str, message_ids: list[str]
) -> Iterator[stanza_pb2.Stanza]:
    """Yields the receipts for messages from one sender, as few as the limit allows."""
    for at in range(0, len(message_ids), MAX_RECEIPT_IDS):
        ids = message_ids[at : at + MAX_RECEIPT_IDS]
        yield stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(type=receipt_type, to_jid=to, message_ids=ids))


class Inbox:
    """Opens deliveries with the keys of one account.

    Args:
        state: The account's keys, sessions and memory of deliveries; opening changes them.
    """

    def __init__(self, state: ClientState) -> None:
        self._state = state
        self._signal = state.signal
        self.retries: deque[tuple[int, stanza_pb2.RetryReceipt]] = deque()
        """Recipients' requests to send messages again, each with its delivery id, which is acked after the answer."""

    def open(self, stanza: stanza_pb2.Stanza, answers: Answers) -> Event | None:
        """Opens one delivery and adds its answer to `answers`.

        Returns:
            The event for the application; None for a repeated message, or a kind that is newer than this client.
        """
        kind = stanza.WhichOneof("kind")
        is_repeated = 0 < stanza.delivery_id <= self._state.deliveries.last_delivery_id
        self._state.deliveries.opened(stanza.delivery_id)
        if (code := _code_of_unknown(stanza)) is not None:
            return _unknown_event(stanza, code, answers)
        if kind == "message":
            return self._open_message(stanza, answers, is_repeated=is_repeated)
        if kind == "retry_receipt":
            return self._retry_event(stanza, answers)
        if stanza.delivery_id:
            answers.acks.append(stanza.delivery_id)
        if kind == "receipt":
            return _receipt_event(stanza.receipt)
        if kind == "notification":
            return self._notification_event(stanza.notification)
        if kind == "offline_preview":
            preview = stanza.offline_preview
            return OfflinePreview(preview.messages, preview.receipts, preview.notifications, preview.retry_receipts)
        return OfflineEnd(stanza.offline_end.count)

    def _open_message(self, stanza: stanza_pb2.Stanza, answers: Answers, *, is_repeated: bool) -> Event | None:
        message = stanza.message
        envelope = _envelope(stanza)
        try:
            plaintext = unpad(self._decrypt(message, envelope.sender))
            content = parse_message(plaintext)
            event = message_event(content, replace(envelope, evidence=self._evidence(message, content, plaintext)))
        except SignalError as error:
            if isinstance(error, DuplicateMessage) and is_repeated:
                # The client opened it before, but the ack was lost: the application has it already.
                answers.acks.append(stanza.delivery_id)
                return None
            return self._closed(stanza, error, answers)
        answers.acks.append(stanza.delivery_id)
        end_asking(self._state, (envelope.sender, envelope.id))
        event = self._within_time(event)
        answers.delivered[envelope.sender].append(envelope.id)
        return event

    def _within_time(self, event: Message) -> Message:
        """Allows edits of a text for twenty minutes, by the server's time (MSG-12)."""
        deliveries = self._state.deliveries
        if isinstance(event, TextReceived):
            deliveries.text_came((event.sender, event.id), event.timestamp_ms)
        elif isinstance(event, EditReceived) and not deliveries.may_edit(
            (event.sender, event.target_id), event.timestamp_ms
        ):
            facts: dict[str, Any] = {fact.name: getattr(event, fact.name) for fact in fields(Incoming)}
            return ChangeRefused(**facts, target_id=event.target_id, reason="TOO_LATE")
        return event

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

    def _retry_event(self, stanza: stanza_pb2.Stanza, answers: Answers) -> Event:
        receipt = stanza.retry_receipt
        asked = (receipt.from_jid, receipt.message_id, receipt.retry_count)
        if receipt.HasField("media_status"):
            answers.acks.append(stanza.delivery_id)
            return MediaRetryRequested(*asked, receipt.media_status)
        self.retries.append((stanza.delivery_id, receipt))
        return RetryRequested(*asked, receipt.reason)

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

    def _notification_event(self, notification: stanza_pb2.Notification) -> Event:
        kind = notification.WhichOneof("event")
        if kind == "identity_changed":
            jid = notification.identity_changed.jid
            self._signal.accept_identity(jid)  # pins the next key that the peer presents
            return IdentityChanged(jid)
        if kind == "prekeys_low":
            low = notification.prekeys_low
            return PreKeysLow(low.count, low.kem_count if low.HasField("kem_count") else None)
        if kind == "challenge_code":
            return ChallengeCode(notification.challenge_code.challenge_id, notification.challenge_code.digits)
        if kind == "reachability_ping":
            ping = notification.reachability_ping
            return ReachabilityPing(ping.integrator, ping.partner_name, ping.display_name, notification.timestamp_ms)
        if kind == "trusted_contact":
            return TrustedContact(notification.trusted_contact.jid, notification.trusted_contact.expires_at_ms)
        return DigestRequested()


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


def _unknown_event(stanza: stanza_pb2.Stanza, code: int, answers: Answers) -> Event | None:
    if stanza.delivery_id:
        answers.nacks[stanza.delivery_id] = code
    if stanza.HasField("message"):
        return Undecryptable(stanza.message.from_jid, stanza.message.id, UNKNOWN_TYPE)
    return None


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


def _nack_code(error: SignalError) -> int:
    if isinstance(error, InvalidMessage):
        return _NACK_PARSE
    return _NACK_PROTOBUF if isinstance(error, InvalidContent) else _NACK_UNHANDLED
