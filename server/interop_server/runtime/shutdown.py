"""Stopping: every step runs, each bounded in time, whatever becomes of the others; knows no part of the server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

_log = logging.getLogger(__name__)

Stop = Callable[[], Awaitable[None]]
_LEAST_SECONDS = 0.1
"""What a step gets when the steps before it have used up the time: enough for one that waits for nobody."""


class StopIncomplete(Exception):
    """Steps failed, or did not end in time; the message is a sentence that says which and why."""


class _Step(NamedTuple):
    name: str
    stop: Stop


class Shutdown:
    """The steps that undo a start, in reverse order.

    Args:
        step_seconds: How long one step may take.
        total_seconds: How long all of them may take.
    """

    def __init__(self, step_seconds: float, total_seconds: float) -> None:
        self._step_seconds = step_seconds
        self._total_seconds = total_seconds
        self._steps: list[_Step] = []

    def add(self, name: str, stop: Stop) -> None:
        """Adds a step; it runs before those that were added earlier."""
        self._steps.append(_Step(name, stop))

    async def run(self) -> None:
        """Runs every step once.

        Raises:
            StopIncomplete: After the last step.
        """
        now = asyncio.get_running_loop().time
        end = now() + self._total_seconds
        failures: list[str] = []
        while self._steps:
            step = self._steps.pop()
            seconds = max(_LEAST_SECONDS, min(self._step_seconds, end - now()))
            if failure := await _run(step, seconds):
                failures.append(f"{step.name} ({failure})")
        if failures:
            raise StopIncomplete(f"The simulator has ended, but not everything was stopped: {', '.join(failures)}.")


async def _run(step: _Step, seconds: float) -> str:
    """Runs a step; returns what went wrong, or nothing. A step that hangs is left behind: it may never let go."""

    async def stop() -> None:
        await step.stop()

    task = asyncio.create_task(stop(), name=f"stop {step.name}")
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        task.cancel()
        return "it did not end in time"
    if task.cancelled():
        return "it was cancelled"
    if (error := task.exception()) is not None:
        _log.error("stopping %s failed: %s: %s", step.name, type(error).__name__, error)
        return str(error) or type(error).__name__
    return ""
