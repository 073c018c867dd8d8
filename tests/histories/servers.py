"""What stories are played on: a server in this process, or several nodes of one world, all of it; knows no story."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from interop_admin.client import AdminClient
from interop_api.v1 import (
    account_pb2_grpc,
    enlistment_pb2_grpc,
    integrity_pb2_grpc,
    interop_pb2_grpc,
    prekeys_pb2_grpc,
)
from interop_server.app import Simulator
from interop_server.config import Config
from interop_server.core.limits import Limits
from interop_server.nodes.address import BusAddress
from interop_server.runtime.clock import AdjustableClock
from interop_server.storage import StoreAddress
from tests.nats import nats_server
from tests.postgres import fresh_database

KNOWN_SECONDS = 30.0
"""How long it may take that a server knows who is connected."""
START_MS = 1_800_000_000_000
_LOOPBACK = "127.0.0.1:0"


@dataclass(frozen=True)
class Surface:
    """Where one server is reached."""

    admin: AdminClient
    channel: grpc.aio.Channel
    enlisting: "enlistment_pb2_grpc.EnlistmentServiceAsyncStub"
    interop: "interop_pb2_grpc.InteropServiceAsyncStub"
    prekeys: "prekeys_pb2_grpc.PreKeyServiceAsyncStub"
    integrity: "integrity_pb2_grpc.IntegrityServiceAsyncStub"
    accounts: "account_pb2_grpc.AccountServiceAsyncStub"


class Servers:
    """The servers of one world. Their clock stands still.

    Args:
        surfaces: Each server.
        now_ms: Where it stands.
    """

    def __init__(self, surfaces: Sequence[Surface], now_ms: int) -> None:
        self._surfaces = surfaces
        self.now_ms = now_ms
        self._rng = random.Random(0)

    @property
    def any(self) -> Surface:
        """One of them, by chance."""
        return self._rng.choice(self._surfaces)

    def begin_again(self) -> None:
        """Has chance choose for the same story the same as before."""
        self._rng.seed(0)

    async def know(self, jids: frozenset[str]) -> None:
        """Waits until each of them knows that just these are connected.

        Raises:
            AssertionError: One does not find it out.
        """
        known: set[str] = set()
        try:
            async with asyncio.timeout(KNOWN_SECONDS):
                for surface in self._surfaces:
                    while (known := {each.jid for each in await surface.admin.list_connections()}) != jids:
                        pass
        except TimeoutError as error:
            raise AssertionError(f"a server takes {known} for connected, and {set(jids)} are") from error

    async def know_soon(self, jids: frozenset[str]) -> None:
        """The same where several must tell each other; one alone knows it already."""
        if len(self._surfaces) > 1:
            await self.know(jids)


async def open_servers(stack: AsyncExitStack, folder: Path, limits: Limits, nodes: int) -> Servers:
    """Starts them; the stack stops them."""
    if nodes == 1:
        config = Config(_LOOPBACK, _LOOPBACK, _LOOPBACK, folder / "histories.db", limits=limits)
        return Servers([await _start(stack, config, AdjustableClock(START_MS))], START_MS)
    bus = BusAddress.parse(stack.enter_context(nats_server()).url)
    store = StoreAddress.parse(await stack.enter_async_context(fresh_database()))
    blobs = (folder / "blobs").as_uri()
    surfaces = []
    for number in range(1, nodes + 1):
        config = Config(
            _LOOPBACK,
            _LOOPBACK,
            _LOOPBACK,
            store=store,
            bus=bus,
            blobs=blobs,
            node=f"node-{number}",
            limits=limits,
        )
        surfaces.append(await _start(stack, config, AdjustableClock()))
    frozen = await surfaces[0].admin.freeze_clock()
    return Servers(surfaces, frozen.clock.now_ms)


async def _start(stack: AsyncExitStack, config: Config, clock: AdjustableClock) -> Surface:
    simulator = Simulator(config, clock)
    addresses = await simulator.start()
    stack.push_async_callback(simulator.stop)
    admin = await stack.enter_async_context(AdminClient(addresses.admin))
    channel = grpc.aio.insecure_channel(addresses.grpc)
    stack.push_async_callback(channel.close)
    return Surface(
        admin,
        channel,
        enlistment_pb2_grpc.EnlistmentServiceStub(channel),
        interop_pb2_grpc.InteropServiceStub(channel),
        prekeys_pb2_grpc.PreKeyServiceStub(channel),
        integrity_pb2_grpc.IntegrityServiceStub(channel),
        account_pb2_grpc.AccountServiceStub(channel),
    )
