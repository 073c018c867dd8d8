"""Deliveries that a connection is given when they are stored, so that it need not look for them; knows no stream.

The mailbox stays the only queue: what is not taken from here is found there. A delivery is given out only if nothing
waits between it and what the connection has had before, so order and completeness do not depend on who announces first.
"""

from collections.abc import Callable, Sequence

from interop_server.core.messages import Delivery, Stored
from interop_server.rpc.waiting import ITEM_BYTES

MAX_DELIVERIES = 1_024
"""Most deliveries that wait here; a client that reads slowly finds the others in its mailbox."""
MAX_BYTES = 256 << 10
"""Most bytes of their content."""


class Handover:
    """What was just stored for one connection."""

    def __init__(self) -> None:
        self._arrived: list[Stored] = []  # no deque: an empty one takes 760 bytes
        self._bytes = 0
        self.held: Callable[[int], None] = lambda _: None
        """Told by how much more, or less, memory is held; set by the stream that serves the connection."""
        self.must_look = True
        """Whether the mailbox may hold something that does not stand here."""

    def put(self, arrived: Sequence[Stored]) -> None:
        """Adds what was stored, in order, as long as there is room."""
        waiting, held_bytes = self._arrived, self._bytes
        for stored in arrived:
            delivery = stored.delivery
            if delivery is None or len(waiting) >= MAX_DELIVERIES or held_bytes >= MAX_BYTES:
                self.must_look = True
                break
            waiting.append(stored)
            held_bytes += len(delivery.item.content) + ITEM_BYTES
        self._count(held_bytes - self._bytes)

    def take(self, after: int, most: int, since_ms: int) -> list[Delivery]:
        """Takes the deliveries that come right after a delivery id, at most so many.

        None when something else waits before them, or when they are older than `since_ms`: then the mailbox is asked.
        """
        taken: list[Delivery] = []
        waiting, seen, taken_bytes = self._arrived, 0, 0
        for stored in waiting:
            if len(taken) == most:
                break
            delivery = stored.delivery
            assert delivery is not None
            item = delivery.item
            if stored.follows > after or item.timestamp_ms < since_ms:
                self.give_up()
                return taken
            seen += 1
            taken_bytes += len(item.content) + ITEM_BYTES
            if delivery.delivery_id > after:
                taken.append(delivery)
                after = delivery.delivery_id
        del waiting[:seen]
        self._count(-taken_bytes)
        return taken

    def give_up(self) -> None:
        """Forgets all that stands here: it waits in the mailbox too."""
        self._arrived.clear()
        self._count(-self._bytes)
        self.must_look = True

    def _count(self, size: int) -> None:
        self._bytes += size
        self.held(size)
