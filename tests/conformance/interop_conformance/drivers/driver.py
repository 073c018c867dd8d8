"""A subject's driver, as the kit sees it: commands go out, results and events come in; knows no transport."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from interop_api.conformance.v1 import driver_pb2 as pb

MAX_EVENTS = 20_000
"""Most events of one device that are kept: more is a flood."""
MAX_EVENT_BYTES = 64 << 20


class SubjectFailed(Exception):
    """The subject's driver ended, hangs, floods, or speaks another protocol. The text is a sentence about it."""


class Link(Protocol):
    """A connection to a driver."""

    async def send(self, request: pb.DriveRequest) -> None:
        """Sends a request.

        Raises:
            SubjectFailed: The driver is gone, or does not read.
        """

    def responses(self) -> AsyncIterator[pb.DriveResponse]:
        """Yields what comes, to the end.

        Raises:
            SubjectFailed: What comes is no such message.
        """

    async def end(self) -> str:
        """Says how the driver ended, once it has; ends it otherwise."""

    async def close(self) -> None:
        """Ends the driver, and leaves nothing of it. Idempotent."""

    @property
    def log(self) -> str:
        """The end of what it wrote to stderr, where that is known."""


class DeviceEvents:
    """What one device has shown, in order."""

    def __init__(self) -> None:
        self.all: deque[pb.DeviceEvent] = deque()
        self._bytes = 0
        self._came = asyncio.Condition()

    async def add(self, event: pb.DeviceEvent) -> None:
        """Adds an event.

        Raises:
            SubjectFailed: There are too many.
        """
        self._bytes += event.ByteSize()
        if len(self.all) >= MAX_EVENTS or self._bytes > MAX_EVENT_BYTES:
            raise SubjectFailed(f"The driver floods: a device has sent over {len(self.all):,} events.")
        async with self._came:
            self.all.append(event)
            self._came.notify_all()

    async def wait(self, find: Callable[[], Any]) -> Any:
        """Waits until a look at the events finds something, and returns that."""
        async with self._came:
            return await self._came.wait_for(find)


class Driver:
    """Drives one run of a subject.

    Args:
        link: The connection to it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._given = 0
        self._results: dict[int, asyncio.Future[pb.CommandResult]] = {}
        self._devices: dict[str, DeviceEvents] = {}
        self._wants_token: dict[str, Callable[[], Awaitable[None]]] = {}
        self._reading = asyncio.create_task(self._read())
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: SubjectFailed | None = None
        """Why nothing can be asked of it any more."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it has failed."""
        self.description = pb.DescribeResult()
        """What it says of itself."""

    async def ask(self, device: str = "", *, seconds: float, **command: Any) -> pb.CommandResult:
        """Sends a command and returns its result.

        Raises:
            SubjectFailed: The driver is gone.
            TimeoutError: There was no result in time.
        """
        if self.failure is not None:
            raise self.failure
        self._given += 1
        request = pb.DriveRequest(id=self._given, device=device, **command)
        result: asyncio.Future[pb.CommandResult] = asyncio.get_running_loop().create_future()
        self._results[request.id] = result
        try:
            async with asyncio.timeout(seconds):
                await self._link.send(request)
                return await result
        finally:
            result.cancel()  # a late answer is still an answer to a known command

    def events(self, device: str, wants_token: Callable[[], Awaitable[None]] | None = None) -> DeviceEvents:
        """Returns what a device shows, from now on, and answers its wish for a token."""
        self._devices[device] = DeviceEvents()
        if wants_token is not None:
            self._wants_token[device] = wants_token
        return self._devices[device]

    def forget(self, device: str) -> None:
        """Keeps no more of a device."""
        self._devices[device] = DeviceEvents()
        self._wants_token.pop(device, None)

    @property
    def log(self) -> str:
        """The end of what it wrote to stderr."""
        return self._link.log

    async def close(self) -> None:
        """Ends the driver."""
        self._reading.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._reading, *self._tasks, return_exceptions=True)
        await self._link.close()
        self._fail(SubjectFailed("The kit has ended the driver."))

    async def _read(self) -> None:
        try:
            async for response in self._link.responses():
                await self._take(response)
            self._fail(SubjectFailed(await self._link.end()))
        except SubjectFailed as failure:
            self._fail(failure)
            await self._link.close()

    async def _take(self, response: pb.DriveResponse) -> None:
        kind = response.WhichOneof("kind")
        if kind == "result":
            if response.result.WhichOneof("outcome") is None:
                raise SubjectFailed("The driver sends a result without an outcome.")
            if (waiting := self._results.pop(response.result.id, None)) is None:
                wrong = "twice" if 0 < response.result.id <= self._given else "that nobody has given"
                raise SubjectFailed(f"The driver answers a command {response.result.id} {wrong}.")
            if not waiting.done():
                waiting.set_result(response.result)
        elif kind == "event":
            if (device := self._devices.get(response.event.device)) is None:
                raise SubjectFailed("The driver tells of a device that nobody has started.")
            await device.add(response.event)
            if response.event.HasField("token_wanted") and response.event.device in self._wants_token:
                self._begin(self._wants_token[response.event.device]())
        else:
            raise SubjectFailed("The driver sends a message that is neither a result nor an event.")

    def _begin(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            with suppress(SubjectFailed, TimeoutError):  # whoever waits for what the token is for will see it
                await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, failure: SubjectFailed) -> None:
        if self.failure is not None:
            return
        self.failure = failure
        for waiting in self._results.values():
            if not waiting.done():
                waiting.set_exception(failure)
                waiting.exception()  # somebody may have stopped waiting
        if not self.gone.done():
            self.gone.set_result(None)
