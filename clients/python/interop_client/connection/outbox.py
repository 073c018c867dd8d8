"""What waits to be sent on a chat channel, in batches as large as the limits allow; knows no cipher and no stream."""

import asyncio
from collections import deque

from interop_api.v1 import stanza_pb2
from interop_protocol.sizes import TAG_BYTES

DEFAULT_MAX_FRAME_BYTES = 1 << 20
"""For a server that names no limit."""
DEFAULT_MAX_BATCH_STANZAS = 128
"""For a server that names no limit."""

_WAITING_BATCHES = 4
"""How many full batches may wait before whoever adds more has to wait too."""


class Outbox:
    """Stanzas on their way out. A frame costs far more than a stanza, so all that waits shares as few as possible.

    Bounded: adding waits while much waits already, so a slow connection slows its user down and holds no memory.

    Args:
        limits: As the server gave them at login.
    """

    def __init__(self, limits: stanza_pb2.ChannelLimits) -> None:
        self._max_stanzas = limits.max_batch_stanzas or DEFAULT_MAX_BATCH_STANZAS
        self._max_bytes = (limits.max_frame_bytes or DEFAULT_MAX_FRAME_BYTES) - TAG_BYTES
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._end: Exception | None = None
        self._content_or_end = asyncio.Event()
        self._room_or_end = asyncio.Event()
        self._room_or_end.set()

    async def add(self, *stanzas: stanza_pb2.Stanza) -> None:
        """Adds stanzas in order, each as soon as there is room.

        Raises:
            ValueError: One alone is longer than a frame may be; the ones before it were added.
            Exception: What the outbox was ended with.
        """
        for stanza in stanzas:
            # A serialised batch of one; batches of protobufs concatenate, so a frame is a plain join of these.
            encoded = stanza_pb2.Batch(stanzas=(stanza,)).SerializeToString()
            if len(encoded) > self._max_bytes:
                raise ValueError(f"a stanza takes {len(encoded)} bytes, a frame holds {self._max_bytes}")
            while self._end is None and not self._has_room:
                self._room_or_end.clear()
                await self._room_or_end.wait()
            if self._end is not None:
                raise self._end
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

    def end(self, reason: Exception) -> None:
        """Refuses everything further with an exception. What waits can still be taken out."""
        if self._end is None:
            self._end = reason
            self._content_or_end.set()
            self._room_or_end.set()

    @property
    def _has_room(self) -> bool:
        return (
            len(self._waiting) < self._max_stanzas * _WAITING_BATCHES
            and self._waiting_bytes < self._max_bytes * _WAITING_BATCHES
        )
