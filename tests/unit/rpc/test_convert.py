"""Between the wire and the model: whatever comes in is read, or refused."""

import re
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import chat_pb2, integrity_pb2, prekeys_pb2, stanza_pb2
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
from interop_server.core.messages import (
    Backlog,
    CiphertextType,
    Delivery,
    DeviceCiphertext,
    Indicator,
    MailboxItem,
    MessageType,
    OutgoingMessage,
    ReceiptType,
    ReportedMessage,
    RetryReason,
    RevealedContent,
    StanzaKind,
    TypingState,
)
from interop_server.core.messaging.indicators import Typing
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import (
    ConnectionMode,
    DeviceAddress,
    DeviceBundle,
    InboxMode,
    KemPreKey,
    KemPreKeys,
    Login,
    MessageRequestState,
    OneTimePreKey,
    PreKeyCounts,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from interop_server.rpc.convert import inbound, indicators, keys, login, outbound, reports

OWN_JID, PEER_JID = "100-10000000000001@interop", "491511234567@s.whatsapp.net"
DEVICE = DeviceAddress(PEER_JID, 3)
STATIC_KEY = bytes(range(32))
DIRECT, PROXY = chat_pb2.CONNECTION_MODE_DIRECT, chat_pb2.CONNECTION_MODE_PROXY
WHATSAPP, INTEROP = chat_pb2.PRODUCT_WHATSAPP, chat_pb2.PRODUCT_INTEROP
INTEROP_DATA = chat_pb2.InteropData(account_id=2**64 - 1, token=b"a.b.c", enable_read_receipts=True)


R = TypeVar("R", bound=Refusal)


def refusal_of(call: Any, *args: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value


def recorded(refusal: R) -> R:
    """Only what stands in the journal goes out."""
    refusal.request_id = "00ff00ff00ff00ff"
    return refusal


def check_field(refusal: Refusal, kind: str, changes: dict[str, Any]) -> None:
    """Asserts that a refusal names the field that was changed, from the stanza on (SIM-01)."""
    [changed] = changes
    [violation] = refusal.violations
    assert re.fullmatch(rf"{kind}\.{changed}(\[\d+\](\.\w+)?)?", violation.field), violation
    assert violation.description


def interop_login(**changes: Any) -> bytes:
    fields = {"product": INTEROP, "interop_data": INTEROP_DATA, "protocol_version": 1, "connection_mode": DIRECT}
    fields |= changes
    return chat_pb2.LoginPayload(**{k: v for k, v in fields.items() if v is not None}).SerializeToString()


def whatsapp_login(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"username": 491511234567, "protocol_version": 2, "connection_mode": DIRECT}
    return chat_pb2.LoginPayload(**fields | changes).SerializeToString()


@pytest.mark.requirement("CHN-06")
def test_a_third_party_users_login_is_read() -> None:
    """Account number, token and settings come from `interop_data` (CHN-06, PRX-01)."""
    expected = Login(STATIC_KEY, "", 2**64 - 1, "a.b.c", 1, ConnectionMode.DIRECT, "", True, True)
    assert login.login_from(interop_login(), STATIC_KEY) == expected
    said = login.login_from(interop_login(capabilities=[1, 99, 1], max_frame_bytes=200_000), STATIC_KEY)
    assert said == replace(expected, capabilities=frozenset({1, 99}), max_frame_bytes=200_000)
    by_proxy = interop_login(connection_mode=PROXY, client_ip="198.51.100.7", protocol_version=2**32 - 1)
    assert login.login_from(by_proxy, STATIC_KEY) == replace(
        expected, mode=ConnectionMode.PROXY, client_ip="198.51.100.7", protocol_version=2**32 - 1
    )


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_the_read_receipt_setting_is_the_products_own(outer: bool, inner: bool) -> None:
    """A third-party user's stands in `interop_data`, a WhatsApp user's beside it (RCP-01)."""
    data = chat_pb2.InteropData(account_id=1, token=b"a.b.c", enable_read_receipts=inner)
    assert login.login_from(interop_login(interop_data=data, enable_read_receipts=outer), b"").read_receipts is inner
    assert login.login_from(whatsapp_login(enable_read_receipts=outer), b"").read_receipts is outer


def test_a_whatsapp_users_login_is_read() -> None:
    """A number is all that it says of itself (CHN-06)."""
    read = login.login_from(whatsapp_login(username=10**15 - 1), STATIC_KEY)
    assert read == Login(STATIC_KEY, "9" * 15, 0, "", 2, ConnectionMode.DIRECT, "", False, False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"\xff", Reason.LOGIN_MALFORMED, id="no protobuf"),
        pytest.param(interop_login()[:-1], Reason.LOGIN_MALFORMED, id="cut off"),
        pytest.param(b"", Reason.LOGIN_MALFORMED, id="empty"),
        pytest.param(interop_login(product=1), Reason.LOGIN_MALFORMED, id="another product"),
        pytest.param(interop_login(product=99), Reason.LOGIN_MALFORMED, id="an unknown product"),
        pytest.param(interop_login(connection_mode=None), Reason.LOGIN_MALFORMED, id="no mode"),
        pytest.param(interop_login(connection_mode=7), Reason.LOGIN_MALFORMED, id="an unknown mode"),
        pytest.param(interop_login(interop_data=None), Reason.LOGIN_MALFORMED, id="interop without its data"),
        pytest.param(whatsapp_login(interop_data=INTEROP_DATA), Reason.LOGIN_MALFORMED, id="WhatsApp with them"),
        pytest.param(interop_login(username=1), Reason.LOGIN_MALFORMED, id="interop with a number"),
        pytest.param(whatsapp_login(username=0), Reason.LOGIN_MALFORMED, id="WhatsApp without one"),
        pytest.param(whatsapp_login(username=10**15), Reason.LOGIN_MALFORMED, id="a number of 16 digits"),
        pytest.param(
            interop_login(interop_data=chat_pb2.InteropData(token="é".encode())), Reason.TOKEN_MALFORMED, id="token"
        ),
        pytest.param(interop_login(client_ip="x") + b"\xda\x3e\x01\xff", Reason.LOGIN_MALFORMED, id="text not UTF-8"),
    ],
)
def test_a_malformed_login_is_refused(payload: bytes, reason: Reason) -> None:
    """Each product has its own fields, and no others (CHN-06)."""
    assert refusal_of(login.login_from, payload, STATIC_KEY).reason is reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_login_or_refused(payload: bytes) -> None:
    """Nothing but a Refusal escapes (CHN-06)."""
    try:
        assert login.login_from(payload, STATIC_KEY).static_key == STATIC_KEY
    except Refusal as refusal:
        assert refusal.reason in (Reason.LOGIN_MALFORMED, Reason.TOKEN_MALFORMED)


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda inner: b"\x0a" + bytes((len(inner),)) + inner))
def test_any_bytes_are_a_batch_or_refused(plaintext: bytes) -> None:
    """And so is every stanza in it, whatever it claims to be (CHN-09)."""
    try:
        batch = inbound.batch_from(plaintext, Limits())
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


def ping(number: int = 1) -> stanza_pb2.Stanza:
    return stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=number))


def test_a_batch_holds_one_stanza_up_to_the_limit() -> None:
    """None is a mistake, one too many is refused as a whole (CHN-09)."""
    limits = Limits(max_batch_stanzas=3)
    for count, reason in ((0, Reason.FRAME_MALFORMED), (4, Reason.BATCH_TOO_LARGE)):
        plaintext = stanza_pb2.Batch(stanzas=[ping()] * count).SerializeToString()
        assert refusal_of(inbound.batch_from, plaintext, limits).reason is reason
    full = stanza_pb2.Batch(stanzas=[ping(number) for number in range(3)])
    assert inbound.batch_from(full.SerializeToString(), limits) == full


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


def receipt(**changes: Any) -> stanza_pb2.Receipt:
    fields = {"type": stanza_pb2.RECEIPT_TYPE_READ, "to_jid": PEER_JID, "message_ids": ["m1"]}
    return stanza_pb2.Receipt(**fields | changes)


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


def retry_receipt(**changes: Any) -> stanza_pb2.RetryReceipt:
    fields = {"to_jid": PEER_JID, "message_id": "m1", "retry_count": 1, "registration_id": 2**32 - 1}
    return stanza_pb2.RetryReceipt(**fields | changes)


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
        stanza = outbound.delivery_to(Delivery(9, item, InboxMode.SEPARATE), to_whatsapp=True, offline=False)
        sent.ClearField("to_jid")
        sent.from_jid = OWN_JID
        sent.retry_count, sent.timestamp_ms = 5, 77
        assert stanza == stanza_pb2.Stanza(retry_receipt=sent, delivery_id=9)


@pytest.mark.requirement("MSG-13")
@pytest.mark.parametrize("state", TypingState)
def test_a_sign_of_typing_is_read_and_delivered(state: TypingState) -> None:
    """It says who and for how long (MSG-13)."""
    typing = stanza_pb2.Typing(to_jid=PEER_JID, state=int(state), from_jid=OWN_JID)
    assert indicators.typing_from(stanza_pb2.Stanza(typing=typing), OWN_JID) == (PEER_JID, Typing(state))
    expected = stanza_pb2.Typing(state=int(state), expires_after_seconds=5, from_jid=OWN_JID)
    assert indicators.indicator_to(OWN_JID, Typing(state), 5) == stanza_pb2.Stanza(typing=expected)


@pytest.mark.requirement("MSG-13")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_jid": PEER_JID}, Reason.CONNECTION_MULTIPLEXED),
        ({"state": 0}, Reason.STANZA_MALFORMED),
        ({"state": 4}, Reason.STANZA_MALFORMED),
    ],
)
def test_a_malformed_sign_of_typing_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """It says what somebody does, and nobody says it for another (MSG-13, PRX-03)."""
    typing = stanza_pb2.Typing(**{"to_jid": PEER_JID, "state": 1} | changes)
    refusal = refusal_of(indicators.typing_from, stanza_pb2.Stanza(typing=typing), OWN_JID)
    assert refusal.reason is reason
    check_field(refusal, "typing", changes)


def test_an_indicator_that_nobody_can_write_is_an_error() -> None:
    """A kind that was added to the rules alone is found at once, not shown as something else."""
    with pytest.raises(TypeError, match="Indicator"):
        indicators.indicator_to(OWN_JID, Indicator(), 5)


def test_a_refused_stanza_is_named_by_its_id_its_kind_and_what_the_client_calls_it() -> None:
    """The id may be none, a number or very long; the client's own name is echoed when there is one (SIM-01)."""
    refusal = recorded(Refusal(Reason.STANZA_MALFORMED, "why", retry_after_ms=7))
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


def delivery(item: MailboxItem) -> Delivery:
    return Delivery(9, item, InboxMode.COMBINED, MessageRequestState.DECLINED)


@pytest.mark.requirement("MSG-02")
@pytest.mark.parametrize("to_whatsapp", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_a_message_is_delivered_as_it_was_stored(to_whatsapp: bool, offline: bool) -> None:
    """With the inbox mode for WhatsApp users only (MSG-02, MSG-09, OPT-05)."""
    subtype = CiphertextType.PREKEY_MESSAGE
    stored = delivery(MailboxItem(1, 2, PEER_JID, StanzaKind.MESSAGE, subtype, 2, "m1", 77, b"\xff\0"))
    stanza = outbound.delivery_to(stored, to_whatsapp=to_whatsapp, offline=offline)
    enc = [stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_PREKEY_MESSAGE, ciphertext=b"\xff\0")]
    fields = {"id": "m1", "from_jid": PEER_JID, "type": stanza_pb2.MESSAGE_TYPE_MEDIA, "timestamp_ms": 77, "enc": enc}
    expected = stanza_pb2.Message(**fields)
    if to_whatsapp:
        expected.inbox_mode = stanza_pb2.INBOX_MODE_COMBINED
        expected.request_state = stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED
    assert stanza == stanza_pb2.Stanza(message=expected, delivery_id=9, offline=offline)
    plain = outbound.delivery_to(stored, to_whatsapp=to_whatsapp, offline=offline, knows_requests=False).message
    expected.ClearField("request_state")
    assert plain == expected
    resent = stored.item._replace(retry_count=3, reporting_token=bytes(16))
    again = outbound.delivery_to(stored._replace(item=resent), to_whatsapp=to_whatsapp, offline=offline).message
    assert (again.retry_count, again.reporting_token) == (3, bytes(16))


def test_receipts_and_notifications_are_delivered_as_they_were_stored() -> None:
    """Several messages in one receipt; one event in a notification (RCP-02, KEY-09, KEY-10, KEY-17)."""
    receipt = encode(Receipt(ReceiptType.READ, ("a", "b")), 1, 77, sender_id=2, sender_jid=PEER_JID)
    read = outbound.delivery_to(delivery(receipt), to_whatsapp=True, offline=False)
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
        stanza = outbound.delivery_to(delivery(encode(content, 1, 77)), to_whatsapp=False, offline=True)
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


KEYS = PublishedKeys(2**32 - 1, b"i" * 32, SignedPreKey(1, b"s" * 32, b"g" * 64))


def test_keys_survive_the_wire_both_ways() -> None:
    """Published as they are taken; without a one-time prekey there is none in the bundle (KEY-01, KEY-06)."""
    signed = prekeys_pb2.SignedPreKey(key_id=1, public_key=b"s" * 32, signature=b"g" * 64)
    request = prekeys_pb2.SetPreKeysRequest(
        registration_id=2**32 - 1,
        key_type=b"\x05",
        identity_key=b"i" * 32,
        signed_prekey=signed,
        one_time_prekeys=[prekeys_pb2.OneTimePreKey(key_id=7, public_key=b"o" * 32)],
    )
    assert keys.published_keys_from(request) == KEYS
    one_time = OneTimePreKey(7, b"o" * 32)
    assert keys.one_time_prekeys_from(request.one_time_prekeys) == [one_time]
    bundle = keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, one_time, 5)))
    assert bundle.device == stanza_pb2.DeviceAddress(jid=PEER_JID, device_id=3)
    assert (bundle.registration_id, bundle.identity_key, bundle.signed_prekey) == (2**32 - 1, b"i" * 32, signed)
    assert bundle.one_time_prekey == request.one_time_prekeys[0]
    assert not keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, None, 0))).HasField("one_time_prekey")
    for key_type in (b"", b"\x04", b"\x05\x05"):
        request.key_type = key_type
        assert refusal_of(keys.published_keys_from, request).reason is Reason.KEY_MALFORMED


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:203.0.113.7:43210", "203.0.113.7"),
        ("ipv6:[2001:db8::1]:443", "2001:db8::1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1"),
        ("unix:/run/interopsim.sock", ""),
        ("unix:", ""),
        ("", ""),
        ("ipv4:203.0.113.7", ""),
    ],
)
def test_a_peer_is_known_by_its_address(peer: str, address: str) -> None:
    """In each form that gRPC gives it; where it has none, nothing is known."""
    assert login.peer_ip_from(peer) == address


@pytest.mark.requirement("KEY-15", "KEY-16")
def test_kem_prekeys_are_read_and_written_field_by_field() -> None:
    """A bundle says whether its KEM prekey is the last-resort one, and whether there ought to be one."""
    one_time, last_resort = KemPreKey(1, b"k", b"s"), KemPreKey(2, b"l", b"t")
    wire = [
        prekeys_pb2.KemPreKey(key_id=key.key_id, public_key=key.public_key, signature=key.signature)
        for key in (one_time, last_resort)
    ]
    read = keys.kem_prekeys_from(prekeys_pb2.KemPreKeys(one_time=wire[:1], last_resort=wire[1]))
    assert read == KemPreKeys(last_resort, (one_time,))
    assert keys.kem_prekeys_from(prekeys_pb2.KemPreKeys()) == KemPreKeys(None)
    for is_last_resort, kem_prekey in ((False, one_time), (True, last_resort)):
        taken = TakenBundle(KEYS, None, 0, kem_prekey, 0, is_last_resort)
        bundle = keys.bundle_to(DeviceBundle(DEVICE, taken))
        assert (bundle.kem_prekey, bundle.kem_is_last_resort) == (wire[is_last_resort], is_last_resort)
        assert not bundle.kem_withdrawn
    withdrawn = keys.bundle_to(DeviceBundle(DEVICE, TakenBundle(KEYS, None, 0, kem_withdrawn=True)))
    assert (withdrawn.HasField("kem_prekey"), withdrawn.kem_withdrawn) == (False, True)


@pytest.mark.requirement("ABU-03")
def test_a_reported_message_is_read_with_or_without_its_words() -> None:
    """Words and their secret come together; that they are empty is for the rules to judge."""
    message = integrity_pb2.ReportedMessage
    assert reports.reported_message_from(message(message_id="m-1"), 0) == ReportedMessage("m-1", None)
    revealed = message(message_id="m-1", plaintext=b"", message_secret=bytes(32))
    assert reports.reported_message_from(revealed, 0) == ReportedMessage("m-1", RevealedContent(b"", bytes(32)))
    for wrong, field in (
        (message(), "message_id"),
        (message(message_id="x" * 65), "message_id"),
        (message(message_id="a b"), "message_id"),
        (message(message_id="m", plaintext=b"words"), "message_secret"),
        (message(message_id="m", message_secret=bytes(32)), "plaintext"),
    ):
        refusal = refusal_of(reports.reported_message_from, wrong, 3)
        assert refusal.reason is Reason.REQUEST_MALFORMED
        assert [violation.field for violation in refusal.violations] == [f"messages[3].{field}"]
