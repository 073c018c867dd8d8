"""One end of the bus by itself: it can be closed at every moment."""

import asyncio

import pytest

from interop_server.core.troubles import Troubles
from interop_server.nodes.address import BusAddress
from interop_server.nodes.bus import Bus
from tests.contract.nodes.conftest import SECONDS, WORLD
from tests.nats import Server

AWAY = "nats://127.0.0.1:1"
TURNS = 60


async def nothing(_asked: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "away"])
async def test_it_can_be_closed_at_every_moment(nats: Server, *, is_there: bool) -> None:
    """While it connects, finds nobody, waits to try again: the library hides some cancellations."""
    address = BusAddress.parse(nats.url if is_there else AWAY)
    for turns in range(TURNS):
        bus = Bus(address, WORLD, Troubles(), lambda said: None, 1, nothing)
        opening = asyncio.create_task(bus.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(SECONDS):
            await bus.close()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
