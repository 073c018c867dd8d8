"""What became of messages, as stanzas that fit into frames; knows no rule and no stream."""

from collections.abc import Iterable

from interop_api.v1 import stanza_pb2
from interop_server.core.messaging.routing import DeviceListMismatch, SendOutcome
from interop_server.rpc.errors import refusal_to
from interop_server.rpc.fields import BytesField, NumberField

_ROOM_FOR_HEADERS = 16
"""More than what stands before the acks in a stanza, and before a stanza in a batch."""

_SEND_ACKS = BytesField(stanza_pb2.Stanza.DESCRIPTOR.fields_by_name["send_acks"].number)
_ACKS = BytesField(stanza_pb2.SendAcks.DESCRIPTOR.fields_by_name["acks"].number)
_ID = BytesField(stanza_pb2.SendAck.DESCRIPTOR.fields_by_name["id"].number)
_TIMESTAMP_MS = NumberField(stanza_pb2.SendAck.DESCRIPTOR.fields_by_name["timestamp_ms"].number)


def send_acks_to(outcomes: Iterable[SendOutcome], max_bytes: int) -> list[bytes]:
    """Returns what became of messages, in order, as serialised stanzas that each fit into a batch of so many bytes.

    Mostly that is one. Refusals say much more than acks do: a batch of nothing else may not fit into one frame.
    """
    stanzas: list[bytes] = []
    acks: list[bytes] = []
    size = _ROOM_FOR_HEADERS
    for outcome in outcomes:
        ack = _ack_to(outcome)
        header = _ACKS.header(len(ack))
        size += len(header) + len(ack)
        if acks and size > max_bytes:
            stanzas.append(_stanza_of(acks))
            acks, size = [], _ROOM_FOR_HEADERS + len(header) + len(ack)
        acks += (header, ack)
    if acks:
        stanzas.append(_stanza_of(acks))
    return stanzas


def _stanza_of(acks: list[bytes]) -> bytes:
    content = b"".join(acks)
    return _SEND_ACKS.header(len(content)) + content


def _ack_to(outcome: SendOutcome) -> bytes:
    if outcome.refusal is None:
        stanza_id = outcome.stanza_id.encode()
        return b"".join((_ID.header(len(stanza_id)), stanza_id, _TIMESTAMP_MS.encode(outcome.timestamp_ms)))
    ack = stanza_pb2.SendAck(id=outcome.stanza_id, timestamp_ms=outcome.timestamp_ms)
    ack.error.CopyFrom(refusal_to(outcome.refusal))
    if isinstance(outcome.refusal, DeviceListMismatch):
        _write_mismatch(ack.device_list_mismatch, outcome.refusal)
    return ack.SerializeToString()


def _write_mismatch(mismatch: stanza_pb2.DeviceListMismatch, refusal: DeviceListMismatch) -> None:
    mismatch.phash = refusal.phash
    for devices, addresses in (
        (mismatch.missing, refusal.missing),
        (mismatch.extra, refusal.extra),
        (mismatch.stale, refusal.stale),
    ):
        for address in addresses:
            devices.add(jid=address.jid, device_id=address.device_id)
