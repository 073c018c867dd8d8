"""What a client sends is read, or refused with the field that is wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.mailbox_content import encode
from interop_server.core.messages import (
    CiphertextType,
    Delivery,
    DeviceCiphertext,
    MessageType,
    OutgoingMessage,
    ReceiptType,
    RetryReason,
)
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import InboxMode
from interop_server.rpc.convert import inbound, indicators, outbound
from interop_server.rpc.convert.batches import Batches

from .wire import OWN_JID, PEER_JID, check_field, ping, receipt, recorded, refusal_of, retry_receipt


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda inner: b"\x0a" + bytes((len(inner),)) + inner))
def test_any_bytes_are_a_batch_or_refused(plaintext: bytes) -> None:
    """And so is every stanza in it, whatever it claims to be (CHN-09)."""
    try:
        batch = Batches(Limits()).read(plaintext).batch
    except Refusal as refusal:
        assert refusal.reason is Reason.FRAME_MALFORMED
        return
    assert batch.stanzas
    for stanza in batch.stanzas:
        for read in (
            lambda stanza=stanza: inbound.message_from(stanza.message, OWN_JID),
            lambda stanza=stanza: inbound.receipt_from(stanza.receipt, OWN_JID),
            lambda stanza=stanza: inbound.retry_receipt_from(stanza.retry_receipt, OWN_JID),
            lambda stanza=stanza: indicators.typing_from(stanza, OWN_JID),
        ):
            try:
                read()
            except Refusal as refusal:
                answer = outbound.refused_stanza(stanza, recorded(refusal))
                assert answer.WhichOneof("kind") == "stanza_refused"
                assert answer.ByteSize() < 1_000 + len(plaintext)


def test_a_batch_holds_one_stanza_up_to_the_limit() -> None:
    """None is a mistake, one too many is refused as a whole (CHN-09)."""
    limits = Limits(max_batch_stanzas=3)
    for count, reason in ((0, Reason.FRAME_MALFORMED), (4, Reason.BATCH_TOO_LARGE)):
        plaintext = stanza_pb2.Batch(stanzas=[ping()] * count).SerializeToString()
        assert refusal_of(Batches(limits).read, plaintext).reason is reason
    full = stanza_pb2.Batch(stanzas=[ping(number) for number in range(3)])
    assert Batches(limits).read(full.SerializeToString()).batch == full


def message(**changes: Any) -> stanza_pb2.Message:
    enc = [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"x", device_id=3)]
    fields = {"id": "A-z_0.9", "to_jid": PEER_JID, "type": stanza_pb2.MESSAGE_TYPE_MEDIA, "enc": enc}
    return stanza_pb2.Message(**fields | changes)


def test_a_message_is_read() -> None:
    """The address as text: what it means is for the rules (MSG-01, MSG-03)."""
    enc = (DeviceCiphertext(CiphertextType.DOUBLE_RATCHET, 3, b"x", None),)
    expected = OutgoingMessage("A-z_0.9", PEER_JID, MessageType.MEDIA, enc)
    assert inbound.message_from(message(), OWN_JID) == expected
    assert inbound.message_from(message(from_jid=OWN_JID), OWN_JID) == expected
    known = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"x", registration_id=0)
    assert inbound.message_from(message(enc=[known]), OWN_JID).enc[0].registration_id == 0
    resent = message(retry_count=5, reporting_token=bytes(16))
    assert inbound.message_from(resent, OWN_JID) == expected._replace(retry_count=5, reporting_token=bytes(16))
    assert inbound.message_from(message(id="i" * 64, enc=[], to_jid="any\ntext"), OWN_JID) == OutgoingMessage(
        "i" * 64, "any\ntext", MessageType.MEDIA, ()
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_jid": PEER_JID}, Reason.CONNECTION_MULTIPLEXED),
        ({"from_jid": OWN_JID + " "}, Reason.CONNECTION_MULTIPLEXED),
        *(
            ({"id": text}, Reason.STANZA_MALFORMED)
            for text in ("", "i" * 65, "a b", "a\n", "é", "a/b", "\0", "a\u0661")
        ),
        ({"type": 0}, Reason.STANZA_MALFORMED),
        ({"type": 99}, Reason.STANZA_MALFORMED),
        ({"enc": [stanza_pb2.Enc(ciphertext=b"x")]}, Reason.STANZA_MALFORMED),
        ({"enc": [stanza_pb2.Enc(type=99, ciphertext=b"x")]}, Reason.STANZA_MALFORMED),  # type: ignore[arg-type]
        ({"enc": [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE)]}, Reason.STANZA_MALFORMED),
        ({"retry_count": 6}, Reason.STANZA_MALFORMED),
        *(({"reporting_token": bytes(length)}, Reason.STANZA_MALFORMED) for length in (1, 15, 17)),
    ],
)
def test_a_malformed_message_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """One connection speaks for one account; ids and types have their form (PRX-03, MSG-03, MSG-04)."""
    refusal = refusal_of(inbound.message_from, message(**changes), OWN_JID)
    assert refusal.reason is reason
    check_field(refusal, "message", changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_jid": PEER_JID}, Reason.CONNECTION_MULTIPLEXED),
        ({"type": 0}, Reason.STANZA_MALFORMED),
        ({"type": 99}, Reason.STANZA_MALFORMED),
        ({"message_ids": []}, Reason.STANZA_MALFORMED),
        ({"message_ids": ["m"] * 257}, Reason.STANZA_MALFORMED),
        ({"message_ids": ["m1", "a\nb"]}, Reason.STANZA_MALFORMED),
        ({"message_ids": [""]}, Reason.STANZA_MALFORMED),
    ],
)
def test_a_malformed_receipt_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """A line feed in an id would make two of one (RCP-01, RCP-02, PRX-03)."""
    refusal = refusal_of(inbound.receipt_from, receipt(**changes), OWN_JID)
    assert refusal.reason is reason
    check_field(refusal, "receipt", changes)


@pytest.mark.requirement("RCP-02")
@pytest.mark.parametrize("kind", ReceiptType)
def test_a_receipt_is_read(kind: ReceiptType) -> None:
    """Up to 256 messages (RCP-02)."""
    expected = OutgoingReceipt(kind, PEER_JID, ["m"] * 256)
    for changes in ({}, {"from_jid": OWN_JID}):
        named = receipt(type=int(kind), message_ids=["m"] * 256, **changes)
        assert inbound.receipt_from(named, OWN_JID) == expected


@pytest.mark.requirement("RCP-03")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_jid": PEER_JID}, Reason.CONNECTION_MULTIPLEXED),
        ({"message_id": ""}, Reason.STANZA_MALFORMED),
        ({"message_id": "a b"}, Reason.STANZA_MALFORMED),
        ({"retry_count": 0}, Reason.STANZA_MALFORMED),
        ({"reason": 14}, Reason.STANZA_MALFORMED),
        ({"reason": -1}, Reason.STANZA_MALFORMED),
    ],
)
def test_a_malformed_retry_receipt_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """It counts from 1, and its reason has a name; how far it may count is for the rules (RCP-03)."""
    refusal = refusal_of(inbound.retry_receipt_from, retry_receipt(**changes), OWN_JID)
    assert refusal.reason is reason
    check_field(refusal, "retry_receipt", changes)


@pytest.mark.requirement("RCP-03", "MED-08")
@pytest.mark.parametrize("reason", RetryReason)
def test_a_retry_receipt_is_read_and_delivered_as_it_was_read(reason: RetryReason) -> None:
    """With or without keys and status; `to` becomes `from` (RCP-03, MED-08)."""
    keys = stanza_pb2.RetryKeys(
        identity_key=bytes(32),
        signed_prekey_id=1,
        signed_prekey=b"\1" * 32,
        signed_prekey_signature=b"\2" * 64,
        one_time_prekey_id=2,
        one_time_prekey=b"\3" * 32,
    )
    for changes in ({}, {"keys": keys}, {"media_status": 404}):
        sent = retry_receipt(reason=int(reason), retry_count=2**32 - 1, **changes)
        read = inbound.retry_receipt_from(sent, OWN_JID)
        assert (read.message_id, read.retry_count, read.reason) == ("m1", 2**32 - 1, reason)
        item = encode(read._replace(retry_count=5), 9, 77, sender_id=7, sender_jid=OWN_JID)
        [delivered] = outbound.deliveries_to([Delivery(9, item, InboxMode.SEPARATE)], to_whatsapp=True, offline=False)
        stanza = stanza_pb2.Stanza.FromString(delivered)
        sent.ClearField("to_jid")
        sent.from_jid = OWN_JID
        sent.retry_count, sent.timestamp_ms = 5, 77
        assert stanza == stanza_pb2.Stanza(retry_receipt=sent, delivery_id=9)
