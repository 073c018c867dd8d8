"""Plays the story from beginning to end and records the results; knows no step's content."""

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
from rich.console import Console

from interop_client.errors import ServerRefusal
from interop_demo.inputs import Inputs
from interop_demo.people import CouldNot, Refused
from interop_demo.processes import ChildFailed
from interop_demo.stage import MESSENGER, Folders, Stage, Staging, StepFailed
from interop_demo.story import STEPS, Step
from interop_demo.timeline import StepResult, Timeline

_EXPECTED = (StepFailed, Refused, CouldNot, ChildFailed, ServerRefusal, TimeoutError, OSError, aiohttp.ClientError)
"""The errors with which a step can fail; any other error is a bug of the demo."""


class Account:
    """The results of the steps.

    Args:
        steps: All steps, in order.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._results: list[StepResult] = []

    async def play(self, stage: Stage) -> None:
        """Plays the steps until one of them fails."""
        for number, step in enumerate(self._steps, 1):
            stage.timeline.begin(number, step.name)
            started = time.perf_counter()
            try:
                detail, ok = await step.play(stage), True
            except _EXPECTED as error:
                detail, ok = str(error) or type(error).__name__, False
            ms = round((time.perf_counter() - started) * 1000)
            self._results.append(StepResult(step.name, ok, ms, detail))
            stage.timeline.end(self._results[-1])
            if not ok:
                return
        await stage.see_off()

    def results(self) -> list[StepResult]:
        """Returns a result for every step, including those not played."""
        played = len(self._results)
        why = "not run: an earlier step failed" if self._has_failure else "not run: interrupted"
        return self._results + [StepResult(step.name, False, 0, why) for step in self._steps[played:]]

    @property
    def _has_failure(self) -> bool:
        return any(not result.ok for result in self._results)


async def play(inputs: Inputs, root: Path, console: Console, staging: Staging) -> tuple[list[StepResult], bool]:
    """Plays the whole story, and ends every process that it started, even on SIGINT and SIGTERM.

    Args:
        inputs: The text and files that people send.
        root: Folder for all files of servers and devices.
        console: Shows the story.
        staging: How to play it.

    Returns:
        The result of each step, and whether a signal ended the story early.
    """
    timeline = Timeline(console, len(STEPS))
    timeline.introduce(
        f"Alice uses WhatsApp. Bob and Carol use {MESSENGER}, another messenger: to WhatsApp, third-party users.",
        "The server is the simulator, in WhatsApp's place. Each server and each person's device is a process.",
    )
    account = Account(STEPS)
    playing = asyncio.create_task(_play_on_a_stage(account, inputs, Folders(root), timeline, staging))
    signals: list[int] = []

    def interrupt(number: int) -> None:
        signals.append(number)
        if len(signals) == 1:  # a second signal must not interrupt the clean-up
            playing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    with suppress(asyncio.CancelledError):
        await playing
    timeline.summarise(account.results())
    return account.results(), bool(signals)


async def _play_on_a_stage(
    account: Account, inputs: Inputs, folders: Folders, timeline: Timeline, staging: Staging
) -> None:
    folders.simulator.mkdir(parents=True, exist_ok=True)
    with staging.opening(folders.simulator, staging.options()) as ground:
        async with Stage(inputs, folders, timeline, ground, staging) as stage:
            await account.play(stage)
