"""How much waits in memory for all chat channels together; knows no stanza and no stream.

Each queue has bounds of its own, and so many queues can still hold more than there is memory. When all of them together
hold too much, the channel that holds most is given up: it is the one whose client reads least.
"""

from collections.abc import Callable

ITEM_BYTES = 64
"""What a byte string takes up beside its bytes."""


def _do_nothing() -> None:
    """Stands for what a channel does that has ended."""


class WaitingRoom:
    """Bounds what all channels hold.

    Args:
        most_bytes: What they may hold together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._shares: set[Share] = set()

    @property
    def waiting_bytes(self) -> int:
        """How much is held now."""
        return self._bytes

    def open(self, give_up: Callable[[], None]) -> "Share":
        """Opens a channel's share.

        Args:
            give_up: Called once, when this channel holds most and all hold too much: it must let go of all it holds.
        """
        share = Share(self, give_up)
        self._shares.add(share)
        return share

    def _change(self, share: "Share", change: int) -> None:
        if share not in self._shares:
            return
        share.held_bytes += change
        self._bytes += change
        while self._bytes > self._most_bytes:
            fullest = max(self._shares, key=lambda each: each.held_bytes)
            self._close(fullest)
            fullest.give_up()

    def _close(self, share: "Share") -> None:
        if share in self._shares:
            self._shares.remove(share)
            self._bytes -= share.held_bytes


class Share:
    """What one channel holds. Made by `WaitingRoom.open`."""

    def __init__(self, room: WaitingRoom, give_up: Callable[[], None]) -> None:
        self._room = room
        self.give_up = give_up
        self.held_bytes = 0
        """Counted in the room while the share is open."""

    def change(self, size: int) -> None:
        """Notes that so many bytes more are held, or fewer when negative. May call `give_up`, of any share."""
        self._room._change(self, size)

    def close(self) -> None:
        """Notes that nothing is held any more."""
        self._room._close(self)
        self.give_up = _do_nothing  # else the channel and its share would hold each other
