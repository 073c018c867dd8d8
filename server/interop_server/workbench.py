"""Starts people to talk to, and a page to look at, beside the server; names their program and knows nothing of them.

They are a process of their own, which meets the server on the wire as every client does.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from interop_server.process import PeopleMissing

READY_SECONDS = 60.0
"""How long people may take until they are there."""
STOP_SECONDS = 3.0
"""How long they may take to leave, before they are killed."""

_PROGRAM = "interop_workbench"
_MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WorkbenchChoice:
    """Who and what is wanted beside the server."""

    cast: Path | None = None
    """A file with people; None for the usual ones."""
    has_people: bool = True
    """Whether there are people at all."""
    has_page: bool = True
    """Whether there is a page to look at."""
    is_page_in_control: bool = False
    """Whether the page can change anything."""

    def check(self) -> int:
        """Has the file be read, which says what is wrong with it; returns the status to end with, or 0."""
        if self.cast is None:
            return 0
        command = (sys.executable, "-m", _PROGRAM, "--people", str(self.cast))
        return subprocess.run(command, check=False, start_new_session=True).returncode


class Workbench:
    """The process with the people. `start` makes one."""

    def __init__(self, process: asyncio.subprocess.Process, facts: dict[str, Any]) -> None:
        self._process = process
        self._watching: asyncio.Task[None] | None = None
        self.facts = facts
        """What it adds to the ready line."""

    @classmethod
    async def start(cls, choice: WorkbenchChoice, ready: dict[str, Any], seed: int | None) -> Self:
        """Starts it, in a session of its own so that Ctrl-C reaches only this process; returns when everybody is there.

        Args:
            choice: Who and what is wanted.
            ready: What the ready line says of the server.
            seed: Makes repeatable what they do; None leaves it to chance.

        Raises:
            PeopleMissing: They did not come.
        """
        flags = [
            *(["--people", str(choice.cast)] if choice.cast else []),
            *([] if choice.has_people else ["--nobody"]),
            *(["--ui"] if choice.has_page else []),
            *(["--ui-control"] if choice.is_page_in_control else []),
            *([] if seed is None else ["--seed", str(seed)]),
        ]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _PROGRAM, "--simulator", json.dumps(ready), *flags),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
                return cls(process, json.loads(line))
        except (TimeoutError, ValueError) as error:
            if not process.stdout.at_eof():
                _kill(process)
            raise PeopleMissing(await process.wait()) from error
        except BaseException:
            await cls(process, {}).stop()
            raise

    def watch(self, tell: Callable[[str], None]) -> None:
        """Tells once, in a sentence, when it has ended without `stop`: by its own fault, or killed by somebody."""
        self._watching = asyncio.create_task(self._tell_when_gone(tell), name="people")

    async def _tell_when_gone(self, tell: Callable[[str], None]) -> None:
        status = await self._process.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        tell(f"the process with the people and the page {how}: start the simulator again to have them back.")

    async def stop(self) -> None:
        """Ends it: it ends by itself when its standard input does, also when this process is killed."""
        if self._watching is not None:
            self._watching.cancel()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            _kill(self._process)
            await self._process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
