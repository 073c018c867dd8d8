"""Connections that a proxy keeps after its client has gone: how a test finds them, and that ours keeps none."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from interop_api.admin.v1 import admin_pb2
from interop_client.third_party import ThirdPartyClient
from partner_server import proxy
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS, refused

pytestmark = pytest.mark.requirement("PRX-04")


async def connection_of(world: World, client: ThirdPartyClient) -> admin_pb2.Connection | None:
    """What the server lists of a client's connection; None when it has none."""
    listed = {connection.jid: connection for connection in await world.admin.list_connections()}
    return listed.get(client.jid)


async def wait_until_gone(world: World, client: ThirdPartyClient) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await connection_of(world, client) is not None:
            pass


@pytest_asyncio.fixture
async def keeps_connections(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Makes the messenger's proxy misbehave: it keeps a client's connection to the server until the event is set."""
    may_end = asyncio.Event()

    class KeepingRelay(proxy._Relay):
        async def _from_client(self) -> proxy.Ended | None:
            await super()._from_client()
            await may_end.wait()
            return None

    monkeypatch.setattr(proxy, "_Relay", KeepingRelay)
    yield may_end
    may_end.set()


async def test_a_proxy_that_keeps_its_clients_connection_is_found(
    world: World, keeps_connections: asyncio.Event
) -> None:
    """The server cannot know; who has closed the client says so, and reads which connections are still there.

    1. Carol's app is closed, and her messenger's proxy keeps her connection.
    2. The test, which knows, tells the operator's interface: the connection is listed as outliving its client.
    3. Carol's app is open again: nothing is reported any more; closed once more, her messenger ends the connection.
    """
    carol = await world.third_party_by_proxy("carol", QUIET)
    opened = await connection_of(world, carol)
    assert opened is not None and not opened.HasField("client_closed_at_ms")
    await carol.close()
    await world.admin.observe_client(carol.jid, is_open=False)
    outlives = await connection_of(world, carol)
    assert outlives is not None and outlives.connected_at_ms == opened.connected_at_ms
    assert outlives.client_closed_at_ms >= opened.connected_at_ms
    await world.admin.observe_client(carol.jid, is_open=False)
    assert await connection_of(world, carol) == outlives, "the first time counts"

    await carol.connect()
    again = await connection_of(world, carol)
    assert again is not None and not again.HasField("client_closed_at_ms")
    keeps_connections.set()
    await carol.close()
    await wait_until_gone(world, carol)


async def test_an_open_client_takes_the_report_back(world: World) -> None:
    """Whoever said that it was closed was wrong."""
    bob = await world.third_party("bob", QUIET)
    await world.admin.observe_client(bob.jid, is_open=False)
    await world.admin.observe_client(bob.jid, is_open=True)
    connection = await connection_of(world, bob)
    assert connection is not None and not connection.HasField("client_closed_at_ms")


async def test_our_proxy_keeps_nothing(world: World) -> None:
    """What is observed of a client whose connection is over changes nothing; only an account can be observed."""
    carol = await world.third_party_by_proxy("carol", QUIET)
    await carol.close()
    await wait_until_gone(world, carol)
    await world.admin.observe_client(carol.jid, is_open=False)
    assert await connection_of(world, carol) is None
    for jid in ("", "carol", f"{world.integrator}-12345@interop"):
        with refused("NOT_REGISTERED", jid):
            await world.admin.observe_client(jid, is_open=False)
