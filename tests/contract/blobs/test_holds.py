"""Names that one node holds at a time: what becomes of them when nodes, their calls, or the database end."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.storage import StoreAddress
from interop_server.storage.postgres.holds import PostgresHolds
from tests.postgres import ask, server_folder, url_of

NAME, OTHER_NAME = "ab" * 32, "cd" * 32
END_ALL = """
    SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity USING (pid)
    WHERE application_name = 'interopsim holds' AND objid = {low}
"""

NewHolds = Callable[[], PostgresHolds]


async def test_a_name_is_held_by_one_node(new_holds: NewHolds) -> None:
    """Names and kinds are apart; every node sees what is held."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME)
    assert not await there.take("blob", NAME)
    assert await there.take("upload", NAME) and await there.take("blob", OTHER_NAME)
    for node in (here, there, new_holds()):
        assert await node.held("blob", [NAME, OTHER_NAME, "ef" * 32]) == {NAME, OTHER_NAME}
        assert await node.held("upload", [NAME, OTHER_NAME]) == {NAME}
    assert not await there.let_go("blob", NAME)
    assert await here.let_go("blob", NAME) and not await here.let_go("blob", NAME)
    assert await there.take("blob", NAME)


async def test_a_node_waits_for_its_turn(new_holds: NewHolds) -> None:
    """And gets it when the other lets go."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME)
    waiting = asyncio.create_task(there.take("blob", NAME, waits=True))
    assert await there.take("upload", NAME) and not waiting.done()
    assert await here.let_go("blob", NAME)
    assert await waiting


async def test_worlds_in_one_database_are_apart(new_holds: NewHolds) -> None:
    """They have schemas of their own."""
    stranger = PostgresHolds(StoreAddress.parse(url_of(server_folder())))
    assert await new_holds().take("blob", NAME)
    assert await stranger.held("blob", [NAME]) == set()
    assert await stranger.take("blob", NAME)
    await stranger.close()


async def test_who_loses_the_connection_holds_nothing_and_hears_of_it(new_holds: NewHolds) -> None:
    """Another node gets in; the next hold of the loser is a new one."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME)
    low = here._key("blob", NAME) & 0xFFFFFFFF
    await ask(url_of(server_folder()), END_ALL.format(low=low))
    assert await there.take("blob", NAME, waits=True)
    assert await here.take("blob", OTHER_NAME)
    assert not await here.let_go("blob", NAME)
    assert not await here.take("blob", NAME)
    assert await there.let_go("blob", NAME)
    assert await here.take("blob", NAME) and await here.let_go("blob", NAME)


@pytest.mark.parametrize("steps", range(8))
async def test_a_call_that_is_cancelled_leaves_the_name_free(new_holds: NewHolds, steps: int) -> None:
    """However far it got."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", OTHER_NAME)  # so that it is connected
    taking = asyncio.create_task(here.take("blob", NAME))
    for _ in range(steps):
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    if not taking.cancelled():  # it was done before
        assert await here.let_go("blob", NAME)
    assert await there.take("blob", NAME)


async def test_without_the_database_nobody_gets_in(tmp_path: Path) -> None:
    """It is refused as what needs the database is."""
    holds = PostgresHolds(StoreAddress.parse(url_of(tmp_path)))
    for call in (holds.take("blob", NAME), holds.held("blob", [NAME])):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert not await holds.let_go("blob", NAME)
