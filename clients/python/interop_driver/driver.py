"""A run: takes requests, does them on devices, and sends results and events; knows no transport.

Source: interop_api/conformance/v1/driver.proto.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.errors import ConnectionEnded
from interop_driver.commands import COMMANDS
from interop_driver.device import Device
from interop_driver.outcomes import Unsupported, WrongCommand, outcome_of, result_of

MAX_DEVICES = 64
MAX_COMMANDS = 64
"""Most commands under way at once: then no more requests are read."""
MAX_WAITING = 64
"""Most messages that wait for the kit to read them: then devices wait too."""
GRACE_SECONDS = 5.0
"""How long commands may take to end after the last request."""
SEND_SECONDS = 1.0
"""How long the kit may take to read the last results."""
FEATURES = (
    pb.CLIENT_FEATURE_DIRECT,
    pb.CLIENT_FEATURE_PROXY,
    pb.CLIENT_FEATURE_MEDIA,
    pb.CLIENT_FEATURE_REPLIES,
    pb.CLIENT_FEATURE_REACTIONS,
    pb.CLIENT_FEATURE_EDITS,
    pb.CLIENT_FEATURE_DELETIONS,
    pb.CLIENT_FEATURE_TYPING,
    pb.CLIENT_FEATURE_READ_RECEIPTS,
    pb.CLIENT_FEATURE_REACHABILITY_PINGS,
    pb.CLIENT_FEATURE_REPORTING_TOKENS,
)

_log = logging.getLogger(__name__)

_DEVICE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_OWN = ("describe", "start_device", "stop_device")
"""Commands that no device does."""

Send = Callable[[pb.DriveResponse], Awaitable[None]]
"""Sends a message to the kit, and returns when there is room for the next.

Raises:
    OSError: The kit is gone.
"""


class Driver:
    """One run, with devices of its own.

    Args:
        folder: For what the devices save; it must be empty.
        send: Sends a message.
    """

    def __init__(self, folder: Path, send: Send) -> None:
        self._folder = folder
        self._send = send
        self._devices: dict[str, Device] = {}
        self._started = 0
        self._room = asyncio.Semaphore(MAX_COMMANDS)
        self._commands: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._waiting: asyncio.Queue[pb.DriveResponse] = asyncio.Queue(MAX_WAITING)

    async def run(self, requests: AsyncIterator[pb.DriveRequest]) -> None:
        """Does requests until there are no more, then what is under way, and ends the devices.

        Raises:
            Exception: What the requests raise; the devices are ended all the same.
        """
        reading, writing = asyncio.create_task(self._read(requests)), asyncio.create_task(self._write())
        try:
            await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await self._finish()
        finally:
            await _cancel(reading, *self._commands, writing)
            discarding = asyncio.create_task(self._discard())  # so that no device waits for a kit that does not read
            await self._stop_all()
            await _cancel(discarding)
        if not reading.cancelled():
            reading.result()

    async def _stop_all(self) -> None:
        ends = await asyncio.gather(*(device.stop() for device in self._devices.values()), return_exceptions=True)
        for error in ends:
            if isinstance(error, Exception):
                _log.error("a device could not be ended", exc_info=error)

    async def _read(self, requests: AsyncIterator[pb.DriveRequest]) -> None:
        async for request in requests:
            await self._room.acquire()
            task = asyncio.create_task(self._perform(request))
            self._commands.add(task)
            task.add_done_callback(self._has_ended)

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._commands.discard(task)
        self._room.release()

    async def _finish(self) -> None:
        """Waits for the commands under way, and until their results are sent; not for ever: the kit may not read.

        A command that does not end in time has failed, and that is its result.
        """
        if self._commands:
            await asyncio.wait(self._commands, timeout=GRACE_SECONDS)
        self._is_over = True
        for task in self._commands:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.gather(*self._commands)
                await self._waiting.join()

    async def _write(self) -> None:
        while True:
            response = await self._waiting.get()
            try:
                await self._send(response)
            except OSError:
                return
            self._waiting.task_done()

    async def _discard(self) -> None:
        while True:
            await self._waiting.get()

    async def _perform(self, request: pb.DriveRequest) -> None:
        try:
            outcome = await self._outcome(request)
        except asyncio.CancelledError:
            if self._is_over:
                outcome = outcome_of(TimeoutError(f"No more was asked, and it did not end within {GRACE_SECONDS:g} s."))
            elif (task := asyncio.current_task()) is None or task.cancelling():
                raise
            else:  # nobody has cancelled the command: another one, `restart` say, has ended the calls of its client
                outcome = outcome_of(ConnectionEnded("CLOSED", "Another command has ended the client meanwhile."))
        except Exception as error:  # noqa: BLE001 - every command is answered, whatever its client does
            outcome = outcome_of(error)
        await self._waiting.put(result_of(request.id, outcome))

    async def _outcome(self, request: pb.DriveRequest) -> Message | None:
        name = request.WhichOneof("command")
        if name == "describe":
            return _description()
        if name == "start_device":
            self._start(request.device, request.start_device)
            return None
        if name == "stop_device":
            await self._stop(request.device)
            return None
        if name is None:
            raise Unsupported("The driver knows no such command.")
        if (device := self._devices.get(request.device)) is None:
            raise WrongCommand(f"There is no device {request.device!r}: start it first.")
        return await COMMANDS[name](device, getattr(request, name))

    def _start(self, name: str, command: pb.StartDeviceCommand) -> None:
        if not _DEVICE_NAME.fullmatch(name):
            raise WrongCommand("The name of a device is 1 to 64 letters, digits, `-` and `_`.")
        if name in self._devices:
            raise WrongCommand(f"There is a device {name!r} already: stop it first.")
        if len(self._devices) >= MAX_DEVICES:
            raise WrongCommand(f"There are {MAX_DEVICES} devices, the most that there can be.")
        self._started += 1
        folder = self._folder / f"device-{self._started}"
        self._devices[name] = Device(name, command, folder, self._waiting.put)

    async def _stop(self, name: str) -> None:
        if (device := self._devices.pop(name, None)) is not None:
            await device.stop()


def _description() -> pb.DescribeResult:
    return pb.DescribeResult(
        name="interop_client",
        version=version("interopsim"),
        features=FEATURES,
        commands=sorted((*_OWN, *COMMANDS)),
        max_devices=MAX_DEVICES,
    )


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
