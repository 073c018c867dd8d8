"""The content of mailbox items other than messages: receipts, retry receipts, notifications, and how it is stored.

A message is ciphertext and is stored unchanged. Only `encode` and `decode` know how other content becomes bytes. This
module knows no store and no wire format.
"""

import json
from dataclasses import asdict, dataclass, fields

from interop_server.core.messages import (
    MailboxItem,
    NotificationType,
    ReceiptType,
    RetryKeys,
    RetryReason,
    RetryReceipt,
    StanzaKind,
)
from interop_server.core.model import OneTimePreKey, SignedPreKey


@dataclass(frozen=True, slots=True)
class Receipt:
    """Messages were delivered or read (RCP-01)."""

    type: ReceiptType
    message_ids: tuple[str, ...]
    """Without line feeds, at least one."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The identity key of a peer has changed (KEY-17)."""

    jid: str


@dataclass(frozen=True, slots=True)
class ReachabilityPing:
    """A third-party user would like to write. It holds no identifier, no key and no chat (OPT-10)."""

    integrator: int
    partner_name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class TrustedContact:
    """A WhatsApp user counts the third-party user as known from now on, until a time (OPT-14)."""

    jid: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class DigestRequested:
    """Asks the client to compare its keys with the server's (KEY-10)."""


@dataclass(frozen=True, slots=True)
class ChallengeCode:
    """The code that answers a challenge (ABU-06)."""

    challenge_id: str
    digits: str


Notification = IdentityChanged | ReachabilityPing | TrustedContact | DigestRequested | ChallengeCode
"""Without PreKeysLow, which the server sends only to connected clients and never stores (KEY-09)."""
Content = Receipt | RetryReceipt | Notification

_NOTIFICATIONS: dict[NotificationType, type[Notification]] = {
    NotificationType.IDENTITY_CHANGED: IdentityChanged,
    NotificationType.REACHABILITY_PING: ReachabilityPing,
    NotificationType.TRUSTED_CONTACT: TrustedContact,
    NotificationType.DIGEST_REQUESTED: DigestRequested,
    NotificationType.CHALLENGE_CODE: ChallengeCode,
}
_TYPES = {kind: about for about, kind in _NOTIFICATIONS.items()}


class ContentUnreadable(Exception):
    """A mailbox item holds content that no version of this server wrote."""


def encode(
    content: Content, recipient_id: int, now_ms: int, *, sender_id: int = 0, sender_jid: str = ""
) -> MailboxItem:
    """Returns content as a mailbox item; without a sender, the server itself is the sender."""
    stanza_id, retry_count = "", 0
    if isinstance(content, Receipt):
        kind, subtype, encoded = StanzaKind.RECEIPT, int(content.type), "\n".join(content.message_ids)
    elif isinstance(content, RetryReceipt):
        kind, subtype, encoded = StanzaKind.RETRY_RECEIPT, int(content.reason), _encode_retry(content)
        stanza_id, retry_count = content.message_id, content.retry_count
    else:
        kind, subtype, encoded = StanzaKind.NOTIFICATION, int(_TYPES[type(content)]), json.dumps(asdict(content))
    return MailboxItem(
        recipient_id=recipient_id,
        sender_id=sender_id,
        sender_jid=sender_jid,
        kind=kind,
        subtype=subtype,
        message_type=0,
        stanza_id=stanza_id,
        timestamp_ms=now_ms,
        content=encoded.encode(),
        retry_count=retry_count,
    )


def decode(item: MailboxItem) -> Content:
    """Returns the content of a stored item.

    Raises:
        ContentUnreadable: It is a message, of an unknown kind, or malformed.
    """
    try:
        if item.kind is StanzaKind.RECEIPT:
            return _decode_receipt(ReceiptType(item.subtype), item.content)
        if item.kind is StanzaKind.RETRY_RECEIPT:
            return _decode_retry(item)
        if item.kind is StanzaKind.NOTIFICATION:
            return _decode_notification(_NOTIFICATIONS[NotificationType(item.subtype)], item.content)
    except (ValueError, TypeError, KeyError) as error:
        raise ContentUnreadable(f"{item.kind.name.lower()} of subtype {item.subtype}") from error
    raise ContentUnreadable(f"{item.kind.name.lower()} has no content but its ciphertext")


def _decode_receipt(kind: ReceiptType, content: bytes) -> Receipt:
    message_ids = tuple(content.decode().split("\n"))
    if not all(message_ids):
        raise ValueError("a message id is empty")
    return Receipt(kind, message_ids)


def _encode_retry(retry: RetryReceipt) -> str:
    keys = None
    if retry.keys is not None:
        identity_key, signed, one_time = retry.keys
        keys = [identity_key.hex(), signed.key_id, signed.public_key.hex(), signed.signature.hex()]
        keys += [one_time.key_id, one_time.public_key.hex()]
    return json.dumps([retry.registration_id, retry.media_status, keys])


def _decode_retry(item: MailboxItem) -> RetryReceipt:
    registration_id, media_status, keys = json.loads(item.content)
    if keys is not None:
        identity_key, signed_id, signed_prekey, signature, one_time_id, one_time_prekey = keys
        signed = SignedPreKey(_number(signed_id), bytes.fromhex(signed_prekey), bytes.fromhex(signature))
        one_time = OneTimePreKey(_number(one_time_id), bytes.fromhex(one_time_prekey))
        keys = RetryKeys(bytes.fromhex(identity_key), signed, one_time)
    return RetryReceipt(
        item.stanza_id,
        item.retry_count,
        RetryReason(item.subtype),
        _number(registration_id),
        keys,
        None if media_status is None else _number(media_status),
    )


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _decode_notification(kind: type[Notification], content: bytes) -> Notification:
    values = json.loads(content)
    notification = kind(**values)
    if any(type(values[field.name]) is not field.type for field in fields(kind)):
        raise TypeError("a value is of another type")
    return notification
