"""Opens worlds, and closes them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

import pytest

from interop_server.core.journal import MAX_ENTRIES, Outcome
from interop_server.core.limits import Limits
from interop_server.ledger import load_ledger
from tests.stores import open_store

from .world import BATS, OWLS, World, partner

ACTIONS = {
    "message_request", "prekey.kem_downgrade", "prekey.take", "prekey.take_kem", "push", "reachability_ping", "report",
    "standing.lift", "standing.sanction", "standing.suspend", "stanza.message", "stanza.nack", "stanza.receipt",
    "stanza.retry_receipt", "stanza.typing", "timer.key_sets", "timer.unenlist",
}  # fmt: skip
"""What the rules record by themselves."""
BuildWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def build_world(tmp_path: Path) -> AsyncIterator[BuildWorld]:
    """Builds a world with these limits."""
    worlds: list[World] = []
    async with AsyncExitStack() as stores:  # also when no world comes of one: its thread would keep the process

        async def build(**limits: Any) -> World:
            store = await open_store(tmp_path / f"store{len(worlds)}")
            stores.push_async_callback(store.close)
            worlds.append(World(store, tmp_path / "blobs", Limits(**limits)))
            await worlds[-1].register(partner(BATS), partner(OWLS))
            return worlds[-1]

        yield build
    for world in worlds:
        check_journal(world)


def check_journal(world: World) -> None:
    """Whatever a test was about: each record names an action, a rule of the ledger and an outcome that there is."""
    entries, _ = world.journal.after(0, MAX_ENTRIES)
    assert {entry.requirement for entry in entries} <= load_ledger().rows.keys()
    assert {entry.outcome for entry in entries} <= set(get_args(Outcome))
    assert {entry.action for entry in entries if entry.outcome != "refused"} <= ACTIONS


@pytest.fixture
async def world(build_world: BuildWorld) -> World:
    """A world with the default limits."""
    return await build_world()
