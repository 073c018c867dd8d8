"""Expiry: when the next item of a kind is due, and how to delete it; knows no timer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from interop_server.core.limits import SECOND_MS

STEP = 1_000
"""Things deleted in one step: others get a turn between two of them, also when a million expire at once."""


class WorldTurns(Protocol):
    """Has one process of a world at a time do what all of them would do alike."""

    async def take_turn(self, name: str) -> bool:
        """Says, without waiting, whether it is this process that does it now."""
        ...

    async def end_turn(self, name: str) -> None:
        """Lets others do it."""
        ...


class Swept(NamedTuple):
    """The result of one sweep of a kind of item."""

    taken: int
    """How many were deleted."""
    again_ms: int
    """When to sweep again: nothing can be due earlier."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of item that expires. Each item has a time, and is due exactly `kept_ms` milliseconds after it."""

    name: str
    """What expires, in the plural."""
    requirement: str
    """Id of the rule behind it."""
    kept_ms: int
    """How long after its time an item is kept."""
    oldest_ms: Callable[[], Awaitable[int | None]]
    """Returns the time of the oldest thing; None when there is none."""
    delete: Callable[[int, int], Awaitable[int]]
    """Deletes things whose time lies before the given one, at most so many, and returns how many."""
    stored_for_ms: int | None = None
    """The shortest time that a new item is kept, if its time is not the time when it is stored."""

    @property
    def retention_ms(self) -> int:
        """Returns the shortest time that a new item is kept: no item that is stored from now on is due earlier."""
        return self.kept_ms if self.stored_for_ms is None else self.stored_for_ms

    @property
    def slack_ms(self) -> int:
        """Returns how much later than due a leap of time may delete an item, so that many go together.

        A thousandth of the time that it was kept, and no less than a second: nothing that is due is left at the end of
        the leap, and nothing that is due is ever returned by a read.
        """
        return max(SECOND_MS, self.retention_ms // 1_000)

    async def take_away(self, now_ms: int, report: Callable[[int], None] = lambda taken: None) -> Swept:
        """Deletes what is due, in steps between which others get a turn.

        Args:
            now_ms: The time.
            report: Is told after each step how many were deleted in it.
        """
        due_ms, taken = await self.next_due_ms(), 0
        if due_ms is not None and due_ms <= now_ms:
            while count := await self.delete(now_ms - self.kept_ms + 1, STEP):
                taken += count
                report(count)
            due_ms = await self.next_due_ms()
        again_ms = now_ms + self.retention_ms
        return Swept(taken, again_ms if due_ms is None else min(due_ms, again_ms))

    async def next_due_ms(self) -> int | None:
        """Returns when the next item is due; None when there is no item."""
        oldest_ms = await self.oldest_ms()
        return None if oldest_ms is None else oldest_ms + self.kept_ms
