"""A bounded queue of byte strings, taken several at once; knows nothing of what they hold."""

from collections.abc import Callable, Sequence

from interop_server.rpc.lean_event import LeanEvent
from interop_server.rpc.waiting import ITEM_BYTES


class ByteQueue:
    """First in, first out. Bounded in number and in bytes, for whoever waits for `has_room` before adding.

    Args:
        most: Byte strings that may wait.
        most_bytes: Bytes that may wait.
        held: Told by how much more, or less, memory is held: of what waits, and of what was taken last.
    """

    def __init__(self, most: int, most_bytes: int, held: Callable[[int], None] | None = None) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: list[bytes] = []  # no deque: an empty one takes 760 bytes, and each connection has two
        self._bytes = 0
        self._in_hand_bytes = 0
        self._held = held or (lambda _: None)
        self._is_closed = False
        self.has_room = LeanEvent(is_set=True)
        self.has_content = LeanEvent()
        """Set while something waits, and for ever once the queue is closed."""

    def append(self, item: bytes) -> None:
        """Adds a byte string, whether or not there is room."""
        self.extend((item,))

    def extend(self, items: Sequence[bytes]) -> None:
        """Adds byte strings, whether or not there is room."""
        if not items:
            return
        self._waiting.extend(items)
        size = sum(map(len, items))
        self._bytes += size
        self.has_content.set()
        self._note_room()
        self._held(size + len(items) * ITEM_BYTES)

    def clear(self) -> None:
        """Forgets all that waits."""
        self._waiting.clear()
        self._bytes = 0
        self._note_room()

    def close(self) -> None:
        """Says that nothing more will come."""
        self._is_closed = True
        self.has_content.set()

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """Takes as many as fit into so many bytes, but at least the first; none when nothing waits.

        They count as held until the next are taken.
        """
        self._held(-self._in_hand_bytes)
        taken, size = self._take_some(most, most_bytes)
        self._bytes -= size
        self._in_hand_bytes = size + len(taken) * ITEM_BYTES
        self._note_room()
        if not self._waiting and not self._is_closed:
            self.has_content.clear()
        return taken

    def _take_some(self, most: int, most_bytes: int) -> tuple[list[bytes], int]:
        """Takes what `take` returns; also returns its length."""
        waiting, size = self._waiting, 0
        if len(waiting) <= most and self._bytes <= most_bytes:
            self._waiting = []
            return waiting, self._bytes
        count = 0
        for item in waiting[:most]:
            if count and size + len(item) > most_bytes:
                break
            count += 1
            size += len(item)
        taken = waiting[:count]
        del waiting[:count]
        return taken, size

    def _note_room(self) -> None:
        if len(self._waiting) < self._most and self._bytes < self._most_bytes:
            self.has_room.set()
        else:
            self.has_room.clear()
