"""What goes with time, one kind at a time: when something falls due, and what takes it away; knows no timer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple


class Swept(NamedTuple):
    """What became of one look at a kind of thing."""

    taken: int
    """How many were taken away."""
    again_ms: int
    """When to look again: no earlier can anything fall due."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One kind of thing that goes when its time has come."""

    name: str
    """What goes, in the plural."""
    requirement: str
    """Id of the rule that lets it go."""
    retention_ms: int
    """How long each is kept at least: nothing that is stored from now on falls due earlier than after this time."""
    next_due_ms: Callable[[], Awaitable[int | None]]
    """When the first falls due; None when there is none."""
    run: Callable[[int], Awaitable[int]]
    """Takes away all that has fallen due by a time, that millisecond included, and returns how many."""

    async def take_away(self, now_ms: int) -> Swept:
        """Takes away what has fallen due."""
        due_ms, taken = await self.next_due_ms(), 0
        if due_ms is not None and due_ms <= now_ms:
            taken = await self.run(now_ms)
            due_ms = await self.next_due_ms()
        again_ms = now_ms + self.retention_ms
        return Swept(taken, again_ms if due_ms is None else min(due_ms, again_ms))
