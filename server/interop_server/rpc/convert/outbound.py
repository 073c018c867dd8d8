"""Stanzas that the server sends; knows no rule and no store."""

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
    Delivery,
    MailboxItem,
    RetryReceipt,
    StanzaKind,
)
from interop_server.core.model import (
    PreKeyCounts,
)
from interop_server.rpc.errors import refusal_to


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


def delivery_to(
    delivery: Delivery, *, to_whatsapp: bool, offline: bool, knows_requests: bool = True
) -> stanza_pb2.Stanza:
    """Returns a mailbox item as it is delivered.

    Args:
        delivery: The item.
        to_whatsapp: Whether its recipient is a WhatsApp user, who sees inbox mode and message requests.
        offline: Whether it has waited for the connection.
        knows_requests: Whether the client knows message requests.
    """
    stanza = stanza_pb2.Stanza(delivery_id=delivery.delivery_id, offline=offline)
    if delivery.item.kind is StanzaKind.MESSAGE:
        _write_message(stanza.message, delivery, to_whatsapp, knows_requests)
    else:
        _write_content(stanza, delivery.item)
    return stanza


def _write_message(message: stanza_pb2.Message, delivery: Delivery, to_whatsapp: bool, knows_requests: bool) -> None:
    item = delivery.item
    message.id = item.stanza_id
    message.from_jid = item.sender_jid
    message.type = stanza_pb2.MessageType.ValueType(item.message_type)
    message.timestamp_ms = item.timestamp_ms
    message.enc.add(type=stanza_pb2.CiphertextType.ValueType(item.subtype), ciphertext=item.content)
    if item.retry_count:
        message.retry_count = item.retry_count
    if item.reporting_token:
        message.reporting_token = item.reporting_token
    if to_whatsapp:
        message.inbox_mode = stanza_pb2.InboxMode.ValueType(delivery.inbox_mode)
        if knows_requests and delivery.request_state is not None:
            message.request_state = stanza_pb2.MessageRequestState.ValueType(delivery.request_state)


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
