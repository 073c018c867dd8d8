"""Stanzas waiting to be sent on a chat channel, in batches as large as the limits allow; knows no cipher or stream."""

import asyncio
from collections import deque

from interop_api.v1 import stanza_pb2
from interop_client.errors import ConnectionEnded
from interop_protocol.sizes import TAG_BYTES

DEFAULT_MAX_FRAME_BYTES = 1 << 20
"""For a server that names no limit."""
DEFAULT_MAX_BATCH_STANZAS = 128
"""For a server that names no limit."""

_WAITING_BATCHES = 4
"""How many full batches may wait before `add` waits too."""


class Outbox:
    """Waiting stanzas. A frame costs far more than a stanza, so waiting stanzas share as few frames as possible.

    Bounded: `add` waits while the outbox is full, so that a slow connection slows the sender down and uses little
    memory.

    Args:
        limits: From the server's answer to the login.
    """

    def __init__(self, limits: stanza_pb2.ChannelLimits) -> None:
        self._max_stanzas = limits.max_batch_stanzas or DEFAULT_MAX_BATCH_STANZAS
        self._max_bytes = (limits.max_frame_bytes or DEFAULT_MAX_FRAME_BYTES) - TAG_BYTES
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._end: ConnectionEnded | None = None
        self._content_or_end = asyncio.Event()
        self._room_or_end = asyncio.Event()
        self._room_or_end.set()

    async def add(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Adds stanzas in order, each as soon as there is room.

        Raises:
            ValueError: A stanza alone is longer than a frame may be; those before it were added.
            ConnectionEnded: What was passed to `end`; also without any stanza.
        """
        if self._end is not None:
            raise self._end.again()
        for stanza in stanzas:
            # A serialised batch of one stanza. Serialised batches concatenate, so a frame is a plain join of them.
            encoded = stanza_pb2.Batch(stanzas=(stanza,)).SerializeToString()
            if len(encoded) > self._max_bytes:
                raise ValueError(f"a stanza takes {len(encoded)} bytes, a frame holds {self._max_bytes}")
            while self._end is None and not self._has_room:
                self._room_or_end.clear()
                await self._room_or_end.wait()
            if self._end is not None:
                raise self._end.again()
            self._waiting.append(encoded)
            self._waiting_bytes += len(encoded)
            self._content_or_end.set()

    async def next_batch(self) -> bytes | None:
        """Waits for content and returns the next batch, serialised; None when the outbox has ended and is empty."""
        while not self._waiting and self._end is None:
            self._content_or_end.clear()
            await self._content_or_end.wait()
        if not self._waiting:
            return None
        parts: list[bytes] = []
        size = 0
        while self._waiting and len(parts) < self._max_stanzas:
            size += len(self._waiting[0])
            if size > self._max_bytes:
                break
            parts.append(self._waiting.popleft())
            self._waiting_bytes -= len(parts[-1])
        self._room_or_end.set()
        return b"".join(parts)

    def end(self, end: ConnectionEnded) -> None:
        """Makes further calls of `add` raise this. `next_batch` still returns the waiting stanzas."""
        if self._end is None:
            self._end = end.again()
            self._content_or_end.set()
            self._room_or_end.set()

    @property
    def _has_room(self) -> bool:
        return (
            len(self._waiting) < self._max_stanzas * _WAITING_BATCHES
            and self._waiting_bytes < self._max_bytes * _WAITING_BATCHES
        )
