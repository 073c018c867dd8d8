"""Stanzas that the server sends; knows no rule and no store."""

from collections.abc import Iterable
from functools import lru_cache
from typing import assert_never

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Refusal
from interop_server.core.mailbox_content import (
    ChallengeCode,
    DigestRequested,
    IdentityChanged,
    Notification,
    ReachabilityPing,
    Receipt,
    TrustedContact,
    decode,
)
from interop_server.core.messages import (
    Backlog,
    CiphertextType,
    Delivery,
    MailboxItem,
    RetryReceipt,
    StanzaKind,
)
from interop_server.core.model import InboxMode, MessageRequestState, PreKeyCounts
from interop_server.rpc.errors import refusal_to
from interop_server.rpc.fields import BytesField, NumberField


def refused_stanza(stanza: stanza_pb2.Stanza, refusal: Refusal) -> stanza_pb2.Stanza:
    """Returns the answer to a stanza, not a message, that was refused while the connection goes on."""
    kind = stanza.WhichOneof("kind")
    content = getattr(stanza, kind) if kind else None
    stanza_id = getattr(content, "id", "") or getattr(content, "message_id", "")
    text = stanza_id if isinstance(stanza_id, str) else ""
    refused = stanza_pb2.StanzaRefused(id=text[:64], error=refusal_to(refusal), kind=kind or "")
    return stanza_pb2.Stanza(stanza_refused=refused, ref=_ref(stanza))


def pong_to(stanza: stanza_pb2.Stanza) -> stanza_pb2.Stanza:
    """Returns the answer to a ping."""
    return stanza_pb2.Stanza(pong=stanza_pb2.Pong(id=stanza.ping.id), ref=_ref(stanza))


def _ref(stanza: stanza_pb2.Stanza) -> int | None:
    return stanza.ref if stanza.HasField("ref") else None


def deliveries_to(
    deliveries: Iterable[Delivery], *, to_whatsapp: bool, offline: bool, knows_requests: bool = True
) -> list[bytes]:
    """Returns mailbox items as they are delivered: serialised stanzas.

    Args:
        deliveries: The items, of one recipient.
        to_whatsapp: Whether the recipient is a WhatsApp user, who sees inbox mode and message requests.
        offline: Whether they have waited for the connection.
        knows_requests: Whether the client knows message requests.
    """
    mark, stanzas = _OFFLINE if offline else b"", list[bytes]()
    for delivery_id, item, inbox_mode, request_state in deliveries:
        if item.kind is not StanzaKind.MESSAGE:
            stanza = stanza_pb2.Stanza(delivery_id=delivery_id, offline=offline)
            _write_content(stanza, item)
            stanzas.append(stanza.SerializeToString())
        elif to_whatsapp:
            shown = request_state if knows_requests else None
            stanzas.append(_message_to(item, inbox_mode, shown, _DELIVERY_ID.encode(delivery_id) + mark))
        else:
            stanzas.append(_message_to(item, None, None, _DELIVERY_ID.encode(delivery_id) + mark))
    return stanzas


_STANZA_FIELDS = stanza_pb2.Stanza.DESCRIPTOR.fields_by_name
_MESSAGE_FIELDS = stanza_pb2.Message.DESCRIPTOR.fields_by_name
_MESSAGE = BytesField(_STANZA_FIELDS["message"].number)
_DELIVERY_ID = NumberField(_STANZA_FIELDS["delivery_id"].number)
_OFFLINE = stanza_pb2.Stanza(offline=True).SerializeToString()
_ID = BytesField(_MESSAGE_FIELDS["id"].number)
_TIMESTAMP_MS = NumberField(_MESSAGE_FIELDS["timestamp_ms"].number)
_ENC = BytesField(_MESSAGE_FIELDS["enc"].number)
_CIPHERTEXT = BytesField(stanza_pb2.Enc.DESCRIPTOR.fields_by_name["ciphertext"].number)
_ENC_TYPES = {
    int(each): stanza_pb2.Enc(type=stanza_pb2.CiphertextType.ValueType(each)).SerializeToString()
    for each in CiphertextType
}


def _message_to(
    item: MailboxItem, inbox_mode: InboxMode | None, request_state: MessageRequestState | None, behind: bytes
) -> bytes:
    """Returns a message as a serialised stanza, with what else the stanza has behind it."""
    # Taken apart in one go, and put together in one: there are many messages.
    _, _, sender_jid, _, subtype, message_type, text, timestamp_ms, ciphertext, retry_count, token, _, _ = item
    stanza_id, at = text.encode(), _TIMESTAMP_MS.encode(timestamp_ms)
    if retry_count or token:
        at += stanza_pb2.Message(retry_count=retry_count, reporting_token=token).SerializeToString()
    lengths = (len(stanza_id), len(ciphertext), len(at))
    before, between = _around_id(sender_jid, message_type, subtype, inbox_mode, request_state, lengths)
    return b"".join((before, stanza_id, between, ciphertext, at, behind))


@lru_cache(maxsize=4_096)
def _around_id(
    sender_jid: str,
    message_type: int,
    subtype: int,
    inbox_mode: InboxMode | None,
    request_state: MessageRequestState | None,
    lengths: tuple[int, int, int],
) -> tuple[bytes, bytes]:
    """Returns what stands before the id of a message, and what between it and the ciphertext.

    Many messages have it in common: it depends on no more than the lengths of id, ciphertext, and what comes then.
    """
    id_bytes, ciphertext_bytes, rest_bytes = lengths
    message = stanza_pb2.Message(from_jid=sender_jid, type=stanza_pb2.MessageType.ValueType(message_type))
    if inbox_mode is not None:
        message.inbox_mode = stanza_pb2.InboxMode.ValueType(inbox_mode)
    if request_state is not None:
        message.request_state = stanza_pb2.MessageRequestState.ValueType(request_state)
    enc = _ENC_TYPES[subtype] + _CIPHERTEXT.header(ciphertext_bytes)
    between = message.SerializeToString() + _ENC.header(len(enc) + ciphertext_bytes) + enc
    id_header = _ID.header(id_bytes)
    size = len(id_header) + id_bytes + len(between) + ciphertext_bytes + rest_bytes
    return _MESSAGE.header(size) + id_header, between


def _write_content(stanza: stanza_pb2.Stanza, item: MailboxItem) -> None:
    content = decode(item)
    if isinstance(content, Receipt):
        stanza.receipt.type = stanza_pb2.ReceiptType.ValueType(content.type)
        stanza.receipt.from_jid = item.sender_jid
        stanza.receipt.message_ids.extend(content.message_ids)
        stanza.receipt.timestamp_ms = item.timestamp_ms
    elif isinstance(content, RetryReceipt):
        stanza.retry_receipt.CopyFrom(_retry_receipt_to(content, item))
    else:
        stanza.notification.timestamp_ms = item.timestamp_ms
        _write_notification(stanza.notification, content)


def _write_notification(notification: stanza_pb2.Notification, content: Notification) -> None:
    match content:
        case IdentityChanged():
            notification.identity_changed.jid = content.jid
        case ReachabilityPing():
            notification.reachability_ping.integrator = content.integrator
            notification.reachability_ping.partner_name = content.partner_name
            notification.reachability_ping.display_name = content.display_name
        case TrustedContact():
            notification.trusted_contact.jid = content.jid
            notification.trusted_contact.expires_at_ms = content.expires_at_ms
        case DigestRequested():
            notification.digest_requested.SetInParent()
        case ChallengeCode():
            notification.challenge_code.challenge_id = content.challenge_id
            notification.challenge_code.digits = content.digits
        case _:
            assert_never(content)


def _retry_receipt_to(retry: RetryReceipt, item: MailboxItem) -> stanza_pb2.RetryReceipt:
    receipt = stanza_pb2.RetryReceipt(
        message_id=retry.message_id,
        retry_count=retry.retry_count,
        reason=stanza_pb2.RetryReason.ValueType(retry.reason),
        registration_id=retry.registration_id,
        media_status=retry.media_status,
        timestamp_ms=item.timestamp_ms,
    )
    receipt.from_jid = item.sender_jid
    if retry.keys is not None:
        identity_key, signed_prekey, one_time_prekey = retry.keys
        receipt.keys.identity_key = identity_key
        receipt.keys.signed_prekey_id = signed_prekey.key_id
        receipt.keys.signed_prekey = signed_prekey.public_key
        receipt.keys.signed_prekey_signature = signed_prekey.signature
        receipt.keys.one_time_prekey_id = one_time_prekey.key_id
        receipt.keys.one_time_prekey = one_time_prekey.public_key
    return receipt


def prekeys_low_to(counts: PreKeyCounts, now_ms: int) -> stanza_pb2.Stanza:
    """Returns the notice that few one-time prekeys are left (KEY-09, KEY-15)."""
    low = stanza_pb2.PreKeysLow(count=counts.one_time, kem_count=counts.kem)
    return stanza_pb2.Stanza(notification=stanza_pb2.Notification(prekeys_low=low, timestamp_ms=now_ms))


def preview_to(backlog: Backlog) -> stanza_pb2.Stanza:
    """Returns what waited while the client was away (MSG-08)."""
    return stanza_pb2.Stanza(
        offline_preview=stanza_pb2.OfflinePreview(
            messages=backlog.messages,
            receipts=backlog.receipts,
            notifications=backlog.notifications,
            retry_receipts=backlog.retry_receipts,
        )
    )
