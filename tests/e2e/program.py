"""The `interopsim` program as a user runs it: its arguments, what it prints, how it ends."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

END_SECONDS = 20.0
ANY_PORTS = ("--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", "127.0.0.1:0")


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    code: int
    stdout: str
    stderr: str


class Program:
    """A program that runs, with its temporary files in a folder of the test's."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        return self._process.stderr

    async def ready_line(self) -> dict[str, Any]:
        """Waits for the next line on stdout, and reads it as JSON: the first says that a server is ready."""
        assert self._process.stdout is not None
        async with asyncio.timeout(END_SECONDS):
            facts: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return facts

    async def lines_until(self, part: str) -> list[str]:
        """Takes lines of stdout up to and including the first that has this in it."""
        assert self._process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(END_SECONDS):
            while not lines or part not in lines[-1]:
                lines.append((await self._process.stdout.readline()).decode())
                assert lines[-1], "the program has ended"
        return lines

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    async def end(self) -> Ended:
        """Waits for its end."""
        async with asyncio.timeout(END_SECONDS):
            stdout, stderr = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def running(
    folder: Path, *arguments: str, python: tuple[str, ...] = (), path: Path | None = None
) -> AsyncIterator[Program]:
    """Starts `interopsim` with arguments; it is killed at the end if it still runs.

    Args:
        folder: Where it works and leaves its temporary files.
        arguments: As on the command line.
        python: Options of the interpreter.
        path: Where the interpreter looks for modules first.
    """
    search = {} if path is None else {"PYTHONPATH": str(path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *python,
        "-m",
        "interop_server",
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "200", **search},
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(folder: Path, *arguments: str, python: tuple[str, ...] = ()) -> Ended:
    """Runs `interopsim` with arguments to its end."""
    async with running(folder, *arguments, python=python) as program:
        return await program.end()


def left_behind(folder: Path) -> list[str]:
    """Names of what lies in a folder, ascending."""
    return sorted(path.name for path in folder.iterdir())
