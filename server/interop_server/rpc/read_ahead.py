"""Frames that were read while earlier frames are still being worked on; knows no stream and no stanza.

Clients send one stanza in a frame. Reading ahead lets the worker take all waiting frames as one batch, so that one
commit serves them all.
"""

import asyncio
from collections import deque

MAX_FRAMES = 1_024
"""Most frames that wait: objects cost memory whatever their length."""


class ReadAhead:
    """A queue for one reader and one worker. Bounded: when it is full, the reader waits, and so does the client.

    Args:
        max_bytes: Bytes that may wait before the reader must wait, and that are taken at once; one frame is always
            taken.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._is_finished = False
        self._error: Exception | None = None
        self._has_content = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, frame: bytes) -> None:
        """Adds a frame after there is room."""
        await self._has_room.wait()
        self._frames.append(frame)
        self._bytes += len(frame)
        self._has_content.set()
        self._note_room()

    def finish(self, error: Exception | None = None) -> None:
        """Marks the end of the frames; with an error unless the stream ended normally."""
        self._is_finished = True
        self._error = error
        self._has_content.set()

    async def take(self) -> list[bytes]:
        """Waits for frames and returns as many as fit into one batch, in order; empty when the stream has ended.

        Raises:
            Exception: The error given to `finish`, once all earlier frames were taken.
        """
        await self._has_content.wait()
        taken: list[bytes] = []
        size = 0
        while self._frames and (not taken or size + len(self._frames[0]) <= self._max_bytes):
            size += len(self._frames[0])
            taken.append(self._frames.popleft())
        self._bytes -= size
        self._note_room()
        if not self._frames and not self._is_finished:
            self._has_content.clear()
        if not taken and self._error is not None:
            raise self._error
        return taken

    def _note_room(self) -> None:
        if self._bytes < self._max_bytes and len(self._frames) < MAX_FRAMES:
            self._has_room.set()
        else:
            self._has_room.clear()
