"""A call over a connection of its own that costs a fraction of what grpc.aio's cost; knows no message.

A generator of load shares its cores with the server, so what it spends is missing there. What a client with grpc.aio
sees of the server is measured with grpc.aio.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Self, cast

from tests.bench.report import WrongAnswer
from tests.raw_http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call_headers,
    frame,
)

_STREAM = 1
_WHOLE = b"\x00"
"""Before the length of a message: it is not compressed."""
_HEAD_BYTES, _PREFIX_BYTES = 9, 5
_FIRST_WINDOW = 65_535
"""What may be on the way before anybody has said more."""
_LARGEST_WINDOW = (1 << 31) - 1
_RENEWED_AT = 1 << 28
"""Bytes that were taken in before the server is told that it may send so many more."""
_INITIAL_WINDOW, _MAX_FRAME = 4, 5
"""Numbers of settings."""


class RawCall(asyncio.Protocol):
    """A stream in both directions. Made by `open`; for one writer and one reader."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._out: list[bytes] = []
        self._rest = b""
        self._body = bytearray()
        self._messages: deque[bytes] = deque()
        self._end: str | None = None
        self._moved = asyncio.Event()
        self._connection_window = self._stream_window = self._initial_window = _FIRST_WINDOW
        self._max_frame = 16_384
        self._taken = 0

    @classmethod
    async def open(cls, address: str, path: str, metadata: Sequence[tuple[str, str]] = ()) -> Self:
        """Connects and begins the call.

        Args:
            address: Of the server, without TLS.
            path: Of the method.
            metadata: Of the call.
        """
        host, _, port = address.rpartition(":")
        _, call = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        window = _INITIAL_WINDOW.to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
        call._send(PREFACE + frame(SETTINGS, 0, 0, window))
        call._send(frame(WINDOW_UPDATE, 0, 0, (_LARGEST_WINDOW - _FIRST_WINDOW).to_bytes(4, "big")))
        headers = call_headers(path.encode(), *((name.encode(), value.encode()) for name, value in metadata))
        call._send(frame(HEADERS, END_HEADERS, _STREAM, headers))
        return call

    async def write(self, message: bytes) -> None:
        """Sends a message; waits while the server takes none."""
        rest = _WHOLE + len(message).to_bytes(4, "big") + message
        while rest:
            while (room := min(self._connection_window, self._stream_window, self._max_frame)) <= 0:
                await self._move()
            piece, rest = rest[:room], rest[room:]
            self._connection_window -= len(piece)
            self._stream_window -= len(piece)
            self._send(frame(DATA, 0, _STREAM, piece))

    async def read(self) -> bytes:
        """Returns the next message.

        Raises:
            WrongAnswer: The server has ended the call.
        """
        while not self._messages:
            await self._move()
        return self._messages.popleft()

    def close(self) -> None:
        """Drops the connection."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(f"the connection is gone: {exc}")

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= _HEAD_BYTES:
            end = at + _HEAD_BYTES + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            self._take(data[at + 3], data[at + 4], data[at + 5 : at + 9], data[at + _HEAD_BYTES : end])
            at = end
        self._rest = data[at:]
        self._moved.set()

    # What it does.

    async def _move(self) -> None:
        if self._end is not None:
            raise WrongAnswer(f"the server has ended a call: {self._end}")
        self._moved.clear()
        await self._moved.wait()

    def _send(self, data: bytes) -> None:
        # All that is sent in one round of the event loop goes out together.
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take(self, kind: int, flags: int, stream: bytes, payload: bytes) -> None:
        if kind == DATA:
            self._taken += len(payload)
            self._body += payload
            self._read_messages()
            if self._taken >= _RENEWED_AT:
                size, self._taken = self._taken.to_bytes(4, "big"), 0
                self._send(frame(WINDOW_UPDATE, 0, 0, size) + frame(WINDOW_UPDATE, 0, _STREAM, size))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if any(stream):
                self._stream_window += more
            else:
                self._connection_window += more
        elif kind == PING and not flags & ACK:
            self._send(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind in (RST_STREAM, GOAWAY):
            self._finish(f"error {int.from_bytes(payload[-4:], 'big')}")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self._finish("it is over")

    def _take_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")
            if name == _INITIAL_WINDOW:
                self._stream_window += value - self._initial_window
                self._initial_window = value
            elif name == _MAX_FRAME:
                self._max_frame = value
        self._send(frame(SETTINGS, ACK, 0))

    def _read_messages(self) -> None:
        body, at = self._body, 0
        while len(body) - at >= _PREFIX_BYTES:
            start = at + _PREFIX_BYTES
            end = start + int.from_bytes(body[at + 1 : start], "big")
            if end > len(body):
                break
            self._messages.append(bytes(body[start:end]))
            at = end
        del body[:at]

    def _finish(self, why: str) -> None:
        self._end = self._end or why
        self._moved.set()
