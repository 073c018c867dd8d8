"""What became of messages, as stanzas that fit into frames; knows no rule and no stream."""

from collections.abc import Iterable

from interop_api.v1 import stanza_pb2
from interop_server.core.messaging.routing import DeviceListMismatch, SendOutcome
from interop_server.rpc.errors import refusal_to

_ACK_BYTES = 96
"""More than the ack of a message that was taken: its id has at most 64 letters, and its time a few bytes."""
_HEADER_BYTES = 16
"""More than what stands before an ack in a stanza, and before a stanza in a batch."""


def send_acks_to(outcomes: Iterable[SendOutcome], max_bytes: int) -> list[stanza_pb2.Stanza]:
    """Returns what became of messages, in order, as stanzas of which each fits into a batch of so many bytes.

    Mostly that is one. Refusals say much more than acks do: a batch of nothing else may not fit into one frame.
    """
    stanzas: list[stanza_pb2.Stanza] = []
    size = max_bytes
    for outcome in outcomes:
        ack = _ack_to(outcome)
        ack_size = _HEADER_BYTES + (_ACK_BYTES if outcome.refusal is None else ack.ByteSize())
        if size + ack_size > max_bytes:
            stanzas.append(stanza_pb2.Stanza())
            size = _HEADER_BYTES
        stanzas[-1].send_acks.acks.append(ack)
        size += ack_size
    return stanzas


def _ack_to(outcome: SendOutcome) -> stanza_pb2.SendAck:
    ack = stanza_pb2.SendAck(id=outcome.stanza_id, timestamp_ms=outcome.timestamp_ms)
    if outcome.refusal is not None:
        ack.error.CopyFrom(refusal_to(outcome.refusal))
        if isinstance(outcome.refusal, DeviceListMismatch):
            _write_mismatch(ack.device_list_mismatch, outcome.refusal)
    return ack


def _write_mismatch(mismatch: stanza_pb2.DeviceListMismatch, refusal: DeviceListMismatch) -> None:
    mismatch.phash = refusal.phash
    for devices, addresses in (
        (mismatch.missing, refusal.missing),
        (mismatch.extra, refusal.extra),
        (mismatch.stale, refusal.stale),
    ):
        for address in addresses:
            devices.add(jid=address.jid, device_id=address.device_id)
