"""Time that a test moves by hand, at once: the clock of tests that have no loop, or that settle things themselves."""

import asyncio
import heapq
import itertools


class ManualClock:
    """Time that stands still until it is advanced. Implements the `Clock` port.

    Unlike the server's own clock it waits for nobody: those that it wakes run when the test next awaits.

    Args:
        start_ms: Milliseconds since the UNIX epoch.
    """

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._went_to_sleep = asyncio.Event()

    def now_ms(self) -> int:
        """Milliseconds since the UNIX epoch, as last advanced."""
        return self._now_ms

    @property
    def sleepers(self) -> int:
        """How many tasks sleep."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def wait_for_sleepers(self, count: int) -> None:
        """Returns when at least that many tasks sleep: who advances earlier than that advances past them."""
        while self.sleepers < count:
            self._went_to_sleep.clear()
            await self._went_to_sleep.wait()

    async def sleep(self, seconds: float, slack_seconds: float = 0.0) -> None:
        """Returns when the clock has been advanced by that much; makes no use of the slack."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ms + seconds * 1_000, next(self._order), future))
        self._went_to_sleep.set()
        await future

    def advance(self, ms: int) -> None:
        """Moves the time forward at once and wakes the sleepers that fell due, the earliest first.

        All of them see the new time: a loop that sleeps a minute at a time wakes once after an hour, not sixty times.

        Args:
            ms: Milliseconds, 0 or more.

        Raises:
            ValueError: The time would move backwards.
        """
        if ms < 0:
            raise ValueError("time does not move backwards")
        self._now_ms += ms
        while self._sleepers and self._sleepers[0][0] <= self._now_ms:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():  # a cancelled sleeper stays in the heap until it falls due
                future.set_result(None)
