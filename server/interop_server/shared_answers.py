"""Answers that are long to make: each is made for all at once who asked for it; knows no service.

A list that is told whole can be long, and asking for it takes a seat and nothing more. Made for each call anew, two
hundred lists would be read, hashed and kept in memory side by side.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class _Making(Generic[Answer]):
    """What is made for one holder, while anybody waits for it."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # first come, first served: one goes on in a round of the event loop
        self.waiting = 0
        self.begun = 0
        self.made: tuple[int, Answer] | None = None
        """The last answer, and as which one it was begun."""


class SharedAnswers(Generic[Answer]):
    """Makes one answer at a time for each holder, and gives it to all who asked before it was begun."""

    def __init__(self) -> None:
        self._makings: dict[Hashable, _Making[Answer]] = {}

    async def get(self, holder: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Returns an answer that was begun after this call came, so that it tells of all that was done before.

        When whoever makes it breaks off or fails, the next who waits makes it.

        Args:
            holder: Who asks for the list.
            make: Makes the answer, which nobody may change.
        """
        making = self._makings.setdefault(holder, _Making())
        begun_before = making.begun
        making.waiting += 1
        try:
            async with making.turn:
                if making.made is None or making.made[0] <= begun_before:
                    making.begun += 1
                    making.made = making.begun, await make()
                return making.made[1]
        finally:
            making.waiting -= 1
            if not making.waiting:
                del self._makings[holder]
