"""Expiry: when the next thing of a kind is due, and how to delete it; knows no timer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

STEP = 1_000
"""Things deleted in one step: others get a turn between two of them, also when a million expire at once."""


class Swept(NamedTuple):
    """What became of one look at a kind of thing."""

    taken: int
    """How many were deleted."""
    again_ms: int
    """When to look again: nothing can be due earlier."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of thing that expires. Each has a time, and is due `kept_ms` after it, to the millisecond."""

    name: str
    """What expires, in the plural."""
    requirement: str
    """Id of the rule behind it."""
    kept_ms: int
    """How long after its time a thing is kept."""
    oldest_ms: Callable[[], Awaitable[int | None]]
    """Returns the time of the oldest thing; None when there is none."""
    delete: Callable[[int, int], Awaitable[int]]
    """Deletes things whose time lies before the given one, at most so many, and returns how many."""
    stored_for_ms: int | None = None
    """How long a new thing is kept at least, where its time is not that at which it is stored."""

    @property
    def retention_ms(self) -> int:
        """How long a new thing is kept at least: nothing that is stored from now on is due earlier."""
        return self.kept_ms if self.stored_for_ms is None else self.stored_for_ms

    async def take_away(self, now_ms: int) -> Swept:
        """Deletes what is due."""
        due_ms, taken = await self.next_due_ms(), 0
        if due_ms is not None and due_ms <= now_ms:
            while count := await self.delete(now_ms - self.kept_ms + 1, STEP):
                taken += count
            due_ms = await self.next_due_ms()
        again_ms = now_ms + self.retention_ms
        return Swept(taken, again_ms if due_ms is None else min(due_ms, again_ms))

    async def next_due_ms(self) -> int | None:
        """Returns when the next thing is due; None when there is none."""
        oldest_ms = await self.oldest_ms()
        return None if oldest_ms is None else oldest_ms + self.kept_ms
