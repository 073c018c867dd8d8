"""The client that is judged: how it is started, and started anew when it has ended; knows no check."""

import asyncio
import shlex
from collections.abc import Callable, Coroutine
from typing import Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance.drivers.driver import Driver, Link, SubjectFailed
from interop_conformance.drivers.pipes import CommandUnusable, Pipes
from interop_conformance.drivers.service import DriverUnreachable, Service

DESCRIBE_SECONDS = 20.0
"""How long a driver may take to start and say what it is, before `--time-factor`."""
MAX_DEVICES = 16
"""Most devices that the kit has at once, whatever the driver takes."""

__all__ = ["ClientSubject", "CommandUnusable", "DriverUnreachable", "feature_names", "links_to"]

Open = Callable[[], Coroutine[Any, Any, Link]]
"""Opens a connection to the subject's driver: a process, or a stream, of its own."""


def links_to(command: str, address: str) -> Open:
    """Returns what opens a driver: that of a command, or else the one at an address."""

    async def start() -> Link:
        return await Pipes.start(shlex.split(command))

    async def connect() -> Link:
        return await Service.open(address)

    return start if command else connect


class ClientSubject:
    """A client, behind a driver.

    Args:
        open: Opens a connection to a driver.
        time_factor: By how much longer it may take.
    """

    def __init__(self, open: Open, time_factor: float = 1.0) -> None:
        self._open = open
        self._time_factor = time_factor
        self._shared: Driver | None = None
        self._turn = asyncio.Lock()
        self.description = pb.DescribeResult()
        """What it says of itself."""

    async def begin(self) -> None:
        """Starts it for the first time, and asks what it is.

        Raises:
            CommandUnusable, DriverUnreachable: It cannot be started, or reached.
            SubjectFailed: It does not say.
        """
        await self.shared()

    async def shared(self) -> Driver:
        """Returns the driver that checks share; a new one when the last has failed.

        Raises:
            SubjectFailed: It does not say what it is.
        """
        async with self._turn:
            if self._shared is None or self._shared.failure is not None:
                if self._shared is not None:
                    await self._shared.close()
                self._shared = await self.fresh()
                self.description = self._shared.description
            return self._shared

    async def fresh(self) -> Driver:
        """Starts a driver of its own, which the caller closes.

        Raises:
            SubjectFailed: It does not say what it is.
        """
        driver = Driver(await self._open())
        try:
            result = await driver.ask(describe=pb.DescribeCommand(), seconds=DESCRIBE_SECONDS * self._time_factor)
            if not result.HasField("description"):
                raise SubjectFailed("The driver does not answer `describe` with what it is.")
            driver.description = result.description
        except TimeoutError:
            await driver.close()
            raise SubjectFailed("The driver does not answer `describe`.") from None
        except BaseException:
            await driver.close()
            raise
        return driver

    async def close(self) -> None:
        """Ends it."""
        if self._shared is not None:
            await self._shared.close()

    @property
    def name(self) -> str:
        """Its name and version, for people."""
        return f"{self.description.name[:64]} {self.description.version[:64]}".strip() or "a client"

    @property
    def features(self) -> frozenset[str]:
        """What it can do beside the base, as `ClientFeature` names it without its prefix, in lower case."""
        return feature_names(self.description)

    @property
    def devices(self) -> int:
        """How many devices may be in use at once."""
        return max(1, min(self.description.max_devices, MAX_DEVICES))


def feature_names(description: pb.DescribeResult) -> frozenset[str]:
    """Returns the features that a driver says its client has; those that are newer than the kit are left out."""
    known = set(pb.ClientFeature.values())
    return frozenset(
        pb.ClientFeature.Name(each).removeprefix("CLIENT_FEATURE_").lower()
        for each in description.features
        if each in known
    )
