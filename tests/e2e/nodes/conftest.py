"""Two simulators that are one world, each a process: one PostgreSQL, one folder of blobs, one NATS server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from interop_admin.client import AdminClient
from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
from tests.e2e.recorded import RecordedAdmin
from tests.nats import Server, nats_server
from tests.postgres import fresh_database

SECONDS = 20.0
"""How long anything may take that must come about."""


@dataclass
class Nodes:
    """Two nodes, and what they meet on."""

    children: tuple[Child, Child]
    arguments: tuple[tuple[str, ...], tuple[str, ...]]
    nats: Server
    folder: Path

    def endpoint(self, number: int) -> Endpoint:
        """Where a node is."""
        return Endpoint.from_ready_line(json.dumps(dict(self.children[number].ready)))


async def _know_each_other(children: Sequence[Child]) -> None:
    """Waits until each node has seen that the others are there: it hears of it a moment after they have joined."""
    for child in children:
        async with AdminClient(str(child.ready["admin"])) as admin:

            async def knows_all(admin: AdminClient = admin) -> bool:
                return len((await admin.get_statistics()).nodes) == len(children)

            await come_about(knows_all)


@asynccontextmanager
async def two_nodes(folder: Path, options: Sequence[str] = ()) -> AsyncIterator[Nodes]:
    """Starts two nodes of a world of their own, with more options."""
    async with AsyncExitStack() as stack:
        nats = stack.enter_context(nats_server())
        url = await stack.enter_async_context(fresh_database())
        common = ("--store", url, "--bus", nats.url, "--blobs", f"file://{folder}", *options)
        arguments = tuple((*common, "--node", f"node-{number}") for number in (1, 2))
        children = tuple(
            recorded_simulator(folder / f"{number}.log", None, [*each]) for number, each in enumerate(arguments)
        )
        for child in children:
            await stack.enter_async_context(child)
        assert len(children) == len(arguments) == 2
        await _know_each_other(children)
        yield Nodes((children[0], children[1]), (arguments[0], arguments[1]), nats, folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """Two nodes for all tests of the session that leave them as they are."""
    async with two_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest_asyncio.fixture
async def own_nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    """Two nodes for a test that does something to them."""
    folder = tmp_path / "nodes"
    folder.mkdir()
    async with two_nodes(folder) as nodes:
        yield nodes


class Both:
    """One messenger of the test's own, as it is seen at either node."""

    def __init__(self, here: World, there: World) -> None:
        self.here = here
        self.there = there


@asynccontextmanager
async def at_both(nodes: Nodes, signing_keys: SigningKeys, folder: Path) -> AsyncIterator[Both]:
    """Registers a messenger at the first node; it is known at the second."""
    async with (
        open_world(nodes.endpoint(0), signing_keys, folder) as here,
        RecordedAdmin(nodes.endpoint(1).admin) as admin,
        AsyncExitStack() as stack,
    ):
        yield Both(here, World(here.integrator, nodes.endpoint(1), here.partner, admin, stack))


@pytest_asyncio.fixture
async def both(shared_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path) -> AsyncIterator[Both]:
    """A messenger in the shared world of two nodes."""
    async with at_both(shared_nodes, signing_keys, tmp_path / "partner") as both:
        yield both


async def come_about(condition: Callable[[], Awaitable[bool]]) -> None:
    """Asks a node again and again until something is so."""
    async with asyncio.timeout(SECONDS):
        while not await condition():
            pass
