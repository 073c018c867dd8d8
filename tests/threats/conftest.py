"""A simulator of their own for the attacks, and what they say in the report."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from interop_demo.processes import Child
from tests.e2e.conftest import endpoint, second_world, shared_simulator, signing_keys, world
from tests.threats.report import Attack

__all__ = ["attack", "endpoint", "second_world", "signing_keys", "simulator_process", "world"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Child]:
    """A fresh one for each threat: its memory is not that of what other tests have left in it."""
    async with shared_simulator(tmp_path_factory.mktemp("simulator")) as child:
        yield child


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Attack:
    """Where a test says what it tries and what holds."""
    return Attack(request.node)
