"""The server's one clock: it runs, stands still or is advanced, and wakes sleeping tasks; knows none of their work."""

import asyncio
import bisect
import logging
import math
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any

from interop_server.core.limits import LATEST_TIME_MS
from interop_server.core.ports import ClockMove

if TYPE_CHECKING:
    from interop_server.core.nodes import WorldTime

_log = logging.getLogger(__name__)

SETTLE_SECONDS = 30.0
"""How long, in real time, an advance waits for the tasks it has woken to come on, to sleep again or to end."""
_LONGEST_WAIT_SECONDS = 60.0
"""How long the event loop waits at most before it reads the machine's time again, which may have been set."""
_MS_PER_SECOND = 1_000


class AdjustableClock:
    """Time in milliseconds since the UNIX epoch. It never goes backwards, even when the machine's clock does.

    Running, it is the machine's time plus the sum of all advances. Frozen, it stands still until it is advanced.

    An advance stops at each sleeper that falls due on the way, in the order of time: it sets the time, wakes that task
    and goes on only when all tasks that are awake have settled: they sleep again or have ended. So timers fire in the
    same order on a fast and on a slow machine, and everything that was due is done when the advance returns. A task
    that sleeps on this clock must therefore not wait for another task that does.

    Args:
        frozen_at_ms: The time at which it stands still from the start; None lets it run with the machine's time.
    """

    def __init__(self, frozen_at_ms: int | None = None) -> None:
        self._offset_ms = 0
        self._last_ms = 0
        self._standing_at_ms = frozen_at_ms
        """The time at which it stands, frozen or during an advance; None while it runs."""
        self._is_frozen = frozen_at_ms is not None
        self._sleepers = _Sleepers()
        self._awake: set[asyncio.Task[Any]] = set()
        self._nobody_awake = asyncio.Event()
        self._nobody_awake.set()
        self._fired: Counter[str] = Counter()
        self._progress = 0
        self._move: ClockMove | None = None
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still until it is advanced."""
        return self._is_frozen

    @property
    def ahead_ms(self) -> int:
        """How far it runs ahead of the machine's clock; 0 while it stands still."""
        return 0 if self._standing_at_ms is not None else max(0, self._offset_ms)

    def now_ms(self) -> int:
        """Milliseconds since the UNIX epoch; never less than before."""
        if self._standing_at_ms is not None:
            return self._standing_at_ms
        self._last_ms = max(self._last_ms, machine_ms() + self._offset_ms)
        return self._last_ms

    def start_from(self, floor_ms: int, ahead_ms: int = 0) -> None:
        """Makes the time begin no earlier than this; called before the first use of the clock.

        Args:
            floor_ms: A time that was shown before.
            ahead_ms: How far the clock ran ahead of the machine's then: so far it runs ahead again, if not further.

        Raises:
            ValueError: It is frozen at an earlier time.
        """
        if self._standing_at_ms is None:
            self._offset_ms = max(self._offset_ms, floor_ms - machine_ms(), ahead_ms)
        elif self._standing_at_ms < floor_ms:
            raise ValueError("the clock is frozen at an earlier time")

    def start_within(self, floor_ms: int, time: "WorldTime") -> None:
        """Makes it begin as the clock of a world of several processes; called before its first use.

        Args:
            floor_ms: A time that was shown before.
            time: What the clock of the world does.
        """
        self._last_ms, self._offset_ms, self._is_frozen = floor_ms, time.ahead_ms, time.is_frozen
        self._standing_at_ms = None if time.stands_at_ms is None else max(time.stands_at_ms, floor_ms)

    async def sleep(self, seconds: float, slack_seconds: float = 0.0, *, is_reported: bool = True) -> None:
        """Returns when this clock has moved on by that much.

        Args:
            seconds: How long.
            slack_seconds: How much later than due an advance may end the sleep, so that a task wakes once for many
                items. May be infinite: then an advance that goes past the due time ends the sleep at its own end. While
                time runs, the sleep ends when it is due.
            is_reported: Whether the result of an advance counts this sleeper as fired. A task that may find nothing to
                do sets False, and calls `report` after it has done something.
        """
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        # Rounded first: half a millionth of a millisecond of binary fraction must not become a millisecond.
        due_ms = self.now_ms() + max(1, math.ceil(round(seconds * _MS_PER_SECOND, 6)))
        sleeper = _Sleeper(due_ms, due_ms + slack_seconds * _MS_PER_SECOND, task, loop.create_future(), is_reported)
        self._sleepers.add(sleeper)
        self._has_settled(task)
        if self._sleepers.first_due() is sleeper:
            self._set_timer()
        try:
            await sleeper.woken
        finally:
            self._sleepers.discard(sleeper)
            del sleeper, task  # a cancelled task holds this frame, which would hold the task

    def expect(self, task: "asyncio.Task[Any]") -> None:
        """Counts a task as awake until it sleeps or ends: an advance waits for it as for a task that it has woken."""
        if task not in self._awake and not task.done():
            self._awake.add(task)
            self._nobody_awake.clear()
            task.add_done_callback(self._has_settled)

    def report(self, name: str) -> None:
        """Counts work that was due and is done: the result of the current advance includes it."""
        self._fired[name] += 1

    @property
    def move(self) -> ClockMove | None:
        """The advance that is under way; None when there is none."""
        return self._move

    def note_progress(self, work: str, done: int) -> None:
        """Says that work under way has come on: an advance waits on for it, however long all of it takes.

        Args:
            work: Its name, as in the result of the advance.
            done: How many items it has dealt with since it last said so.
        """
        self._progress += 1
        if self._move is not None:
            before = self._move.done if self._move.work == work else 0
            self._move = self._move._replace(work=work, done=before + done)

    async def freeze(self, at_ms: int | None = None) -> dict[str, int]:
        """Advances to a given time, if any, and stands still there.

        Args:
            at_ms: The time at which to stand still; None for the current time.

        Returns:
            The sleepers woken on the way there, as from `advance`.

        Raises:
            ValueError: That time has passed, or lies after the year 9999.
        """
        async with self._turn:
            now_ms = self.now_ms()
            check_span(now_ms, now_ms if at_ms is None else at_ms)
            self._is_frozen = True
            self._stand()
            return await self._advance_to(now_ms if at_ms is None else at_ms)

    async def follow(self, time: "WorldTime") -> dict[str, int]:
        """Does as the clock of a world of several processes: time that is later already waits for that one.

        Args:
            time: Where the clock of the world stands, or how it runs.

        Returns:
            The sleepers woken on the way there, as from `advance`.
        """
        async with self._turn:
            self._is_frozen = time.is_frozen
            if time.stands_at_ms is None:
                self._run_on(time.ahead_ms)
                return {}
            self._stand()
            return await self._advance_to(max(self.now_ms(), time.stands_at_ms))

    async def resume(self) -> None:
        """Lets time run on from the time at which it stands."""
        async with self._turn:
            self._is_frozen = False
            self._run_on()

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward; returns when everything that fell due has fired and settled.

        Concurrent advances take place one after another. A cancelled advance leaves time where it stopped last.

        Args:
            ms: Milliseconds, 0 or more.

        Returns:
            How often each sleeper was woken, by the name of its task, in the order in which they first woke.

        Raises:
            ValueError: Time would go backwards, or past the year 9999.
        """
        async with self._turn:
            check_span(self.now_ms(), self.now_ms() + ms)
            self._stand()
            try:
                return await self._advance_to(self.now_ms() + ms)
            finally:
                if not self._is_frozen:
                    self._run_on()

    async def _advance_to(self, end_ms: int) -> dict[str, int]:
        if (caller := asyncio.current_task()) is not None:
            self._has_settled(caller)  # it waits here for the other tasks, so the advance must not wait for it
        self._move = ClockMove(self.now_ms(), end_ms)
        try:
            return await self._pass_sleepers(end_ms)
        finally:
            self._move = None

    async def _pass_sleepers(self, end_ms: int) -> dict[str, int]:
        await self._settle()
        self._fired = Counter()
        while (sleeper := self._sleepers.next_until(end_ms)) is not None:
            self._standing_at_ms = max(self.now_ms(), math.floor(min(sleeper.latest_ms, end_ms)))
            if self._wake(sleeper) and sleeper.is_reported:
                self.report(sleeper.task.get_name())
            await self._settle()
        self._standing_at_ms = end_ms
        return dict(self._fired)

    async def _settle(self) -> None:
        before = -1
        while before != self._progress:
            before = self._progress
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_SECONDS):
                    await self._nobody_awake.wait()
                    return
        for task in list(self._awake):
            _log.warning("time goes on without %r, which does not settle", task.get_name())
            self._has_settled(task)

    def _wake(self, sleeper: "_Sleeper") -> bool:
        self._sleepers.discard(sleeper)
        if sleeper.woken.done():  # its task has just been cancelled
            return False
        self.expect(sleeper.task)
        sleeper.woken.set_result(None)
        return True

    def _has_settled(self, task: "asyncio.Task[Any]") -> None:
        if task in self._awake:
            self._awake.discard(task)
            task.remove_done_callback(self._has_settled)
            if not self._awake:
                self._nobody_awake.set()

    def _stand(self) -> None:
        self._standing_at_ms = self.now_ms()
        self._set_timer()

    def _run_on(self, offset_ms: int | None = None) -> None:
        self._last_ms = self.now_ms()
        self._offset_ms = self._last_ms - machine_ms() if offset_ms is None else offset_ms
        self._standing_at_ms = None
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first = self._sleepers.first_due()
        if first is not None and self._standing_at_ms is None:
            wait_seconds = max(0, first.due_ms - self.now_ms()) / _MS_PER_SECOND
            self._timer = asyncio.get_running_loop().call_later(min(wait_seconds, _LONGEST_WAIT_SECONDS), self._ring)

    def _ring(self) -> None:
        now_ms = self.now_ms()
        while (first := self._sleepers.first_due()) is not None and first.due_ms <= now_ms:
            self._wake(first)
        self._timer = None
        self._set_timer()


@dataclass(eq=False, slots=True)
class _Sleeper:
    """A sleeping task, and the earliest and latest time at which to wake it."""

    due_ms: int
    latest_ms: float
    task: "asyncio.Task[Any]"
    woken: "asyncio.Future[None]"
    is_reported: bool
    number: int = 0
    """Ascends with each sleep: of sleepers with equal times, the lowest number wakes first."""


class _Sleepers:
    """The sleepers, in two orders: that in which running time wakes them, and that in which an advance does."""

    def __init__(self) -> None:
        self._by_due: list[_Sleeper] = []
        self._by_latest: list[_Sleeper] = []
        self._added = 0

    def add(self, sleeper: _Sleeper) -> None:
        self._added += 1
        sleeper.number = self._added
        bisect.insort(self._by_due, sleeper, key=_due_order)
        bisect.insort(self._by_latest, sleeper, key=_latest_order)

    def discard(self, sleeper: _Sleeper) -> None:
        at = bisect.bisect_left(self._by_due, _due_order(sleeper), key=_due_order)
        if at < len(self._by_due) and self._by_due[at] is sleeper:
            del self._by_due[at]
            del self._by_latest[bisect.bisect_left(self._by_latest, _latest_order(sleeper), key=_latest_order)]

    def first_due(self) -> _Sleeper | None:
        """The next sleeper that running time wakes."""
        return self._by_due[0] if self._by_due else None

    def next_until(self, end_ms: int) -> _Sleeper | None:
        """The next sleeper that an advance to that time wakes: at its latest time, or at `end_ms` if earlier."""
        if self._by_latest and self._by_latest[0].latest_ms <= end_ms:
            return self._by_latest[0]
        return self._by_due[0] if self._by_due and self._by_due[0].due_ms <= end_ms else None


def _due_order(sleeper: _Sleeper) -> tuple[int, int]:
    return sleeper.due_ms, sleeper.number


def _latest_order(sleeper: _Sleeper) -> tuple[float, int, int]:
    return sleeper.latest_ms, sleeper.due_ms, sleeper.number


def check_span(now_ms: int, end_ms: int) -> None:
    """Refuses a move that is none.

    Raises:
        ValueError: It leads backwards, or past the last possible time.
    """
    if end_ms < now_ms:
        raise ValueError("time does not go backwards")
    if end_ms > LATEST_TIME_MS:
        raise ValueError("time ends with the year 9999")


def machine_ms() -> int:
    """Milliseconds since the UNIX epoch by the machine's clock, which can differ from the server's."""
    return time_ns() // 1_000_000


def stopwatch() -> Callable[[], int]:
    """Begins to measure; what it returns says how many milliseconds have passed since, however clocks are set."""
    began_ns = monotonic_ns()
    return lambda: (monotonic_ns() - began_ns) // 1_000_000
