"""The `interopsim` program as a user runs it: its arguments, what it prints, how it ends."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop_protocol.state_files import STATE_VARIABLE

END_SECONDS = 40.0
"""How long anything may take: on a machine that others use, a start with people takes half of it."""
TELLS_IMPORTS = ("-X", "importtime")
"""Options of the interpreter with which `Ended.imported` has something to read."""
ANY_PORTS = ("--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", "127.0.0.1:0")


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def imported(self) -> set[str]:
        """The modules that it has loaded, when it was told to tell them."""
        return {line.rpartition("|")[2].strip() for line in self.stderr.splitlines()}


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
        """Ends its standard input, and waits for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        async with asyncio.timeout(END_SECONDS):
            stdout, stderr = await self._process.communicate()
        assert self._process.returncode is not None
        return Ended(self._process.returncode, stdout.decode(), stderr.decode())


def state_of(folder: Path) -> Path:
    """Where the programs that work in a folder leave word of themselves: beside it."""
    return folder.with_name(f"{folder.name}.state")


def _environment() -> dict[str, str]:
    """That of this process, without what other tests have set for it: the benchmark has gRPC say what goes wrong."""
    return {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}


@asynccontextmanager
async def running(
    folder: Path,
    *arguments: str,
    python: tuple[str, ...] = (),
    path: Path | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
    is_leader: bool = False,
) -> AsyncIterator[Program]:
    """Starts `interopsim` with arguments; it is killed at the end if it still runs.

    Args:
        folder: Where it works and leaves its temporary files.
        arguments: As on the command line.
        python: Options of the interpreter.
        path: Where the interpreter looks for modules first.
        stdin: Its standard input; a pipe ends with `end`.
        is_leader: Whether it leads a process group, as in a terminal, whose keys reach all in the group.
    """
    others = filter(None, (os.environ.get("PYTHONPATH"),))
    search = {} if path is None else {"PYTHONPATH": os.pathsep.join((str(path), *others))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *python,
        "-m",
        "interop_server",
        *arguments,
        cwd=folder,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **_environment(),
            "TMPDIR": str(folder),
            "COLUMNS": "200",
            STATE_VARIABLE: str(state_of(folder)),
            **search,
        },
        start_new_session=is_leader,
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


async def loaded_by_a_plain_start(folder: Path, path: Path | None = None) -> set[str]:
    """Starts a simulator without an option that matters, ends it in order, and returns the modules that it loaded."""
    async with running(folder, "up", *ANY_PORTS, python=TELLS_IMPORTS, path=path) as program:
        await program.ready_line()
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 0, ended.stderr
    return ended.imported


def left_behind(folder: Path) -> list[str]:
    """Names of what lies in a folder, ascending."""
    return sorted(path.name for path in folder.iterdir())


async def gone(pid: int) -> None:
    """Waits until a process is gone that is not a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(END_SECONDS):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
