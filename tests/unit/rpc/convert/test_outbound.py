"""What a client is sent has what was stored, field by field."""

import pytest

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.mailbox_content import (
    ChallengeCode,
    DigestRequested,
    IdentityChanged,
    ReachabilityPing,
    Receipt,
    TrustedContact,
    encode,
)
from interop_server.core.messages import Backlog, CiphertextType, Delivery, MailboxItem, ReceiptType, StanzaKind
from interop_server.core.model import InboxMode, MessageRequestState, PreKeyCounts
from interop_server.rpc.convert import login, outbound

from .wire import PEER_JID, ping, receipt, recorded, retry_receipt


def test_a_refused_stanza_is_named_by_its_id_its_kind_and_what_the_client_calls_it() -> None:
    """The id may be none, a number or very long; the client's own name is echoed when there is one (SIM-01)."""
    refusal = recorded(Refusal(Reason.STANZA_MALFORMED, "why", retry_after_ms=7, requirement="MSG-04"))
    for stanza, stanza_id, kind in (
        (stanza_pb2.Stanza(), "", ""),
        (ping(5), "", "ping"),
        (stanza_pb2.Stanza(receipt=receipt(), ref=0), "", "receipt"),
        (stanza_pb2.Stanza(retry_receipt=retry_receipt(message_id="m" * 99), ref=1 << 63), "m" * 64, "retry_receipt"),
        (stanza_pb2.Stanza(call_offer=stanza_pb2.CallOffer(id="c" * 99)), "c" * 64, "call_offer"),
    ):
        answer = outbound.refused_stanza(stanza, refusal)
        refused = answer.stanza_refused
        assert (refused.id, refused.kind, refused.error.retry_after_ms) == (stanza_id, kind, 7)
        assert (answer.HasField("ref"), answer.ref) == (stanza.HasField("ref"), stanza.ref)


def test_a_pong_has_the_id_of_its_ping_and_what_the_client_calls_it() -> None:
    """The client knows which ping it answers (CHN-12)."""
    for stanza in (ping(5), stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=6), ref=9)):
        pong = outbound.pong_to(stanza)
        assert (pong.pong.id, pong.HasField("ref"), pong.ref) == (stanza.ping.id, stanza.HasField("ref"), stanza.ref)


def delivered(delivery: Delivery, **options: bool) -> stanza_pb2.Stanza:
    [stanza] = outbound.deliveries_to([delivery], **options)
    return stanza_pb2.Stanza.FromString(stanza)


def delivery(item: MailboxItem) -> Delivery:
    return Delivery(9, item, InboxMode.COMBINED, MessageRequestState.DECLINED)


@pytest.mark.requirement("MSG-02")
@pytest.mark.parametrize("to_whatsapp", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_a_message_is_delivered_as_it_was_stored(to_whatsapp: bool, offline: bool) -> None:
    """With the inbox mode for WhatsApp users only (MSG-02, MSG-09, OPT-05)."""
    subtype = CiphertextType.PREKEY_MESSAGE
    stored = delivery(MailboxItem(1, 2, PEER_JID, StanzaKind.MESSAGE, subtype, 2, "m1", 77, b"\xff\0"))
    stanza = delivered(stored, to_whatsapp=to_whatsapp, offline=offline)
    enc = [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE, ciphertext=b"\xff\0")]
    fields = {"id": "m1", "from_jid": PEER_JID, "type": stanza_pb2.MESSAGE_TYPE_MEDIA, "timestamp_ms": 77, "enc": enc}
    expected = stanza_pb2.Message(**fields)
    if to_whatsapp:
        expected.inbox_mode = stanza_pb2.INBOX_MODE_COMBINED
        expected.request_state = stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED
    assert stanza == stanza_pb2.Stanza(message=expected, delivery_id=9, offline=offline)
    plain = delivered(stored, to_whatsapp=to_whatsapp, offline=offline, knows_requests=False).message
    expected.ClearField("request_state")
    assert plain == expected
    resent = stored.item._replace(retry_count=3, reporting_token=bytes(16))
    again = delivered(stored._replace(item=resent), to_whatsapp=to_whatsapp, offline=offline).message
    assert (again.retry_count, again.reporting_token) == (3, bytes(16))


def test_receipts_and_notifications_are_delivered_as_they_were_stored() -> None:
    """Several messages in one receipt; one event in a notification (RCP-02, KEY-09, KEY-10, KEY-17)."""
    receipt = encode(Receipt(ReceiptType.READ, ("a", "b")), 1, 77, sender_id=2, sender_jid=PEER_JID)
    read = delivered(delivery(receipt), to_whatsapp=True, offline=False)
    fields = {"from_jid": PEER_JID, "message_ids": ["a", "b"], "timestamp_ms": 77}
    assert read.receipt == stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_READ, **fields)
    for content, event in (
        (IdentityChanged(PEER_JID), {"identity_changed": stanza_pb2.IdentityChanged(jid=PEER_JID)}),
        (
            ReachabilityPing(7, "Owls", "\u0410da"),
            {
                "reachability_ping": stanza_pb2.ReachabilityPing(
                    integrator=7, partner_name="Owls", display_name="\u0410da"
                )
            },
        ),
        (
            TrustedContact(PEER_JID, 5),
            {"trusted_contact": stanza_pb2.TrustedContact(jid=PEER_JID, expires_at_ms=5)},
        ),
        (
            ChallengeCode("00ff", "012345"),
            {"challenge_code": stanza_pb2.ChallengeCode(challenge_id="00ff", digits="012345")},
        ),
        (DigestRequested(), {"digest_requested": stanza_pb2.DigestRequested()}),
    ):
        stanza = delivered(delivery(encode(content, 1, 77)), to_whatsapp=False, offline=True)
        assert stanza.notification == stanza_pb2.Notification(**event, timestamp_ms=77)
    low = stanza_pb2.Notification(prekeys_low=stanza_pb2.PreKeysLow(count=3), timestamp_ms=77)
    assert outbound.prekeys_low_to(PreKeyCounts(3), 77).notification == low
    low.prekeys_low.kem_count = 0
    assert outbound.prekeys_low_to(PreKeyCounts(3, 0), 77).notification == low


def test_preview_and_limits_say_what_they_are_given() -> None:
    """Field by field (MSG-08, CHN-09)."""
    preview = outbound.preview_to(Backlog(1, 2, 3, 4, 99)).offline_preview
    assert (preview.messages, preview.receipts, preview.notifications) == (1, 2, 3)
    limits = login.limits_to(Limits())
    fixed = {"max_ack_ids": 4_096, "max_receipt_ids": 256, "max_offline_batch": 200}
    for field in limits.DESCRIPTOR.fields:
        assert getattr(limits, field.name) == (fixed.get(field.name) or getattr(Limits(), field.name)) > 0
