"""A kit's side of the driver protocol, over either transport: sends commands, and takes results and events."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf import proto
from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.conformance.v1 import driver_pb2_grpc

WAIT_SECONDS = 30.0
"""Longest wait for anything: nothing may hang."""


class Kit:
    """Drives one run.

    Args:
        send: Sends a request.
        responses: What the driver sends.
        address: Of the driver, when it is a service.
    """

    def __init__(
        self, send: Callable[[pb.DriveRequest], Any], responses: AsyncIterator[pb.DriveResponse], address: str = ""
    ) -> None:
        self._send = send
        self._ids = itertools.count(1)
        self._results: dict[int, asyncio.Future[pb.CommandResult]] = {}
        self._events: list[pb.DeviceEvent] = []
        self._came = asyncio.Condition()
        self.address = address
        """Of the driver, when it is a service."""
        self.used: set[str] = set()
        """Names of the commands that were sent."""
        self.reading = asyncio.create_task(self._read(responses))

    async def begin(self, device: str = "", **command: Any) -> "asyncio.Future[pb.CommandResult]":
        """Sends a command; gives its result, once it is there."""
        self.used |= set(command)
        request = pb.DriveRequest(id=next(self._ids), device=device, **command)
        result = self._results[request.id] = asyncio.get_running_loop().create_future()
        await self._send(request)
        return result

    async def ask(self, device: str = "", **command: Any) -> pb.CommandResult:
        """Sends a command and returns its result."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await (await self.begin(device, **command))

    async def do(self, device: str = "", **command: Any) -> Any:
        """Sends a command that must succeed, and returns what it returns."""
        result = await self.ask(device, **command)
        outcome = result.WhichOneof("outcome") or ""
        assert outcome not in ("", "refused", "failed", "unsupported"), result
        return getattr(result, outcome)

    async def event(self, device: str, kind: str) -> Any:
        """Takes the first event of a kind on a device, which may have come already."""

        def found() -> pb.DeviceEvent | None:
            wanted = (each for each in self._events if each.device == device and each.WhichOneof("kind") == kind)
            return next(wanted, None)

        async with asyncio.timeout(WAIT_SECONDS), self._came:
            await self._came.wait_for(found)
            event = found()
        assert event is not None
        self._events.remove(event)
        return getattr(event, kind)

    async def _read(self, responses: AsyncIterator[pb.DriveResponse]) -> None:
        async for response in responses:
            if response.HasField("result"):
                self._results.pop(response.result.id).set_result(response.result)
            else:
                async with self._came:
                    self._events.append(response.event)
                    self._came.notify_all()


def delimited(message: Message) -> bytes:
    """A message with its length before it."""
    buffer = BytesIO()
    proto.serialize_length_prefixed(message, buffer)
    return buffer.getvalue()


@asynccontextmanager
async def driver_process(
    folder: Path, *arguments: str, stdout: Any = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Starts a driver with its temporary files in a folder of the test's; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "interop_driver",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def messages_on(stream: asyncio.StreamReader) -> AsyncIterator[pb.DriveResponse]:
    """The messages on a pipe, until it ends."""
    while first := await stream.read(1):
        length = first[0] & 0x7F
        shift = 7
        while first[0] >= 0x80:
            first = await stream.readexactly(1)
            length |= (first[0] & 0x7F) << shift
            shift += 7
        yield pb.DriveResponse.FromString(await stream.readexactly(length))


@asynccontextmanager
async def over_pipes(folder: Path) -> AsyncIterator[Kit]:
    """Drives a child process on stdin and stdout; it must end with stdin, without a word too many."""
    async with driver_process(folder) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        stdin = process.stdin

        async def send(request: pb.DriveRequest) -> None:
            stdin.write(delimited(request))
            await stdin.drain()

        kit = Kit(send, messages_on(process.stdout))
        yield kit
        stdin.close()
        async with asyncio.timeout(WAIT_SECONDS):
            await kit.reading
            logged = (await process.stderr.read()).decode()
            assert await process.wait() == 0, logged
        assert "Traceback" not in logged, logged


@asynccontextmanager
async def over_grpc(folder: Path) -> AsyncIterator[Kit]:
    """Drives a child process as a gRPC service; a signal ends it."""
    async with driver_process(folder, "--listen", "127.0.0.1:0") as process:
        assert process.stdout is not None and process.stderr is not None
        async with asyncio.timeout(WAIT_SECONDS):
            address = json.loads(await process.stdout.readline())["driver"]
        async with grpc.aio.insecure_channel(address) as channel:
            call = driver_pb2_grpc.ClientDriverStub(channel).Drive()
            kit = Kit(call.write, aiter(call), address)
            yield kit
            await call.done_writing()
            async with asyncio.timeout(WAIT_SECONDS):
                await kit.reading
                assert await call.code() is grpc.StatusCode.OK
        process.terminate()
        async with asyncio.timeout(WAIT_SECONDS):
            logged = (await process.stderr.read()).decode()
            assert await process.wait() == 0, logged
        assert "Traceback" not in logged, logged


TRANSPORTS = {"pipes": over_pipes, "gRPC": over_grpc}
