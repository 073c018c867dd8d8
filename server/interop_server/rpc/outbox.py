"""The queue of stanzas to send on one chat channel; knows no handshake and no stream."""

from collections.abc import Callable, Iterable

from interop_api.v1 import stanza_pb2
from interop_protocol.sizes import TAG_BYTES
from interop_server.core.limits import Limits
from interop_server.rpc.byte_queue import ByteQueue
from interop_server.rpc.faulty_channel import FaultyChannel
from interop_server.rpc.fields import BytesField

_STANZAS = BytesField(stanza_pb2.Batch.DESCRIPTOR.fields_by_name["stanzas"].number)
_WAITING_BATCHES = 4
"""How many full batches may wait before a caller that adds more must wait too."""


class Outbox:
    """Stanzas to a client, flushed in batches: all waiting stanzas go into as few frames as fit.

    A stanza waits in its serialised form inside a batch, so a batch is a plain join, and no message is copied.

    Bounded in stanzas and in bytes: adding waits while too much waits already, so a client that does not read slows
    down only itself.

    Args:
        limits: Bound batches and frames.
        client_takes: Longest sealed frame that the client takes; None when it has not said.
        held: See `ByteQueue`.
    """

    def __init__(
        self, limits: Limits, client_takes: int | None = None, held: Callable[[int], None] | None = None
    ) -> None:
        self._max_stanzas = limits.max_batch_stanzas
        self.max_bytes = limits.frame_bytes_for(client_takes) - TAG_BYTES
        """Of a batch."""
        self._waiting = ByteQueue(self._max_stanzas * _WAITING_BATCHES, self.max_bytes * _WAITING_BATCHES, held)
        self._is_finished = False
        self.faulty: FaultyChannel | None = None
        """What faults do to the stanzas; set by the stream that serves the connection."""

    async def room(self) -> None:
        """Returns when there is room: whoever makes much to add waits before making it."""
        await self._waiting.has_room.wait()

    async def add(self, stanzas: Iterable[stanza_pb2.Stanza]) -> None:
        """Adds stanzas in order, after there is room."""
        await self.add_serialized([stanza.SerializeToString() for stanza in stanzas])

    async def add_serialized(self, stanzas: Iterable[bytes]) -> None:
        """Adds serialised stanzas in order, after there is room."""
        await self._waiting.has_room.wait()
        if not self._is_finished:
            self._put_under_faults(stanzas)

    def offer(self, stanza: stanza_pb2.Stanza) -> bool:
        """Adds a stanza if there is room now; otherwise drops it and returns False."""
        if self._is_finished or not self._waiting.has_room.is_set():
            return False
        self._put_under_faults((stanza.SerializeToString(),))
        return True

    def put_late(self, stanzas: Iterable[bytes]) -> None:
        """Adds serialised stanzas that a fault has held up, or made up, whether or not there is room."""
        if not self._is_finished:
            self._put(stanzas)

    def give_up(self) -> None:
        """Forgets all that waits, because the client does not read; only a last stanza may follow."""
        self._waiting.clear()

    def finish(self, last: stanza_pb2.Stanza) -> None:
        """Adds the last stanza, whether or not there is room; stanzas added later are not sent."""
        self._put((last.SerializeToString(),))
        self._is_finished = True
        self._waiting.close()

    async def next_batch(self) -> bytes | None:
        """Waits for content and returns the next batch, serialised; None after the last stanza."""
        await self._waiting.has_content.wait()
        return self.take_batch()

    def take_batch(self) -> bytes | None:
        """Returns the next batch, serialised; None when nothing waits."""
        return b"".join(self._waiting.take(self._max_stanzas, self.max_bytes)) or None

    def _put_under_faults(self, stanzas: Iterable[bytes]) -> None:
        faulty = self.faulty
        self._put(stanzas if faulty is None or not faulty.is_on else faulty.outgoing(stanzas))

    def _put(self, stanzas: Iterable[bytes]) -> None:
        self._waiting.extend([_STANZAS.header(len(stanza)) + stanza for stanza in stanzas])
