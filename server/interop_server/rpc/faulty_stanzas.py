"""Stanzas as faults know them, and other ones in their place; knows no channel."""

from typing import Any

from interop_api.v1 import stanza_pb2
from interop_server.core.fault_rules import FlipBits, Forge, ForgeReceipt, Part, Truncate
from interop_server.core.faults import Fired
from interop_server.faulty_media import flip_bits

_MADE_UP_DELIVERIES = 1 << 52
"""Ids from here on name deliveries that are in no mailbox."""


def peer_of(stanza: stanza_pb2.Stanza) -> str:
    """Returns the JID of whom a stanza comes from or goes to; empty where it names nobody."""
    content = _content(stanza)
    peer: str = getattr(content, "to_jid", "") or getattr(content, "from_jid", "")
    return peer


def requirement_of(stanza: stanza_pb2.Stanza) -> str:
    """Returns the id of the requirement that the first refusal in a stanza rests on; empty where there is none."""
    if stanza.HasField("stanza_refused"):
        return stanza.stanza_refused.error.requirement
    if stanza.HasField("send_acks"):
        return next((ack.error.requirement for ack in stanza.send_acks.acks if ack.HasField("error")), "")
    return ""


def is_answer(serialized: bytes) -> bool:
    """Says whether a stanza answers one of the client's."""
    kind = stanza_pb2.Stanza.FromString(serialized).WhichOneof("kind")
    return kind in ("send_acks", "stanza_refused", "pong")


def damaged(stanza: stanza_pb2.Stanza, fired: Fired) -> stanza_pb2.Stanza:
    """Returns a message with other ciphertexts."""
    changed = stanza_pb2.Stanza()
    changed.CopyFrom(stanza)
    for enc in changed.message.enc if changed.HasField("message") else ():
        enc.ciphertext = _damaged(enc.ciphertext, fired)
    return changed


def damaged_bytes(stanza: stanza_pb2.Stanza, serialized: bytes, fired: Fired) -> bytes:
    """Returns a serialised stanza with other ciphertexts, or with other bytes wherever they are."""
    assert isinstance(fired.action, Truncate | FlipBits)
    if fired.action.part is Part.STANZA:
        return _damaged(serialized, fired)
    return damaged(stanza, fired).SerializeToString()


def _damaged(data: bytes, fired: Fired) -> bytes:
    if isinstance(fired.action, Truncate):
        return data[: fired.action.keep_bytes]
    assert isinstance(fired.action, FlipBits)
    return flip_bits(data, fired, fired.action.bits)


def forged(stanza: stanza_pb2.Stanza, forgery: Forge) -> bytes:
    """Returns a delivery with something else written into it."""
    content = _content(stanza)
    if forgery.delivery_id is not None:
        stanza.delivery_id = forgery.delivery_id
    if forgery.message_id is not None:
        _write_message_id(content, forgery.message_id)
    if isinstance(content, stanza_pb2.Notification):
        notice = getattr(content, content.WhichOneof("event") or "", None)
        _write(notice, "jid", forgery.from_jid)
    _write(content, "from_jid", forgery.from_jid)
    _write(content, "timestamp_ms", forgery.timestamp_ms)
    return stanza.SerializeToString()


def _write_message_id(content: Any, message_id: str) -> None:
    if isinstance(content, stanza_pb2.Receipt):
        content.message_ids[0] = message_id
    else:
        _write(content, "id" if isinstance(content, stanza_pb2.Message) else "message_id", message_id)


def _write(content: Any, name: str, value: str | int | None) -> None:
    if value is not None and content is not None and name in content.DESCRIPTOR.fields_by_name:
        setattr(content, name, value)


def forged_receipt(message: stanza_pb2.Stanza, fired: Fired, now_ms: int) -> bytes:
    """Returns a receipt for a message that its recipient has not sent."""
    assert isinstance(fired.action, ForgeReceipt)
    receipt = stanza_pb2.Receipt(
        type=stanza_pb2.ReceiptType.ValueType(fired.action.type),
        from_jid=message.message.to_jid,
        message_ids=[message.message.id],
        timestamp_ms=now_ms,
    )
    delivery_id = _MADE_UP_DELIVERIES + fired.number
    return stanza_pb2.Stanza(receipt=receipt, delivery_id=delivery_id).SerializeToString()


def _content(stanza: stanza_pb2.Stanza) -> Any:
    kind = stanza.WhichOneof("kind")
    return getattr(stanza, kind) if kind else None
