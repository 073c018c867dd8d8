"""A simulator that the kit starts, with its record; knows no check."""

import itertools
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from interop_admin.client import AdminClient
from interop_conformance.record import Record
from interop_demo.processes import simulator
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys

_ROOM = 1_000_000_000
_LIMITS = {
    # The kit's people all come from one address, and publish, look up and send more than people do.
    "enlist_partner_burst": _ROOM,
    "enlist_identifier_burst": _ROOM,
    "enlist_address_burst": _ROOM,
    "login_client_burst": _ROOM,
    "login_proxy_burst": _ROOM,
    "prekey_publish_burst": _ROOM,
    "bundle_burst": _ROOM,
    "bundle_target_burst": _ROOM,
    "resolve_burst": _ROOM,
    "send_burst": _ROOM,
    # A client is told, and need not wait half a minute to show that it keeps to it.
    "keepalive_seconds": 3,
}


OPTIONS = [f"--limit={name}={value}" for name, value in _LIMITS.items()]
"""Options of `interopsim up`, of every simulator of the kit."""


class Simulator:
    """One simulator. An asynchronous context manager: starts and stops it.

    Args:
        folder: For its files; it must exist.
        seed: Its ids and keys follow from it.
        keys: The key of all messengers: making one takes long.
        arguments: Further options of `interopsim up`.
    """

    def __init__(self, folder: Path, seed: int, keys: SigningKeys, arguments: Sequence[str] = ()) -> None:
        log = folder / "simulator.log"
        self._child = simulator(log, None, ["--seed", str(seed), "--log-level", "warning", *OPTIONS, *arguments])
        self._stack = AsyncExitStack()
        self.folder = folder
        self.keys = keys
        self.record = Record()
        self._integrators = itertools.count(1)
        self._numbers = itertools.count(10_000_000)
        self.endpoint: Endpoint
        """Where clients that are judged connect."""
        self.endpoint_of_people: Endpoint
        """Where the kit's own people do."""

    async def __aenter__(self) -> Self:
        try:
            await self._start(self._stack)
            self.admin = await self._stack.enter_async_context(self._operator())
            self._stack.push_async_callback(self.record.end)
            await self.record.begin(self.admin)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._child)
        self.endpoint = self.endpoint_of_people = Endpoint.from_ready_line(json.dumps(dict(self._child.ready)))

    def _operator(self) -> AdminClient:
        return AdminClient(self.endpoint.admin)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def check_runs(self) -> None:
        """Does nothing while it runs.

        Raises:
            ChildFailed: It has ended.
        """
        self._child.check_runs()

    def next_integrator(self) -> int:
        """Returns the number of a messenger that nobody has had."""
        return next(self._integrators)

    def next_phone_number(self) -> str:
        """Returns a phone number in the EEA that nobody has had, with its `+`."""
        return f"+49151{next(self._numbers)}"
