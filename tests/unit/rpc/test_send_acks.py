"""What became of messages is told in order, in stanzas that fit into frames."""

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_api.v1 import stanza_pb2
from interop_protocol.digest import phash
from interop_protocol.jid import parse_jid
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messaging.routing import DeviceListMismatch, SendOutcome
from interop_server.rpc.send_acks import send_acks_to

PEER_JID = "491511234567@s.whatsapp.net"
ROOM = 1 << 20
R = TypeVar("R", bound=Refusal)


def recorded(refusal: R) -> R:
    """Only what stands in the journal goes out."""
    refusal.request_id = "00ff00ff00ff00ff"
    return refusal


LONGEST = recorded(DeviceListMismatch(parse_jid(PEER_JID), missing=[0], extra=range(1, 101), stale=[0]))
"""The refusal that says most."""


def acks_of(outcomes: list[SendOutcome]) -> list[stanza_pb2.SendAck]:
    [stanza] = stanzas_of(outcomes, ROOM)
    return list(stanza.send_acks.acks)


def stanzas_of(outcomes: list[SendOutcome], max_bytes: int) -> list[stanza_pb2.Stanza]:
    return [stanza_pb2.Stanza.FromString(stanza) for stanza in send_acks_to(outcomes, max_bytes)]


def test_outcomes_become_acks_in_order() -> None:
    """A timestamp, or why not (MSG-04)."""
    outcomes = [SendOutcome("a", 5), SendOutcome("b", refusal=recorded(Refusal(Reason.MAILBOX_FULL, retry_after_ms=9)))]
    first, second = acks_of(outcomes)
    assert (first.id, first.timestamp_ms, first.HasField("error")) == ("a", 5, False)
    assert (second.id, second.timestamp_ms, second.error.retry_after_ms) == ("b", 0, 9)
    assert not second.HasField("device_list_mismatch")
    assert send_acks_to([], ROOM) == []


@pytest.mark.requirement("MSG-05")
def test_a_wrong_device_list_is_answered_with_the_right_one() -> None:
    """Machine-readable, beside the refusal (MSG-05)."""
    refusal = recorded(DeviceListMismatch(parse_jid(PEER_JID), missing=[0], extra=[1, 7], stale=[0]))
    [ack] = acks_of([SendOutcome("a", refusal=refusal)])
    assert ack.error.reason == Reason.DEVICE_LIST_MISMATCH.value
    devices = {number: stanza_pb2.DeviceAddress(jid=PEER_JID, device_id=number) for number in (0, 1, 7)}
    expected = stanza_pb2.DeviceListMismatch(
        phash=phash([PEER_JID]), missing=[devices[0]], extra=[devices[1], devices[7]], stale=[devices[0]]
    )
    assert ack.device_list_mismatch == expected


def test_what_was_taken_fits_into_one_stanza() -> None:
    """Also the longest batch with the longest ids: several would cost more frames (CHN-09)."""
    outcomes = [SendOutcome("x" * 64, 2**53) for _ in range(1_024)]
    assert len(send_acks_to(outcomes, 128 << 10)) == 1


@pytest.mark.requirement("CHN-09")
@given(
    st.lists(
        st.sampled_from([None, recorded(Refusal(Reason.RATE_LIMITED, "x" * 300, requirement="MSG-11")), LONGEST]),
        max_size=300,
    )
)
def test_each_stanza_fits_into_a_frame(refusals: list[Refusal | None]) -> None:
    """However many messages are refused, and however much is to be said of it (CHN-09)."""
    outcomes = [SendOutcome(f"m{index}", refusal=refusal) for index, refusal in enumerate(refusals)]
    stanzas = stanzas_of(outcomes, 128 << 10)
    assert [ack.id for stanza in stanzas for ack in stanza.send_acks.acks] == [each.stanza_id for each in outcomes]
    assert all(stanza_pb2.Batch(stanzas=[stanza]).ByteSize() <= 128 << 10 for stanza in stanzas)
    assert all(stanza.send_acks.acks for stanza in stanzas)
