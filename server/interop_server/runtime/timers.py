"""Repeated work, timed by the server's clock, in tasks of its own; knows nothing of what the work is."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from interop_server.background import log_failure
from interop_server.core.journal import TIMER, Journal
from interop_server.core.limits import SECOND_MS
from interop_server.core.sweeps import Sweep, WorldTurns
from interop_server.runtime.clock import AdjustableClock

_log = logging.getLogger(__name__)

RETRY_MS = 60 * SECOND_MS
"""How long after a sweep that failed, left something due, or was another process's turn, it runs again."""


class Timers:
    """Starts tasks that work by the clock, and ends them.

    Work that fails is logged and runs again at its next time: a disk that is full now must not end it for good.

    Args:
        clock: The server's clock.
        journal: Where it stands what was deleted.
        turns: Of this process, to sweep; None when it is alone.
    """

    def __init__(self, clock: AdjustableClock, journal: Journal, turns: WorldTurns | None = None) -> None:
        self._clock = clock
        self._journal = journal
        self._turns = turns or _Alone()
        self._tasks: list[asyncio.Task[None]] = []

    def repeat(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Runs work now, then again this long after each run ends; an advance of any length runs it once."""
        self._start(name, self._repeat(name, seconds, work))

    def sweep(self, sweep: Sweep) -> None:
        """Deletes each thing of a kind when it is due."""
        self._start(sweep.name, self._sweep(sweep))

    async def stop(self) -> None:
        """Ends all tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self._clock.expect(task)

    async def _repeat(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a supervisor
                log_failure(_log, f"{name}: failed, and is tried again in {seconds:.0f} seconds", error)
            await self._clock.sleep(seconds, slack_seconds=math.inf)

    async def _sweep(self, sweep: Sweep) -> None:
        while True:
            now_ms = self._clock.now_ms()
            try:
                again_ms = await self._take_turn(sweep, now_ms)
            except Exception as error:  # noqa: BLE001 - a supervisor
                log_failure(_log, f"{sweep.name}: the sweep failed", error)
                again_ms = now_ms
            if again_ms <= now_ms:
                again_ms = now_ms + RETRY_MS
            seconds = (again_ms - self._clock.now_ms()) / SECOND_MS
            await self._clock.sleep(seconds, sweep.slack_ms / SECOND_MS, is_reported=False)

    async def _take_turn(self, sweep: Sweep, now_ms: int) -> int:
        """Deletes what is due, unless another process does so just now, and returns when to look again."""
        if not await self._turns.take_turn(sweep.name):
            return now_ms
        try:
            return await self._take_away(sweep, now_ms)
        finally:
            await self._turns.end_turn(sweep.name)

    async def _take_away(self, sweep: Sweep, now_ms: int) -> int:
        taken, again_ms = await sweep.take_away(now_ms, lambda done: self._clock.note_progress(sweep.name, done))
        if taken:
            self._clock.report(sweep.name)
            self._journal.record(
                TIMER, f"timer.{sweep.name}", "done", requirement=sweep.requirement, detail=f"{taken} taken away"
            )
        return again_ms


class _Alone(WorldTurns):
    """The turns of a process that is alone in its world."""

    async def take_turn(self, name: str) -> bool:
        return True

    async def end_turn(self, name: str) -> None:
        pass
