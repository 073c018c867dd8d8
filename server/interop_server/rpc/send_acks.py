"""What became of messages, as stanzas that fit into frames; knows no rule and no stream."""

from collections.abc import Iterable
from functools import lru_cache

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Refusal
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
    for stanza_id, timestamp_ms, refusal in outcomes:
        if refusal is None:
            encoded = stanza_id.encode()
            before, behind = _around_id(len(encoded), timestamp_ms)
            ack = before + encoded + behind
        else:
            ack = _refusal_to(stanza_id, timestamp_ms, refusal)
        size += len(ack)
        if acks and size > max_bytes:
            stanzas.append(_stanza_of(acks))
            acks, size = [], _ROOM_FOR_HEADERS + len(ack)
        acks.append(ack)
    if acks:
        stanzas.append(_stanza_of(acks))
    return stanzas


def _stanza_of(acks: list[bytes]) -> bytes:
    content = b"".join(acks)
    return _SEND_ACKS.header(len(content)) + content


@lru_cache(maxsize=1_024)
def _around_id(id_bytes: int, timestamp_ms: int) -> tuple[bytes, bytes]:
    """Returns what stands before and behind an id of so many bytes in an element of the acks, with its header."""
    id_header, at = _ID.header(id_bytes), _TIMESTAMP_MS.encode(timestamp_ms)
    return _ACKS.header(len(id_header) + id_bytes + len(at)) + id_header, at


def _refusal_to(stanza_id: str, timestamp_ms: int, refusal: Refusal) -> bytes:
    """Returns an element of the acks that is none, with its header."""
    ack = stanza_pb2.SendAck(id=stanza_id, timestamp_ms=timestamp_ms)
    ack.error.CopyFrom(refusal_to(refusal))
    if isinstance(refusal, DeviceListMismatch):
        _write_mismatch(ack.device_list_mismatch, refusal)
    content = ack.SerializeToString()
    return _ACKS.header(len(content)) + content


def _write_mismatch(mismatch: stanza_pb2.DeviceListMismatch, refusal: DeviceListMismatch) -> None:
    mismatch.phash = refusal.phash
    for devices, addresses in (
        (mismatch.missing, refusal.missing),
        (mismatch.extra, refusal.extra),
        (mismatch.stale, refusal.stale),
    ):
        for address in addresses:
            devices.add(jid=address.jid, device_id=address.device_id)
