"""What is stored of receipts and notifications comes back as it was, and nothing else comes back at all."""

import pytest

from interop_server.core.mailbox_content import (
    ChallengeCode,
    Content,
    ContentUnreadable,
    DigestRequested,
    IdentityChanged,
    ReachabilityPing,
    Receipt,
    TrustedContact,
    decode,
    encode,
)
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

JID = "100-1@interop"
KEYS = RetryKeys(b"\1" * 32, SignedPreKey(7, b"\2" * 32, b"\3" * 64), OneTimePreKey(8, b"\4" * 32))
CONTENTS: tuple[Content, ...] = (
    Receipt(ReceiptType.DELIVERED, ("m1",)),
    Receipt(ReceiptType.READ, ("m1", "m.2", "m-3")),
    RetryReceipt("m1", 2, RetryReason.BAD_MAC, 2**32 - 1, KEYS, None),
    RetryReceipt("m1", 1, RetryReason.UNKNOWN, 0, None, 404),
    IdentityChanged(JID),
    ReachabilityPing(100, 'Bats & \u00c4 "co"', "\u0410da\U0001f987"),
    TrustedContact(JID, 1_700_000_000_000),
    DigestRequested(),
    ChallengeCode("00ff", "012345"),
)


def test_what_the_server_says_has_no_sender() -> None:
    """Nobody's number, and no name."""
    item = encode(IdentityChanged("100-1@interop"), 7, 1_000)
    assert (item.recipient_id, item.sender_id, item.sender_jid) == (7, 0, "")


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: type(content).__name__)
def test_each_content_comes_back_as_it_was(content: Content) -> None:
    """With the same type, and for the same recipient, sender and time."""
    item = encode(content, 1, 77, sender_id=2, sender_jid=JID)
    assert decode(item) == content
    assert (item.recipient_id, item.sender_id, item.sender_jid, item.timestamp_ms) == (1, 2, JID, 77)
    assert (item.message_type, item.reporting_token, item.is_dropped) == (0, b"", False)


def test_each_kind_of_notification_has_its_content() -> None:
    """So that none is added that could be stored and not be read."""
    about = {encode(content, 1, 77).subtype for content in CONTENTS if not isinstance(content, Receipt | RetryReceipt)}
    assert about == set(NotificationType)


def stored(kind: StanzaKind, subtype: int, content: bytes) -> MailboxItem:
    return MailboxItem(1, 2, JID, kind, subtype, 0, "", 77, content)


@pytest.mark.parametrize(
    "item",
    [
        stored(StanzaKind.MESSAGE, 2, b"ciphertext"),
        stored(StanzaKind.NOTIFICATION, 1, b"3"),
        stored(StanzaKind.NOTIFICATION, 7, b"{}"),
        stored(StanzaKind.RECEIPT, 3, b"m1"),
        stored(StanzaKind.RETRY_RECEIPT, 14, b"[1, null, null]"),
    ],
)
def test_an_unknown_kind_is_not_guessed(item: MailboxItem) -> None:
    """A message neither: it is ciphertext."""
    with pytest.raises(ContentUnreadable):
        decode(item)


@pytest.mark.parametrize(
    ("kind", "subtype", "content"),
    [
        (StanzaKind.RECEIPT, ReceiptType.READ, b""),
        (StanzaKind.RECEIPT, ReceiptType.READ, b"m1\n"),
        (StanzaKind.RECEIPT, ReceiptType.READ, b"\xff"),
        (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, b""),
        (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, b"100-1@interop"),
        (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, b"{}"),
        (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, b'{"jid": 7}'),
        (StanzaKind.NOTIFICATION, NotificationType.IDENTITY_CHANGED, b'{"jid": "a", "more": 1}'),
        (StanzaKind.NOTIFICATION, NotificationType.TRUSTED_CONTACT, b'{"jid": "a", "expires_at_ms": true}'),
        (StanzaKind.NOTIFICATION, NotificationType.DIGEST_REQUESTED, b"[]"),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b"[]"),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b'["1", null, null]'),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b'[1, "404", null]'),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b'[1, null, ["00", 1, "00", "00", 2]]'),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b'[1, null, ["00", 1, "00", "00", 2, "xx"]]'),
        (StanzaKind.RETRY_RECEIPT, RetryReason.BAD_MAC, b'[1, null, ["00", null, "00", "00", 2, "00"]]'),
    ],
)
def test_malformed_content_raises(kind: StanzaKind, subtype: int, content: bytes) -> None:
    """Whatever is wrong with it, the error is the same, and names the kind of item."""
    with pytest.raises(ContentUnreadable, match=kind.name.lower()):
        decode(stored(kind, subtype, content))
