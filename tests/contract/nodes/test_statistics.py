"""What nodes say of themselves to whoever asks one of them, on a real database and a real bus."""

import asyncio
from importlib.metadata import version
from typing import Any

import pytest

from interop_api.admin.v1alpha1 import admin_pb2
from interop_server.core.model import Account
from interop_server.core.operator.world import World
from interop_server.core.troubles import Troubles
from interop_server.rpc.admin import AdminServicer, Itself
from tests.contract.nodes.conftest import Place

NOBODY: Any = None
"""In place of what statistics do without: the operator's rules, and the call."""

pytestmark = pytest.mark.requirement("SIM-07")


def admin_of(place: Place, troubles: Troubles, uptime_ms: int) -> AdminServicer:
    """The admin service of a node that asks only what statistics need."""
    itself = Itself(lambda: {"push_sent": uptime_ms}, troubles, place.registry, lambda: uptime_ms)
    world = World(1, lambda: None, is_shared=True)
    return AdminServicer(NOBODY, place.store.count_rows, itself, world, place.node.others)


async def test_each_says_its_own(here: Place, there: Place, ada: Account, user: Account) -> None:
    """How long it runs, its release, who is connected, what is wrong with it, and that it is about to stop."""
    troubles = Troubles()
    asked, other = admin_of(here, Troubles(), 7), admin_of(there, troubles, 11)
    await there.connect(ada)
    await here.connect(user)
    troubles.meet("journal", "The disk is full.")
    there.registry.drain()
    while not here.node.others.names():  # noqa: ASYNC110 - a node finds out by itself who else is there
        await asyncio.sleep(0.01)
    statistics = await asked.GetStatistics(admin_pb2.GetStatisticsRequest(), NOBODY)
    release = version("interopsim")
    own, of_there = statistics.nodes
    assert own == admin_pb2.NodeStatistics(
        node="here", counted={"push_sent": 7}, uptime_ms=7, version=release, connections=1
    )
    assert of_there == admin_pb2.NodeStatistics(
        node="there",
        counted={"push_sent": 11},
        troubles={"journal": "The disk is full."},
        uptime_ms=11,
        version=release,
        connections=1,
        is_draining=True,
    )
    assert (statistics.uptime_ms, statistics.version, statistics.is_draining) == (7, release, False)
    assert (statistics.counted["push_sent"], statistics.connections, dict(statistics.troubles)) == (18, 2, {})
    alone = await other.GetStatistics(admin_pb2.GetStatisticsRequest(this_node_only=True), NOBODY)
    assert (alone.connections, alone.is_draining, list(alone.nodes)) == (1, True, [])
