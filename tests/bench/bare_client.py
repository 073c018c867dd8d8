"""Calls of the bare server: bytes in, bytes out; knows nothing of the simulator."""

from pathlib import Path

import grpc.aio

from interop_demo.processes import Child
from tests.bench.bare_server import SERVICE, SIZE_BYTES

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own for each channel, as each client has
    ("grpc.max_receive_message_length", (1 << 24) - 1),
)

SEND, RECEIVE = f"/{SERVICE}/Send", f"/{SERVICE}/Receive"
"""Methods of pairs, for `RawCall`."""

_Streams = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


def bare_server(log: Path) -> Child:
    """Describes a bare server process."""
    return Child("bare server", [str(Path(__file__).with_name("bare_server.py"))], log)


def encode_sizes(*sizes: int) -> bytes:
    """A request that names sizes."""
    return b"".join(size.to_bytes(SIZE_BYTES, "big") for size in sizes)


class BareCalls:
    """The bare service on one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.echo: _Streams = channel.stream_stream(f"/{SERVICE}/Echo")
        self.answer: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Answer")
        self.upload: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(f"/{SERVICE}/Upload")
        self.download: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(f"/{SERVICE}/Download")
