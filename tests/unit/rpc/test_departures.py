"""Connections that are over: noted, forgotten, once each, whatever becomes of the call that they were."""

import asyncio
import logging
from typing import Any

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode
from interop_server.rpc.connections import ClientTraits, ConnectionRegistry, LiveConnection
from interop_server.rpc.departures import Departures
from interop_server.rpc.entrance import OwnEntrance
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

pytestmark = pytest.mark.requirement("LIF-01", "LIF-04")


class SlowAbsence:
    """Stands for the rules, whose store is slow or full: keeps what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, Reason | None]] = []
        self.may_go_on = asyncio.Event()
        self.error: Exception | None = None

    async def begin(self, account: Account) -> None:
        await self.may_go_on.wait()
        if self.error:
            raise self.error
        self.told.append(("begin", account.account_id, None))

    async def send(self, account: Account, reason: Reason | None) -> None:
        self.told.append(("push", account.account_id, reason))


class Scene:
    def __init__(self) -> None:
        self.registry = ConnectionRegistry(SeededRng(1))
        self.absence = SlowAbsence()
        journal = Journal(ManualClock(0), SeededRng(2))
        absence: Any = self.absence
        self.departures = Departures(OwnEntrance(self.registry), absence, absence, journal)
        account = Account(7, "1-7@interop", 1, "ada", bytes(32))
        self.live: LiveConnection = self.registry.open(
            ConnectionFacts(account, ConnectionMode.DIRECT, "", "", 0), ClientTraits(True)
        )


async def test_a_connection_is_noted_before_it_is_forgotten() -> None:
    """Whoever sees that an account is not connected finds the time from which that is so."""
    scene = Scene()
    closing = asyncio.create_task(scene.departures.close(scene.live))
    await asyncio.sleep(0)
    assert scene.registry.connected() == {7}
    scene.absence.may_go_on.set()
    await closing
    assert scene.registry.connected() == set()
    assert scene.absence.told == [("begin", 7, None), ("push", 7, None)]
    await scene.departures.close(scene.live)
    assert len(scene.absence.told) == 2


async def test_a_cancelled_call_does_not_keep_its_connection() -> None:
    """Twice begun is once done, and whoever stops the server can wait for it."""
    scene = Scene()
    for _ in range(2):
        closing = asyncio.create_task(scene.departures.close(scene.live))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
    assert scene.registry.connected() == {7}
    scene.absence.may_go_on.set()
    await scene.departures.settle()
    assert scene.registry.connected() == set()
    assert scene.absence.told == [("begin", 7, None), ("push", 7, None)]


async def test_a_store_that_fails_does_not_keep_the_connection() -> None:
    """Its session token dies all the same."""
    scene = Scene()
    scene.absence.error = OSError("disk full")
    scene.absence.may_go_on.set()
    with pytest.raises(OSError, match="disk full"):
        await scene.departures.close(scene.live)
    assert scene.registry.connected() == set()


@pytest.mark.parametrize(
    ("error", "has_trace"), [(Refusal(Reason.STORAGE_UNAVAILABLE), False), (OSError("disk full"), True)]
)
async def test_a_database_that_is_away_is_no_stack_trace(
    error: Exception, has_trace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a sentence, like wherever else somebody meets it; what nobody expects is logged as a whole."""
    caplog.set_level(logging.INFO)
    scene = Scene()
    scene.absence.error = error
    scene.absence.may_go_on.set()
    with pytest.raises(type(error)):
        await scene.departures.close(scene.live)
    [record] = [record for record in caplog.records if "could not be noted" in record.getMessage()]
    assert (record.exc_info is not None) == has_trace


async def test_a_stopping_server_has_noted_everybody_already() -> None:
    """When draining began: by now the store may be closed."""
    scene = Scene()
    scene.registry.drain()
    await scene.departures.close(scene.live)
    assert scene.absence.told == [("push", 7, Reason.SERVER_DRAINING)]
