"""Two nodes in one process, on a real database and a real bus, without the servers around them."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from interop_server.core.errors import Reason
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode
from interop_server.core.troubles import Troubles
from interop_server.nodes.address import BusAddress
from interop_server.nodes.bus import Bus
from interop_server.nodes.node import Node
from interop_server.rpc.connections import ClientTraits, ConnectionRegistry, LiveConnection
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.rng import SeededRng
from interop_server.storage.postgres.nodes import PostgresNodes
from interop_server.storage.postgres.store import PostgresStore
from tests.contract.store.conftest import BATS, NOW_MS, World, partner
from tests.nats import Server, nats_server
from tests.postgres import address_in, delete_in

SECONDS = 20.0
WORLD = sha256(b"this one").hexdigest()[:16]


@dataclass
class Place:
    """One node, and what it stands on."""

    store: PostgresStore
    registry: ConnectionRegistry
    node: Node
    clock: AdjustableClock
    pushed: list[int] = field(default_factory=list)
    """Accounts that it would have pushed to."""
    forgotten: list[int] = field(default_factory=list)
    """Partners whose key sets it would have dropped."""

    async def push(self, account: Account, reason: Reason | None) -> None:
        assert reason is None
        self.pushed.append(account.account_id)

    @property
    def nodes(self) -> PostgresNodes:
        assert self.store.nodes is not None
        return self.store.nodes

    async def connect(self, account: Account, mode: ConnectionMode = ConnectionMode.DIRECT) -> LiveConnection:
        return await self.node.open(facts(account, mode), ClientTraits(True))

    def connected(self) -> set[int]:
        """Who is connected at any node, as this one knows."""
        return set(self.node.connections.connected())


def facts(account: Account, mode: ConnectionMode = ConnectionMode.DIRECT) -> ConnectionFacts:
    return ConnectionFacts(account, mode, "203.0.113.7" if mode is ConnectionMode.PROXY else "", "ipv4:127.0.0.1:1", 1)


@pytest.fixture
def nats() -> Iterator[Server]:
    with nats_server() as server:
        yield server


@pytest.fixture
async def places(tmp_path: Path, nats: Server) -> AsyncIterator[tuple[Place, Place]]:
    """Two nodes that have joined. What they do in the background goes on."""
    address, places = await address_in(tmp_path), []
    for name in ("here", "there"):
        clock = AdjustableClock(NOW_MS)
        store = await PostgresStore.open(address, clock.now_ms, node=name)
        registry = ConnectionRegistry(SeededRng(len(places)))
        assert store.nodes is not None
        place = Place(store, registry, Node(store.nodes, registry, clock), clock)
        places.append(place)
        if len(places) == 1:
            await store.partners.put(partner(BATS))
        node = place.node
        bus = Bus(BusAddress.parse(nats.url), WORLD, Troubles(), node.hear, node.seat, node.others.answer)
        await place.node.start(bus, place.push, place.forgotten.append)
    here, there = places
    yield here, there
    for place in places:
        await place.node.stop()
        await place.store.close()
    await delete_in(tmp_path)


@pytest.fixture
def here(places: tuple[Place, Place]) -> Place:
    return places[0]


@pytest.fixture
def there(places: tuple[Place, Place]) -> Place:
    return places[1]


@pytest.fixture
async def ada(here: Place) -> Account:
    """A third-party user."""
    return await World(here.store).third_party_user(1)


@pytest.fixture
async def user(here: Place) -> Account:
    """A WhatsApp user."""
    return await World(here.store).whatsapp_user("491")
