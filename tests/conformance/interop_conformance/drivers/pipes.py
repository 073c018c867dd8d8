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
HELD_SECONDS = 1.0
"""How long its pipes are read once it has ended: what it wrote is there by then, and somebody else may hold them."""
_BUFFER_BYTES = 64 << 10
_LOG_BYTES = 64 << 10
_SHOWN_LOG_CHARACTERS = 4_000


class CommandUnusable(Exception):
    """The driver's command cannot be started. The text is a sentence."""


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Says when a process has ended, and when its stdout has: somebody else may hold that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=_BUFFER_BYTES, loop=loop)
        self.exited = asyncio.Event()
        self.stdout_ended = asyncio.Event()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        super().pipe_connection_lost(fd, exc)
        if fd == 1:
            self.stdout_ended.set()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Pipes:
    """A child process. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, protocol: _Protocol) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._log: deque[bytes] = deque()
        self._protocol = protocol
        self._has_outstayed = False
        self._logging = asyncio.create_task(self._keep_log(process.stderr))
        self._watching = asyncio.create_task(self._watch())
        self._is_closed = False
        self._closing = asyncio.Lock()

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Pipes":
        """Starts a driver in a session of its own, so that all that it starts can be ended.

        Raises:
            CommandUnusable: There is no such program, or it may not be run.
        """
        loop = asyncio.get_running_loop()
        try:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(loop),
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise CommandUnusable(f"`{shlex.join(command)}` cannot be started: {error}.") from error
        return cls(asyncio.subprocess.Process(transport, protocol, loop), protocol)

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
        if self._has_outstayed:
            return "The driver has closed its stdin or its stdout, and did not end: the kit has ended it."
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
        discarding = asyncio.create_task(self._discard())
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._protocol.exited.wait()
        self._has_outstayed = not self._protocol.exited.is_set()
        with suppress(ProcessLookupError, PermissionError):  # what it has started, too
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):  # somebody whom it has sent away may hold its pipes
            async with asyncio.timeout(HELD_SECONDS):
                await self._process.wait()
                await asyncio.shield(self._logging)
        for task in (discarding, self._logging):
            task.cancel()
        await asyncio.gather(discarding, self._logging, return_exceptions=True)
        self._process._transport.close()  # type: ignore[attr-defined] # nobody else closes pipes that somebody holds

    async def _watch(self) -> None:
        """Ends all when the process has ended, and somebody whom it has left behind holds its stdout."""
        await self._protocol.exited.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(HELD_SECONDS):
                await self._protocol.stdout_ended.wait()
                return
        await self.close()

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
