"""What goes over a chat channel, as the trace shows it; knows no rule and no stream.

Whoever calls has asked whether the trace is on.
"""

import json

from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_protocol.sizes import TAG_BYTES
from interop_server.core.trace import ChannelTrace, Direction, Seen
from interop_server.rpc.convert.shown import Shown, hidden, shown

_MALFORMED = "malformed"


def see_handshake(wire: ChannelTrace, direction: Direction, message: chat_pb2.HandshakeMessage) -> None:
    """Records a message of the handshake."""
    kind = message.WhichOneof("message") or "unknown"
    size = message.ByteSize()
    content = getattr(message, kind, message)
    wire.see(Seen(direction, kind, size, 0, 0, *shown(content, size)))


def see_login(wire: ChannelTrace, payload: bytes) -> None:
    """Records the payload of the last message of the handshake, whatever it holds."""
    try:
        view = shown(chat_pb2.LoginPayload.FromString(payload), len(payload))
    except DecodeError:
        view, kind = _opaque(payload), _MALFORMED
    else:
        kind = "login"
    wire.see(Seen("to_server", kind, len(payload), 0, 0, *view))


def see_batch(wire: ChannelTrace, direction: Direction, batch: stanza_pb2.Batch, frame: bytes) -> None:
    """Records the stanzas of a frame.

    Args:
        wire: The channel.
        direction: Which way they go.
        batch: The stanzas.
        frame: Their plaintext.
    """
    for position, stanza in enumerate(batch.stanzas, 1):
        size = stanza.ByteSize()
        kind = stanza.WhichOneof("kind") or "unknown"
        wire.see(Seen(direction, kind, size, len(frame) + TAG_BYTES, position, *shown(stanza, size)))


def see_sent(wire: ChannelTrace, frame: bytes) -> None:
    """Records the plaintext of a frame for the client; a fault can have made it one that is no batch."""
    try:
        batch = stanza_pb2.Batch.FromString(frame)
    except DecodeError:
        see_malformed(wire, "to_client", frame)
    else:
        see_batch(wire, "to_client", batch, frame)


def see_malformed(wire: ChannelTrace, direction: Direction, frame: bytes) -> None:
    """Records the plaintext of a frame that is no batch, or none that may be read."""
    wire.see(Seen(direction, _MALFORMED, len(frame), len(frame) + TAG_BYTES, 1, *_opaque(frame)))


def _opaque(content: bytes) -> Shown:
    return Shown(json.dumps(hidden(content)), is_shortened=False)
