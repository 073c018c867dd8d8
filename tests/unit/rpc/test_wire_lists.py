"""Lists are counted in the bytes of a message, before anything is made of them."""

from contextlib import suppress
from random import Random

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import chat_pb2, integrity_pb2, prekeys_pb2, stanza_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits, about
from interop_server.rpc.convert.batches import Batches
from interop_server.rpc.convert.login import login_from
from interop_server.rpc.request_bounds import _LISTS, PLAIN_BYTES, RequestBounds, bounds_of, most_received_bytes
from interop_server.rpc.wire_lists import TooMany, Unreadable, WireLists
from tests.fuzz.messages import MessageWriter

from .contexts import SERVICES

pytestmark = pytest.mark.requirement("CHN-09", "SIM-06")

BOMB = b"\x1a\x00" * 500_000
"""Half a million empty messages in `ReportRequest.messages`."""


def usual_bounds(kind: Descriptor) -> RequestBounds:
    return bounds_of(kind, False, Limits().max_ciphertext_bytes)


def reason_of(kind: Descriptor, serialized: bytes) -> Reason:
    with pytest.raises(Refusal) as raised:
        usual_bounds(kind).check(serialized)
    return raised.value.reason


def lists(kind: Descriptor, seen: frozenset[str] = frozenset()) -> set[str]:
    """Every list that a message can have, at any depth."""
    found: set[str] = set()
    for each in kind.fields:
        found |= {f"{kind.name}.{each.name}"} if each.is_repeated else set()
        if each.message_type is not None and each.message_type.full_name not in seen:
            found |= lists(each.message_type, seen | {each.message_type.full_name})
    return found


def test_every_list_of_every_request_has_a_bound() -> None:
    """And no bound is left over for a list that is gone."""
    assert set().union(*(lists(each.input_type) for service in SERVICES for each in service.methods)) == set(_LISTS)


def test_a_request_of_each_method_is_bounded_near_its_real_size() -> None:
    """The largest is a full set of prekeys; one without lists has room for what the rules say is too long."""
    most = {each.name: usual_bounds(each.input_type).most_bytes for service in SERVICES for each in service.methods}
    print({name: size for name, size in most.items() if size != PLAIN_BYTES})
    assert max(most.values()) < 2 << 20
    assert most["SetInboxMode"] == PLAIN_BYTES
    keys = [prekeys_pb2.OneTimePreKey(key_id=(1 << 24) - 1, public_key=bytes(range(32)))] * 20_000
    usual_bounds(prekeys_pb2.SetPreKeysRequest.DESCRIPTOR).check(
        prekeys_pb2.SetPreKeysRequest(one_time_prekeys=keys).SerializeToString()
    )
    for method in most:
        assert reason_of(
            next(e.input_type for s in SERVICES for e in s.methods if e.name == method), b"\xff" * (2 << 20)
        )


@pytest.mark.requirement("ABU-03")
@pytest.mark.parametrize(
    "max_ciphertext_bytes", [1_024, Limits().max_ciphertext_bytes, 1 << 20, int(about("max_ciphertext_bytes").most)]
)
def test_all_that_one_report_can_name_can_be_revealed(max_ciphertext_bytes: int) -> None:
    """Each message as long as it may be sent, whatever that is here."""
    report = integrity_pb2.ReportRequest(
        jid="1" * 128,
        spam_flow=integrity_pb2.SPAM_FLOW_MESSAGE_MENU,
        messages=[
            integrity_pb2.ReportedMessage(
                message_id="m" * 64, plaintext=bytes(max_ciphertext_bytes), message_secret=bytes(32)
            )
        ]
        * 16,
    )
    bounds_of(report.DESCRIPTOR, False, max_ciphertext_bytes).check(report.SerializeToString())
    assert report.ByteSize() <= most_received_bytes(max_ciphertext_bytes)
    report.messages[0].plaintext += bytes(PLAIN_BYTES + 16 * 1_024)
    with pytest.raises(Refusal):
        bounds_of(report.DESCRIPTOR, False, max_ciphertext_bytes).check(report.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "serialized", "reason"),
    [
        (integrity_pb2.ReportRequest, BOMB, Reason.TOO_MANY_ITEMS),
        (integrity_pb2.ReportRequest, b"\x1a\x00" * 17, Reason.TOO_MANY_ITEMS),
        (prekeys_pb2.SetPreKeysRequest, b"\x2a\x00" * 20_001, Reason.TOO_MANY_ITEMS),
        (prekeys_pb2.DeleteOneTimePreKeysRequest, b"\x0a\x03\x01\x01\x01" * 20_001, Reason.TOO_MANY_ITEMS),
        (prekeys_pb2.DeleteOneTimePreKeysRequest, b"\x08\x01" * 20_001, Reason.TOO_MANY_ITEMS),
        (prekeys_pb2.TakeMissingPreKeyBundlesRequest, b"\x0a\xcc\x01" + b"\x12\x00" * 102, Reason.TOO_MANY_ITEMS),
        (integrity_pb2.ReportRequest, b"\x0b", Reason.REQUEST_MALFORMED),
        (integrity_pb2.ReportRequest, b"\x1a\x05a", Reason.REQUEST_MALFORMED),
        (integrity_pb2.GetBlocklistRequest, bytes(PLAIN_BYTES + 1), Reason.REQUEST_MALFORMED),
    ],
)  # fmt: skip
def test_too_many_elements_are_refused_unparsed(kind: type[Message], serialized: bytes, reason: Reason) -> None:
    """At the top, inside, packed or not; groups and bytes that end too early are no request."""
    assert reason_of(kind.DESCRIPTOR, serialized) is reason


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 1 << 40), st.binary(max_size=60))
def test_what_is_counted_is_what_would_be_parsed(messages: list[bytes], number: int, junk: bytes) -> None:
    """A right message passes exactly when its list is short enough; any other bytes pass, or are refused."""
    most = 16
    request = integrity_pb2.ReportRequest(
        messages=[integrity_pb2.ReportedMessage(plaintext=each, message_id="a" * (number % 300)) for each in messages]
    )
    counted = WireLists.of(integrity_pb2.ReportRequest.DESCRIPTOR, {"ReportRequest.messages": most}, 0)
    try:
        counted.check(request.SerializeToString())
    except TooMany as error:
        assert error.path == "messages" and len(messages) > most
    else:
        assert len(messages) <= most
    with suppress(TooMany, Unreadable):
        counted.check(junk)


@pytest.mark.parametrize("kind", [stanza_pb2.Batch, prekeys_pb2.SetPreKeysRequest, integrity_pb2.ReportRequest])
def test_what_can_be_parsed_can_be_counted(kind: type[Message]) -> None:
    """Whatever is strange in it: unknown fields, groups, fields of another type, messages in parts."""
    counted = WireLists.of(kind.DESCRIPTOR, {}, 1 << 40)
    for seed in range(500):
        payload = MessageWriter(Random(seed)).payload(kind.DESCRIPTOR)
        with suppress(DecodeError):
            kind.FromString(payload)
            counted.check(payload)


UNKNOWN = (b"\x78\x01", b"\x7b\x7c", b"\x7b\x08\x01\x7c")
"""An unknown field, an empty group, and a group with a field: small, and looked at one by one."""


@pytest.mark.parametrize("fields", UNKNOWN, ids=["fields", "groups", "in groups"])
def test_unknown_fields_are_bounded_like_all_that_takes_time(fields: bytes) -> None:
    """A few are what later versions may add; hundreds of thousands keep everybody else waiting."""
    usual_bounds(integrity_pb2.ReportRequest.DESCRIPTOR).check(fields * 10_000)
    assert reason_of(integrity_pb2.ReportRequest.DESCRIPTOR, fields * 200_000) is Reason.REQUEST_MALFORMED


ENC = stanza_pb2.Enc(ciphertext=bytes(300))
RECEIPT = stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(message_ids=["a", "b"]))
MESSAGE = stanza_pb2.Stanza(message=stanza_pb2.Message(id="a" * 20, enc=[ENC]))


def batch(*stanzas: stanza_pb2.Stanza) -> bytes:
    return stanza_pb2.Batch(stanzas=stanzas).SerializeToString()


@pytest.mark.parametrize(
    ("plaintext", "reason"),
    [
        (b"\x0a\x00" * 500_000, Reason.BATCH_TOO_LARGE),
        (batch(stanza_pb2.Stanza(message=stanza_pb2.Message(enc=[stanza_pb2.Enc()] * 40_000))), Reason.FRAME_MALFORMED),
        (batch(stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(message_ids=[""] * 40_000))), Reason.FRAME_MALFORMED),
        (batch(stanza_pb2.Stanza(send_acks=stanza_pb2.SendAcks(acks=[stanza_pb2.SendAck()] * 40_000))),
            Reason.FRAME_MALFORMED),
        (b"\x0a\x80\xe2\x09" + b"\x32\x00\x22\x00" * 40_000, Reason.FRAME_MALFORMED),
        *((fields * 200_000, Reason.FRAME_MALFORMED) for fields in UNKNOWN),
        (batch(RECEIPT) + b"\x0a\x80\xb5\x18" + b"\x78\x01" * 200_000, Reason.FRAME_MALFORMED),
        (b"\x0a\x84\xb5\x18\x52\x80\xb5\x18" + b"\x08\x01" * 200_000, Reason.FRAME_MALFORMED),
    ],
    ids=[
        *("stanzas", "enc", "receipt", "acks of the server", "kinds in turn", "fields", "groups", "in groups"),
        *("in one", "numbers one by one"),
    ],
)  # fmt: skip
def test_a_frame_is_counted_before_it_is_parsed(plaintext: bytes, reason: Reason) -> None:
    """Stanzas, lists inside them, and one kind of stanza after another in the same stanza."""
    with pytest.raises(Refusal) as raised:
        Batches(Limits()).read(plaintext)
    assert raised.value.reason is reason


def test_usual_frames_pass() -> None:
    """Full of messages, with long acks and receipts among them, and with what later versions may add."""
    ack = stanza_pb2.Stanza(ack=stanza_pb2.Ack(delivery_ids=range(1, 4_097)))
    receipt = stanza_pb2.Stanza(receipt=stanza_pb2.Receipt(message_ids=["m" * 20] * 256))
    for plaintext in (batch(*[MESSAGE] * 1_024), batch(MESSAGE, ack, receipt, *[MESSAGE] * 100)):
        assert Batches(Limits()).read(plaintext).batch.SerializeToString() == plaintext
        later = plaintext + b"\xfa\x07\x03new"
        assert Batches(Limits()).read(later).batch.stanzas == stanza_pb2.Batch.FromString(plaintext).stanzas


def test_a_login_is_counted_before_it_is_parsed() -> None:
    """Whoever has no account yet can send it."""
    many = chat_pb2.LoginPayload.DESCRIPTOR.fields_by_name["capabilities"].number
    header = bytearray((many << 3 & 0x7F | 0x80, many >> 4)) if many > 15 else bytearray((many << 3,))
    for payload in (bytes(header + b"\x01") * 5_000, bytes(80_000)):
        with pytest.raises(Refusal) as raised:
            login_from(payload, bytes(32))
        assert raised.value.reason is Reason.LOGIN_MALFORMED
