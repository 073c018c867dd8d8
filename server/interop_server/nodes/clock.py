"""The one clock of several nodes: one of them leads, all follow, and it waits for each; knows no timer and no SQL.

What the clock does stands in the database, under a number. Whoever leads has the turn to, writes where time goes, and
waits until every node that lives has arrived there with everything due done. Then it lets time run on, or leaves it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import HOUR_MS
from interop_server.core.nodes import Arrival, NodeStore, WorldTime
from interop_server.core.ports import ClockMove, MovableClock
from interop_server.crash_points import passing
from interop_server.runtime.clock import AdjustableClock, check_span, machine_ms

_log = logging.getLogger(__name__)

_TURN = "clock"
_FIRST_MS = HOUR_MS
"""How far all go first of a longer way. Connections whose clients say nothing end there, at whatever node, before other
nodes would take them for connected far later."""


class WorldClock(MovableClock):
    """Moves the clocks of all nodes; shows that of this one.

    A move that is under way comes to its end although the call that began it ends. When the node that leads it dies,
    another lets time run on.

    Args:
        own: The clock of this node.
        store: Where it stands what the clock does.
        tell: Has the other nodes look there.
    """

    def __init__(self, own: AdjustableClock, store: NodeStore, tell: Callable[[], None]) -> None:
        self._own = own
        self._store = store
        self._tell = tell
        self._known = WorldTime(0, None, False, 0)
        self._moved = self._arrived = 0
        """The states that this node has come to, and has said so of."""
        self._fired: dict[str, int] = {}
        self._must_follow, self._looked = asyncio.Event(), asyncio.Event()
        self._leading = asyncio.Lock()
        self._moves: set[asyncio.Task[dict[str, int]]] = set()

    # What it shows.

    def now_ms(self) -> int:
        """Milliseconds since the UNIX epoch; never less than before."""
        return self._own.now_ms()

    async def sleep(self, seconds: float, slack_seconds: float = 0.0) -> None:
        """Returns when the clock of this node has moved on by that much."""
        await self._own.sleep(seconds, slack_seconds)

    @property
    def is_frozen(self) -> bool:
        """Whether time stands still until an operator advances it."""
        return self._own.is_frozen

    @property
    def ahead_ms(self) -> int:
        """How far it runs ahead of the machine's clock; 0 while it stands still."""
        return self._own.ahead_ms

    @property
    def move(self) -> ClockMove | None:
        """The move of this node that is under way."""
        return self._own.move

    # Leading.

    async def freeze(self, at_ms: int | None = None) -> dict[str, int]:
        """Stops all clocks at one time; returns what fired at all nodes on the way, by name.

        Raises:
            Refusal: SERVER_DRAINING when the other nodes took this one for dead, STORAGE_UNAVAILABLE.
            ValueError: That time has passed, or lies after the last possible time.
        """

        async def freeze() -> dict[str, int]:
            _, now_ms = await self._present()
            check_span(now_ms, now_ms if at_ms is None else at_ms)
            return await self._go(now_ms, now_ms if at_ms is None else at_ms, is_frozen=True)

        return await self._lead(freeze)

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward everywhere; returns what fired at all nodes, by name, when they have arrived.

        Raises:
            Refusal: As `freeze`.
            ValueError: It leads backwards, or past the last possible time.
        """

        async def advance() -> dict[str, int]:
            time, now_ms = await self._present()
            check_span(now_ms, now_ms + ms)
            fired = await self._go(now_ms, now_ms + ms, is_frozen=time.is_frozen)
            if not time.is_frozen:
                await self._run_on()
            return fired

        return await self._lead(advance)

    async def resume(self) -> None:
        """Lets all clocks run on from where they stand.

        Raises:
            Refusal: As `freeze`.
        """

        async def resume() -> dict[str, int]:
            time, _ = await self._present()
            if time.stands_at_ms is not None:
                await self._run_on()
            return {}

        await self._lead(resume)

    async def take_over(self) -> None:
        """Lets time run on when it stands only for a move whose leader is dead."""
        if self._known.is_move and not self._leading.locked():
            async with self._leading, self._turn(is_awaited=False) as has_it:
                if has_it and (await self._present())[0].is_move:
                    await self._run_on()

    async def _lead(self, move: Callable[[], Awaitable[dict[str, int]]]) -> dict[str, int]:
        async def lead() -> dict[str, int]:
            async with self._leading, self._turn(is_awaited=True):
                return await move()

        task = asyncio.create_task(lead(), name="leads the clock")
        self._moves.add(task)
        task.add_done_callback(self._has_ended)
        return await asyncio.shield(task)

    def _has_ended(self, task: "asyncio.Task[dict[str, int]]") -> None:
        self._moves.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:  # whoever asked may have gone
            _log.debug("the clocks were not moved as they should: %s", error)

    async def stop(self) -> None:
        """Gives up what it leads: another node ends it."""
        for task in self._moves:
            task.cancel()
        await asyncio.gather(*self._moves, return_exceptions=True)

    @asynccontextmanager
    async def _turn(self, *, is_awaited: bool) -> AsyncIterator[bool]:
        while not (has_it := await self._store.take_turn(_TURN)) and is_awaited:
            self._looked.clear()
            await self._looked.wait()
        try:
            yield has_it
        finally:
            if has_it:
                await self._store.end_turn(_TURN)
                self._tell()

    async def _present(self) -> tuple[WorldTime, int]:
        """Returns what the clock does, and the latest time that this node knows to have been shown."""
        time = await self._store.get_time()
        return time, max(self._own.now_ms(), time.stands_at_ms or 0)

    async def _go(self, from_ms: int, to_ms: int, *, is_frozen: bool) -> dict[str, int]:
        fired: Counter[str] = Counter()
        if to_ms - from_ms > _FIRST_MS:
            await self._gather(from_ms + _FIRST_MS, fired, is_frozen=is_frozen)
        await self._gather(to_ms, fired, is_frozen=is_frozen)
        return dict(fired)

    async def _gather(self, to_ms: int, fired: Counter[str], *, is_frozen: bool) -> None:
        """Has all nodes stand at one time: at a later one if one of them was past it."""
        while True:
            arrivals = await self._set(to_ms, is_frozen=is_frozen)
            for arrival in arrivals:
                fired.update(arrival.fired)
            latest_ms = max((arrival.at_ms for arrival in arrivals), default=to_ms)
            if latest_ms <= to_ms:
                return
            to_ms = latest_ms

    async def _run_on(self) -> None:
        _, now_ms = await self._present()
        await self._set(None, is_frozen=False, ahead_ms=now_ms - machine_ms())

    async def _set(
        self, stands_at_ms: int | None, *, is_frozen: bool, ahead_ms: int | None = None
    ) -> Sequence[Arrival]:
        version = await self._store.set_time(stands_at_ms, is_frozen=is_frozen, ahead_ms=ahead_ms)
        if version is None:
            raise Refusal(Reason.SERVER_DRAINING, cause="the other nodes took this one for dead")
        passing("node.lead")
        self.learn(await self._store.get_time())
        self._tell()
        while True:
            self._looked.clear()
            arrivals = await self._store.arrivals()
            if all(arrival.version >= version for arrival in arrivals):
                return arrivals
            await self._looked.wait()

    # Following.

    def learn(self, time: WorldTime) -> None:
        """Takes in what the clock does now."""
        if time.version > self._known.version:
            self._known = time
        if self._arrived != self._known.version:
            self._must_follow.set()
        self._looked.set()

    def arrive_again(self) -> None:
        """Has it be said once more where this node has come to: the others had forgotten it."""
        self._arrived = 0

    async def keep_following(self) -> None:
        """Does as the clock of the world does, one after another, and says so."""
        while True:
            await self._must_follow.wait()
            self._must_follow.clear()
            try:
                await self._follow(self._known)
            except Refusal as refusal:  # the next look says it again
                _log.debug("it could not be said where this node's clock is: %s", refusal)

    async def _follow(self, time: WorldTime) -> None:
        if self._moved != time.version:
            self._fired = await self._own.follow(time)
            self._moved = time.version
        passing("node.arrive")
        await self._store.arrive(time.version, self._own.now_ms(), self._fired)
        self._arrived = time.version
        self._looked.set()
        self._tell()
