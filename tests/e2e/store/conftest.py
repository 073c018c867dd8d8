"""The shared simulator of this folder keeps its store on a PostgreSQL server."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from interop_demo.processes import Child
from tests.e2e.conftest import shared_simulator
from tests.postgres import fresh_database


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Child]:
    """One simulator for all tests of this folder."""
    folder = tmp_path_factory.mktemp("simulator")
    async with (
        fresh_database() as url,
        shared_simulator(folder, ["--store", url, "--blobs", str(folder)]) as child,
    ):
        yield child
