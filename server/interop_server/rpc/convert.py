"""Between protobuf messages and the model: total functions that validate form once; knows no rule and no store."""

import re
from collections.abc import Iterable
from typing import assert_never
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, integrity_pb2, prekeys_pb2, stanza_pb2
from interop_protocol.franking import REPORTING_TOKEN_BYTES
from interop_protocol.sizes import MAX_ACK_IDS, MAX_OFFLINE_BATCH, MAX_RECEIPT_IDS, MAX_RETRIES
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
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
    DeviceCiphertext,
    MailboxItem,
    MessageType,
    OutgoingMessage,
    ReceiptType,
    ReportedMessage,
    RetryKeys,
    RetryReason,
    RetryReceipt,
    RevealedContent,
    StanzaKind,
    TypingState,
)
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import (
    ConnectionMode,
    DeviceBundle,
    KemPreKey,
    KemPreKeys,
    Login,
    OneTimePreKey,
    PreKeyCounts,
    PublishedKeys,
    SignedPreKey,
)
from interop_server.rpc.errors import refusal_to

NACK_CODES = range(400, 600)
"""MSG-10; those observed on the wire, and room for those to come: what is not taken is delivered again for ever."""

_PEER = re.compile(r"ipv4:(?P<v4>[0-9.]+):\d+|ipv6:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%\w+)?\]:\d+")
_STANZA_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CIPHERTEXT_TYPES = {int(kind): kind for kind in CiphertextType}
_MESSAGE_TYPES = {int(kind): kind for kind in MessageType}
_RETRY_REASONS = {int(reason): reason for reason in RetryReason}
_TYPING_STATES = {int(state): state for state in TypingState}
_MAX_PHONE_NUMBER = 10**15


def peer_ip_from(peer: str) -> str:
    """Returns the address in what gRPC calls a peer, such as `ipv4:127.0.0.1:443`; empty when it has none."""
    match = _PEER.fullmatch(unquote(peer))
    return (match["v4"] or match["v6"]) if match else ""


def login_from(payload: bytes, static_key: bytes) -> Login:
    """Reads the payload of the last handshake message (CHN-06).

    Raises:
        Refusal: LOGIN_MALFORMED.
    """
    try:
        login = chat_pb2.LoginPayload.FromString(payload)
    except DecodeError as error:
        raise Refusal(Reason.LOGIN_MALFORMED, "the payload is no LoginPayload") from error
    if login.product not in (chat_pb2.PRODUCT_WHATSAPP, chat_pb2.PRODUCT_INTEROP):
        raise Refusal(Reason.LOGIN_MALFORMED, "`product` must be WHATSAPP or INTEROP", field="product")
    if login.connection_mode not in (chat_pb2.CONNECTION_MODE_DIRECT, chat_pb2.CONNECTION_MODE_PROXY):
        detail = "`connection_mode` must be DIRECT or PROXY"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="connection_mode")
    is_interop = login.product == chat_pb2.PRODUCT_INTEROP
    if is_interop != login.HasField("interop_data"):
        detail = "`interop_data` belongs to product INTEROP, and only there"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="interop_data")
    if is_interop == bool(login.username) or login.username >= _MAX_PHONE_NUMBER:
        detail = "`username` is a phone number of up to 15 digits, for product WHATSAPP"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="username")
    try:
        token = login.interop_data.token.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refusal(Reason.TOKEN_MALFORMED) from error
    receipts = login.interop_data.enable_read_receipts if is_interop else login.enable_read_receipts
    return Login(
        static_key=static_key,
        phone_number="" if is_interop else str(login.username),
        account_number=login.interop_data.account_id,
        token=token,
        protocol_version=login.protocol_version,
        mode=ConnectionMode(login.connection_mode),
        client_ip=login.client_ip,
        read_receipts=receipts,
        is_interop=is_interop,
        max_frame_bytes=login.max_frame_bytes if login.HasField("max_frame_bytes") else None,
    )


def batch_from(plaintext: bytes, limits: Limits) -> stanza_pb2.Batch:
    """Reads the plaintext of a sealed frame.

    Raises:
        Refusal: FRAME_MALFORMED or BATCH_TOO_LARGE.
    """
    try:
        batch = stanza_pb2.Batch.FromString(plaintext)
    except DecodeError as error:
        raise Refusal(Reason.FRAME_MALFORMED, "the frame holds no Batch") from error
    if not batch.stanzas:
        raise Refusal(Reason.FRAME_MALFORMED, "the batch is empty")
    if len(batch.stanzas) > limits.max_batch_stanzas:
        raise Refusal(Reason.BATCH_TOO_LARGE, f"the limit is {limits.max_batch_stanzas} stanzas")
    return batch


def message_from(message: stanza_pb2.Message, own_jid: str) -> OutgoingMessage:
    """Reads a message that a client sends.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    _check_sender(message, own_jid, "message")
    stanza_id = message.id  # every look at a field makes a new object
    if not _STANZA_ID.fullmatch(stanza_id):
        detail = "`id` must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="message.id")
    message_type = _MESSAGE_TYPES.get(message.type)
    if message_type is None:
        raise Refusal(Reason.STANZA_MALFORMED, "`type` of the message is not known", field="message.type")
    enc = []
    for index, part in enumerate(message.enc):
        ciphertext_type, ciphertext = _CIPHERTEXT_TYPES.get(part.type), part.ciphertext
        if ciphertext_type is None or not ciphertext:
            field = f"message.enc[{index}].{'type' if ciphertext_type is None else 'ciphertext'}"
            raise Refusal(Reason.STANZA_MALFORMED, "every `enc` needs a known type and a ciphertext", field=field)
        registration_id = part.registration_id if part.HasField("registration_id") else None
        enc.append(DeviceCiphertext(ciphertext_type, part.device_id, ciphertext, registration_id))
    retry_count = message.retry_count
    if retry_count > MAX_RETRIES:
        raise Refusal(Reason.STANZA_MALFORMED, f"`retry_count` is 0 to {MAX_RETRIES}", field="message.retry_count")
    token = message.reporting_token
    if token and len(token) != REPORTING_TOKEN_BYTES:
        detail = f"`reporting_token` has {REPORTING_TOKEN_BYTES} bytes, or none"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="message.reporting_token")
    return OutgoingMessage(stanza_id, message.to_jid, message_type, tuple(enc), retry_count, token)


def receipt_from(receipt: stanza_pb2.Receipt, own_jid: str) -> OutgoingReceipt:
    """Reads a receipt that a client sends.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    _check_sender(receipt, own_jid, "receipt")
    if receipt.type not in (stanza_pb2.RECEIPT_TYPE_DELIVERED, stanza_pb2.RECEIPT_TYPE_READ):
        raise Refusal(Reason.STANZA_MALFORMED, "`type` of the receipt is not known", field="receipt.type")
    if not 1 <= len(receipt.message_ids) <= MAX_RECEIPT_IDS:
        detail = f"a receipt names 1 to {MAX_RECEIPT_IDS} messages"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="receipt.message_ids")
    for index, message_id in enumerate(receipt.message_ids):
        if not _STANZA_ID.fullmatch(message_id):
            detail = "a receipt names a message id of the wrong form"
            raise Refusal(Reason.STANZA_MALFORMED, detail, field=f"receipt.message_ids[{index}]")
    return OutgoingReceipt(ReceiptType(receipt.type), receipt.to_jid, receipt.message_ids)


def retry_receipt_from(receipt: stanza_pb2.RetryReceipt, own_jid: str) -> RetryReceipt:
    """Reads a retry receipt that a client sends; what it must hold is checked by the rules.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    _check_sender(receipt, own_jid, "retry_receipt")
    if not _STANZA_ID.fullmatch(receipt.message_id):
        detail = "a retry receipt names a message id of the wrong form"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.message_id")
    if receipt.retry_count == 0:
        detail = "`retry_count` counts this time, too: it begins with 1"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.retry_count")
    reason = _RETRY_REASONS.get(receipt.reason)
    if reason is None:
        detail = "`reason` of the retry receipt is not known"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.reason")
    return RetryReceipt(
        message_id=receipt.message_id,
        retry_count=receipt.retry_count,
        reason=reason,
        registration_id=receipt.registration_id,
        keys=_retry_keys_from(receipt.keys) if receipt.HasField("keys") else None,
        media_status=receipt.media_status if receipt.HasField("media_status") else None,
    )


def _retry_keys_from(keys: stanza_pb2.RetryKeys) -> RetryKeys:
    signed_prekey = SignedPreKey(keys.signed_prekey_id, keys.signed_prekey, keys.signed_prekey_signature)
    return RetryKeys(keys.identity_key, signed_prekey, OneTimePreKey(keys.one_time_prekey_id, keys.one_time_prekey))


def typing_from(typing: stanza_pb2.Typing, own_jid: str) -> TypingState:
    """Checks a sign of typing that a client sends and returns what it says.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    _check_sender(typing, own_jid, "typing")
    state = _TYPING_STATES.get(typing.state)
    if state is None:
        raise Refusal(Reason.STANZA_MALFORMED, "`state` of the sign of typing is not known", field="typing.state")
    return state


def _check_sender(
    content: stanza_pb2.Message | stanza_pb2.Receipt | stanza_pb2.RetryReceipt | stanza_pb2.Typing,
    own_jid: str,
    kind: str,
) -> None:
    sender = content.from_jid
    if sender and sender != own_jid:
        raise Refusal(Reason.CONNECTION_MULTIPLEXED, field=f"{kind}.from_jid")


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


def delivery_to(delivery: Delivery, *, to_whatsapp: bool, offline: bool) -> stanza_pb2.Stanza:
    """Returns a mailbox item as it is delivered."""
    stanza = stanza_pb2.Stanza(delivery_id=delivery.delivery_id, offline=offline)
    if delivery.item.kind is StanzaKind.MESSAGE:
        _write_message(stanza.message, delivery, to_whatsapp)
    else:
        _write_content(stanza, delivery.item)
    return stanza


def _write_message(message: stanza_pb2.Message, delivery: Delivery, to_whatsapp: bool) -> None:
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
        if delivery.request_state is not None:
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


def typing_to(sender_jid: str, state: TypingState, expires_after_seconds: int) -> stanza_pb2.Stanza:
    """Returns a sign of typing as it is delivered (MSG-13)."""
    stanza = stanza_pb2.Stanza()
    stanza.typing.from_jid = sender_jid
    stanza.typing.state = stanza_pb2.TypingState.ValueType(state)
    stanza.typing.expires_after_seconds = expires_after_seconds
    return stanza


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


def limits_to(limits: Limits) -> stanza_pb2.ChannelLimits:
    """Returns the limits that a client must know."""
    return stanza_pb2.ChannelLimits(
        max_frame_bytes=limits.max_frame_bytes,
        max_batch_stanzas=limits.max_batch_stanzas,
        max_ciphertext_bytes=limits.max_ciphertext_bytes,
        max_unacked_deliveries=limits.max_unacked_deliveries,
        keepalive_seconds=limits.keepalive_seconds,
        silent_seconds=limits.silent_seconds,
        max_ack_ids=MAX_ACK_IDS,
        max_receipt_ids=MAX_RECEIPT_IDS,
        max_offline_batch=MAX_OFFLINE_BATCH,
        handshake_seconds=limits.handshake_seconds,
        max_mailbox_items=limits.max_mailbox_items,
        max_mailbox_bytes=limits.max_mailbox_bytes,
        mailbox_days=limits.mailbox_days,
        sent_message_days=limits.sent_message_days,
    )


def signed_prekey_from(signed_prekey: prekeys_pb2.SignedPreKey) -> SignedPreKey:
    """Reads a signed prekey; its lengths are checked by the rules."""
    return SignedPreKey(signed_prekey.key_id, signed_prekey.public_key, signed_prekey.signature)


def one_time_prekeys_from(one_time: Iterable[prekeys_pb2.OneTimePreKey]) -> list[OneTimePreKey]:
    """Reads one-time prekeys; their lengths are checked by the rules."""
    return [OneTimePreKey(key.key_id, key.public_key) for key in one_time]


def kem_prekeys_from(kem: prekeys_pb2.KemPreKeys) -> KemPreKeys:
    """Reads KEM prekeys; their lengths are checked by the rules."""
    return KemPreKeys(
        _kem_prekey_from(kem.last_resort) if kem.HasField("last_resort") else None,
        tuple(_kem_prekey_from(prekey) for prekey in kem.one_time),
    )


def _kem_prekey_from(prekey: prekeys_pb2.KemPreKey) -> KemPreKey:
    return KemPreKey(prekey.key_id, prekey.public_key, prekey.signature)


def published_keys_from(request: prekeys_pb2.SetPreKeysRequest) -> PublishedKeys:
    """Reads what an account publishes.

    Raises:
        Refusal: KEY_MALFORMED for another key type.
    """
    if request.key_type != b"\x05":
        raise Refusal(Reason.KEY_MALFORMED, "`key_type` must be the one byte 0x05", field="key_type")
    return PublishedKeys(request.registration_id, request.identity_key, signed_prekey_from(request.signed_prekey))


def reported_message_from(message: integrity_pb2.ReportedMessage, index: int) -> ReportedMessage:
    """Reads a message that a report names, by its index in it; lengths of what is revealed are checked by the rules.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    if not _STANZA_ID.fullmatch(message.message_id):
        field = f"messages[{index}].message_id"
        raise Refusal(Reason.REQUEST_MALFORMED, "`message_id` is no id of a message", field=field)
    if message.HasField("plaintext") != message.HasField("message_secret"):
        field = f"messages[{index}].{'message_secret' if message.HasField('plaintext') else 'plaintext'}"
        raise Refusal(Reason.REQUEST_MALFORMED, "`plaintext` and `message_secret` come together", field=field)
    if not message.HasField("plaintext"):
        return ReportedMessage(message.message_id, None)
    return ReportedMessage(message.message_id, RevealedContent(message.plaintext, message.message_secret))


def bundle_to(bundle_of: DeviceBundle) -> prekeys_pb2.PreKeyBundle:
    """Returns a taken bundle of a device."""
    device, taken = bundle_of
    keys, one_time = taken.keys, taken.one_time_prekey
    signed = keys.signed_prekey
    bundle = prekeys_pb2.PreKeyBundle(
        registration_id=keys.registration_id,
        device=stanza_pb2.DeviceAddress(jid=device.jid, device_id=device.device_id),
        identity_key=keys.identity_key,
        signed_prekey=prekeys_pb2.SignedPreKey(
            key_id=signed.key_id, public_key=signed.public_key, signature=signed.signature
        ),
    )
    if one_time is not None:
        bundle.one_time_prekey.key_id = one_time.key_id
        bundle.one_time_prekey.public_key = one_time.public_key
    if (kem := taken.kem_prekey) is not None:
        bundle.kem_prekey.key_id = kem.key_id
        bundle.kem_prekey.public_key = kem.public_key
        bundle.kem_prekey.signature = kem.signature
        bundle.kem_is_last_resort = taken.kem_is_last_resort
    elif taken.kem_withdrawn:
        bundle.kem_withdrawn = True
    return bundle
