"""HTTP/2 frame by frame, for clients that keep to none of its rules; knows no service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
"""Kinds of frames."""
ACK, END_STREAM, END_HEADERS = 1, 1, 4
"""Flags."""
_WINDOW = b"\x00\x04"
"""The setting that says how much of each stream the client takes before it says more."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Frame(NamedTuple):
    """A frame that the server has sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame as bytes."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Returns a header that enters the table of the connection."""
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


def call_headers(path: bytes, *metadata: tuple[bytes, bytes]) -> bytes:
    """Returns the headers of a call."""
    headers = (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"te", b"trailers"), (b"content-type", b"application/grpc"), *metadata,
    )  # fmt: skip
    return b"".join(literal(*header) for header in headers)


CONNECT = call_headers(b"/interop_api.v1.ChatService/Connect")
"""The headers of a chat channel."""


class Connection:
    """A connection to a gRPC port. Made by `connection`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.sent = 0
        """Bytes that went over the wire."""

    async def send(self, frames: bytes) -> None:
        """Sends frames; waits while the server takes none."""
        self._writer.write(frames)
        self.sent += len(frames)
        await self._writer.drain()

    async def receive(self) -> Frame:
        """Returns the next frame of the server.

        Raises:
            asyncio.IncompleteReadError, ConnectionError: It has closed the connection.
        """
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
        return Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    async def acknowledge(self) -> None:
        """Acknowledges the server's settings: only from then on does gRPC hold the client to all of them."""
        while (received := await self.receive()).kind != SETTINGS or received.flags & ACK:
            pass
        await self.send(frame(SETTINGS, ACK, 0))

    async def is_closed_within(self, seconds: float) -> bool:
        """Says whether the server closes the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with suppress(ConnectionError):
                    while await self._reader.read(1 << 16):
                        pass
                return True
        return False


@asynccontextmanager
async def connection(
    address: str, *, acknowledges: bool = True, window_bytes: int | None = None
) -> AsyncIterator[Connection]:
    """Opens a connection, and drops it at the end.

    Args:
        address: Of the server.
        acknowledges: Whether the server's settings are acknowledged.
        window_bytes: How much of each answer the client lets come; None for what HTTP/2 begins with.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    opened = Connection(reader, writer)
    try:
        settings = b"" if window_bytes is None else _WINDOW + window_bytes.to_bytes(4, "big")
        await opened.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        if acknowledges:
            await opened.acknowledge()
        yield opened
    finally:
        writer.transport.abort()
