"""Frames that were read while earlier frames are still being worked on; knows no stream and no stanza.

Clients send one stanza in a frame. Reading ahead lets the worker take all waiting frames as one batch, so that one
commit serves them all.
"""

from collections.abc import Callable

from interop_server.rpc.byte_queue import ByteQueue

MAX_FRAMES = 1_024
"""Most frames that wait: objects cost memory whatever their length."""


class ReadAhead:
    """A queue for one reader and one worker. Bounded: when it is full, the reader waits, and so does the client.

    Args:
        max_bytes: Bytes that may wait before the reader must wait, and that are taken at once; one frame is always
            taken.
        held: See `ByteQueue`.
    """

    def __init__(self, max_bytes: int, held: Callable[[int], None] | None = None) -> None:
        self._max_bytes = max_bytes
        self._waiting = ByteQueue(MAX_FRAMES, max_bytes, held)
        self._error: Exception | None = None

    async def put(self, frame: bytes) -> None:
        """Adds a frame after there is room."""
        await self._waiting.has_room.wait()
        self._waiting.append(frame)

    def give_up(self) -> None:
        """Forgets all that waits."""
        self._waiting.clear()

    def finish(self, error: Exception | None = None) -> None:
        """Marks the end of the frames; with an error unless the stream ended normally."""
        self._error = error
        self._waiting.close()

    async def take(self) -> list[bytes]:
        """Waits for frames and returns as many as fit into one batch, in order; empty when the stream has ended.

        Raises:
            Exception: The error given to `finish`, once all earlier frames were taken.
        """
        await self._waiting.has_content.wait()
        taken = self._waiting.take(MAX_FRAMES, self._max_bytes)
        if not taken and self._error is not None:
            raise self._error
        return taken
