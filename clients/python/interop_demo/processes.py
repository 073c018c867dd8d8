"""Starts, stops and kills child processes that say when they are ready; knows nothing of what they do."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from interop_protocol.state_files import STATE_VARIABLE

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_TAIL_CHARACTERS = 2000


class ChildFailed(Exception):
    """A child did not become ready, or has ended; the message ends with the last lines of its log."""


class Child:
    """A process that prints one JSON ready line on stdout, logs to a file, and ends on SIGTERM.

    Use it as an async context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        program: str = sys.executable,
    ) -> None:
        """Describes a child; nothing runs yet.

        Args:
            name: Name for messages.
            arguments: Arguments of the program, for example `-m interop_server up`.
            log: File to which its stderr is appended. Its temporary files go into the same folder, so that removing the
                folder removes them too, however the child ended.
            environment: Variables besides those of this process.
            program: The Python interpreter, or another program.
        """
        self.name = name
        self.log = log
        self._command = (program, *arguments)
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.ready: Mapping[str, Any] = {}
        """The content of the ready line."""

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        return self._running().pid

    def check_runs(self) -> None:
        """Does nothing while the process runs.

        Raises:
            ChildFailed: It has ended.
        """
        if self._running().returncode is not None:
            raise ChildFailed(f"{self.name} has ended. {self.describe_log()}")

    async def start(self) -> Mapping[str, Any]:
        """Starts the process and returns the content of its ready line.

        Raises:
            ChildFailed: The process ended, or printed no ready line in time.
        """
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.log.parent), **self._environment},
                start_new_session=True,  # so that Ctrl-C reaches only the parent, which ends its children in order
                limit=1 << 26,
            )
        try:
            async with asyncio.timeout(READY_SECONDS):
                self.ready = json.loads(await self.read_line())
        except (TimeoutError, ValueError) as error:
            await self.kill()
            raise ChildFailed(f"{self.name} did not become ready. {self.describe_log()}") from error
        except BaseException:  # an interrupt, mostly: nobody else knows of the child yet
            await self.kill()
            raise
        return self.ready

    def describe_log(self) -> str:
        """Says where the log is and how it ends."""
        tail = self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()
        return f"Its log {self.log} ends with:\n{tail}" if tail else f"Its log {self.log} is empty."

    async def read_line(self) -> str:
        """Returns the next line of the child's stdout; empty at its end."""
        stdout = self._running().stdout
        assert stdout is not None
        return (await stdout.readline()).decode()

    async def write_line(self, line: str) -> None:
        """Writes a line to the child's stdin.

        Raises:
            ChildFailed: The child no longer reads.
        """
        stdin = self._running().stdin
        assert stdin is not None
        try:
            stdin.write(line.encode() + b"\n")
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildFailed(f"{self.name} has ended. {self.describe_log()}") from error

    async def stop(self) -> int:
        """Ends the process gracefully, by force if it takes too long, and returns its exit code."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                return await self.kill()
        return await self._reap(process)

    async def wait(self) -> int:
        """Waits for the process to end by itself, and returns its exit code."""
        return await self._reap(self._running())

    async def kill(self) -> int:
        """Ends the process with SIGKILL: it gets no chance to save anything."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        return await self._reap(process)

    async def _reap(self, process: asyncio.subprocess.Process) -> int:
        code = await process.wait()
        if process.stdin is not None:
            process.stdin.close()
            with suppress(BrokenPipeError, ConnectionResetError):
                await process.stdin.wait_closed()
        self._process = None
        return code

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise ChildFailed(f"{self.name} is not running")
        return self._process

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def simulator(
    log: Path, db: Path | None = None, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Child:
    """Describes a simulator on free loopback ports, which ends when this process does, even by SIGKILL.

    Args:
        log: See Child.
        db: Database file to keep; None for one that is deleted at exit.
        arguments: Further options of `interopsim up`.
        environment: Variables besides those of this process.
    """
    # It belongs to its parent alone: other commands of the user do not look for it.
    own = {STATE_VARIABLE: str(log.parent / "state"), **(environment or {})}
    command = ["-m", "interop_server", "up", "--until-stdin-ends"]
    for surface in ("--grpc", "--admin", "--http"):
        command += [surface, "127.0.0.1:0"]
    return Child("the simulator", [*command, *(["--db", str(db)] if db else []), *arguments], log, own)


def partner_server(log: Path, data: Path) -> Child:
    """Describes a partner's server on a free loopback port, with its blobs and keys in a folder."""
    return Child("the messenger's server", ["-m", "partner_server", "--data", str(data)], log)
