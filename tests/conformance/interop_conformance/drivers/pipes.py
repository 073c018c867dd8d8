"""A driver as a child process, on its stdin and stdout; knows no command of the protocol."""

import asyncio
import os
import shlex
import signal
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from google.protobuf.message import DecodeError

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance.drivers.driver import SubjectFailed
from interop_driver.frames import MessageMalformed, StreamCut, delimited, read_messages

END_SECONDS = 3.0
"""How long a driver may take to end once its stdin has."""
_LOG_BYTES = 64 << 10
_SHOWN_LOG_CHARACTERS = 4_000


class CommandUnusable(Exception):
    """The driver's command cannot be started. The text is a sentence."""


class Pipes:
    """A child process. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._log: deque[bytes] = deque()
        self._logging = asyncio.create_task(self._keep_log(process.stderr))
        self._is_closed = False
        self._closing = asyncio.Lock()

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Pipes":
        """Starts a driver in a session of its own, so that all that it starts can be ended.

        Raises:
            CommandUnusable: There is no such program, or it may not be run.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise CommandUnusable(f"`{shlex.join(command)}` cannot be started: {error}.") from error
        return cls(process)

    @property
    def log(self) -> str:
        """The end of its stderr."""
        return b"".join(self._log).decode(errors="replace")[-_SHOWN_LOG_CHARACTERS:]

    async def send(self, request: pb.DriveRequest) -> None:
        """Sends a request. See Link."""
        try:
            self._stdin.write(delimited(request))
            await self._stdin.drain()
        except (OSError, RuntimeError) as error:
            raise SubjectFailed(await self.end()) from error

    async def responses(self) -> AsyncIterator[pb.DriveResponse]:
        """Yields what comes. See Link."""
        try:
            async for message in read_messages(self._stdout):
                yield _response(message)
        except StreamCut as error:
            raise SubjectFailed(f"Stdout ended within {error.where}. {await self.end()}") from error
        except MessageMalformed as error:
            raise _garbage(b"") from error

    async def end(self) -> str:
        """Says how it ended. See Link."""
        await self.close()
        code = self._process.returncode
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"The driver's process was ended by {signal.Signals(-code).name}."
        return f"The driver's process ended with status {code}."

    async def close(self) -> None:
        """Ends it with its stdin, and by force when that does not. See Link."""
        async with self._closing:  # whoever asks meanwhile is told how it ended, too
            if not self._is_closed:
                await self._end()
                self._is_closed = True

    async def _end(self) -> None:
        # asyncio sees the end of a process only after that of its pipes.
        discarding = asyncio.create_task(self._discard())
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        with suppress(ProcessLookupError, PermissionError):  # what it has started, too
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):  # somebody whom it has sent away may hold its pipes
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
                await asyncio.shield(self._logging)
        for task in (discarding, self._logging):
            task.cancel()
        await asyncio.gather(discarding, self._logging, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined] # nobody else closes pipes that somebody holds

    async def _discard(self) -> None:
        with suppress(OSError, RuntimeError):  # somebody else may still read
            while await self._stdout.read(1 << 16):
                pass

    async def _keep_log(self, stderr: asyncio.StreamReader) -> None:
        size = 0
        while chunk := await stderr.read(4096):
            self._log.append(chunk)
            size += len(chunk)
            while size > _LOG_BYTES:
                size -= len(self._log.popleft())


def _response(message: bytes) -> pb.DriveResponse:
    try:
        return pb.DriveResponse.FromString(message)
    except DecodeError as error:
        raise _garbage(message) from error


def _garbage(message: bytes) -> SubjectFailed:
    shown = f", such as {message[:40]!r}" if message else ""
    return SubjectFailed(
        f"Stdout has what is no DriveResponse with its length before it{shown}. Logs belong on stderr."
    )
