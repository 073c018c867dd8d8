"""Where rates are counted that hold for a whole world: in the memory of one process, or in the database of several."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from interop_server.core.ratelimit import OwnBuckets, Take, Terms
from interop_server.storage.postgres.store import PostgresStore
from tests.manual_clock import ManualClock
from tests.stores import two_processes

NOW_MS = 1_700_000_000_000


@dataclass
class Counted:
    """The `Buckets` of a world, as each of its processes has them, and its clock."""

    clock: ManualClock
    places: Sequence[Any]
    stores: Sequence[PostgresStore]

    async def take(self, terms: Terms, *takes: Take, at: int = 0) -> list[int]:
        """Takes in one of the processes, each of which counts the same."""
        return await self.places[at % len(self.places)].take(terms, takes)


@asynccontextmanager
async def counted_by_two(folder: Path) -> AsyncIterator[Counted]:
    """Those of two processes on one database."""
    clock = ManualClock(NOW_MS)
    async with two_processes(folder, clock.now_ms) as stores:
        yield Counted(clock, [store.buckets for store in stores], stores)


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Counted]:
    """Those that several processes share."""
    async with counted_by_two(tmp_path) as counted:
        yield counted


@pytest.fixture(params=["memory", "postgres"])
async def counted(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Counted]:
    """Those of each kind."""
    if request.param == "postgres":
        async with counted_by_two(tmp_path) as counted:
            yield counted
    else:
        clock = ManualClock(NOW_MS)
        yield Counted(clock, [OwnBuckets(clock)], [])
