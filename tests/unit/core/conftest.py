"""Opens worlds, and closes them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.limits import Limits
from interop_server.core.store import Store
from tests.stores import open_store

from .world import BATS, OWLS, World, partner

BuildWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def build_world(tmp_path: Path) -> AsyncIterator[BuildWorld]:
    """Builds a world with these limits."""
    stores: list[Store] = []

    async def build(**limits: Any) -> World:
        stores.append(await open_store(tmp_path / f"store{len(stores)}"))
        world = World(stores[-1], tmp_path / "blobs", Limits(**limits))
        await world.register(partner(BATS), partner(OWLS))
        return world

    yield build
    for store in stores:
        await store.close()


@pytest.fixture
async def world(build_world: BuildWorld) -> World:
    """A world with the default limits."""
    return await build_world()
