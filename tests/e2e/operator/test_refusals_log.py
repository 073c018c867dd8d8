"""After everything: no refusal of the session has left a stack trace in the simulator's log, and it still serves."""

from collections.abc import AsyncIterator

import pytest_asyncio

from interop_admin.client import AdminClient
from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def unharmed(simulator_process: Child) -> AsyncIterator[Child]:
    """The simulator; checked when all tests of the session have run."""
    yield simulator_process
    check_log(simulator_process)
    async with AdminClient(str(simulator_process.ready["admin"])) as admin:
        assert isinstance(await admin.list_partners(), list)  # none, when this file is all that ran


def check_log(simulator: Child) -> None:
    """Asserts that nothing unexpected was logged."""
    log = simulator.log.read_text()
    assert "Traceback" not in log, log[max(0, log.index("Traceback") - 1_000) :][:6_000]
    assert "SERVER_FAULT" not in log


async def test_the_simulator_is_unharmed(unharmed: Child, endpoint: Endpoint) -> None:
    """So far, and, by the fixture, at the end of the session."""
    check_log(unharmed)
    async with AdminClient(endpoint.admin) as admin:
        assert isinstance(await admin.list_connections(), list)
