"""Names that one node holds at a time: what becomes of them when nodes, their calls, or the database end."""

import asyncio
import gc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.storage import StoreAddress
from interop_server.storage.postgres import holds as holds_module
from interop_server.storage.postgres.holds import PostgresHolds
from interop_server.storage.postgres.session import Row, Session
from tests.postgres import ask, fresh_database, server_folder, url_of

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
    assert await there.take("blob", NAME) is False
    assert await there.take("upload", NAME) and await there.take("blob", OTHER_NAME)
    for node in (here, there, new_holds()):
        assert await node.held("blob", [NAME, OTHER_NAME, "ef" * 32]) == {NAME, OTHER_NAME}
        assert await node.held("upload", [NAME, OTHER_NAME]) == {NAME}
    assert await there.let_go("blob", NAME) is False
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
    assert await here.let_go("blob", NAME) is False
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


async def test_a_call_that_is_cancelled_while_it_fails_is_cancelled(
    new_holds: NewHolds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has cancelled it hears of nothing else, and the failure is not left for nobody to hear of."""
    here, unheard = new_holds(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, what: unheard.append(what))
    assert await here.take("blob", OTHER_NAME)
    may_fail, rows = asyncio.Event(), Session.rows

    async def failing(session: Session, sql: str, *values: Any) -> list[Row]:
        if "try" not in sql:
            return await rows(session, sql, *values)
        await may_fail.wait()
        raise asyncpg.TooManyConnectionsError("full")

    monkeypatch.setattr(Session, "rows", failing)
    taking = asyncio.create_task(here.take("blob", NAME))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.sleep(0)
    may_fail.set()
    await asyncio.wait([taking])
    assert taking.cancelled()
    del taking
    gc.collect()
    assert unheard == []


async def test_without_the_database_nobody_gets_in(tmp_path: Path) -> None:
    """It is refused as what needs the database is."""
    holds = PostgresHolds(StoreAddress.parse(url_of(tmp_path)))
    for call in (holds.take("blob", NAME), holds.held("blob", [NAME])):
        with pytest.raises(Refusal) as caught:
            await call
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert not await holds.let_go("blob", NAME)


def _key_names(holds: PostgresHolds) -> dict[int, str]:
    """Names by the number by which they are locked: at both ends of what 64 bits with a sign hold."""
    salt = int(sha256(f"interopsim {holds._schema} blob".encode()).hexdigest()[:16], 16)
    return {key: f"{(key % (1 << 64)) ^ salt:016x}" + "0" * 48 for key in (0, 1, -1, (1 << 63) - 1, -(1 << 63))}


async def test_every_number_names_a_lock(new_holds: NewHolds) -> None:
    """Whatever a name's bits are: it is taken, seen and let go by all nodes alike."""
    here, there = new_holds(), new_holds()
    assert await here.take("other", NAME)  # so that it knows its schema
    for key, name in _key_names(here).items():
        assert await here.take("blob", name) and here._key("blob", name) == key
        assert not await there.take("blob", name)
        assert await there.held("blob", [name, NAME]) == {name}
        assert await here.let_go("blob", name)
        assert await there.take("blob", name)


async def test_what_is_held_already_is_held_once(new_holds: NewHolds) -> None:
    """A call that was cancelled may have taken it: letting go once is enough."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME) and await here.take("blob", NAME)
    assert await here.let_go("blob", NAME)
    assert await there.take("blob", NAME)


async def test_a_node_waits_for_so_many_turns(new_holds: NewHolds, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not wait looks once; one that waits looks at the end, too, and sleeps in between only."""
    here, there, slept = new_holds(), new_holds(), list[float]()
    assert await here.take("blob", NAME)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            assert await here.let_go("blob", NAME)

    monkeypatch.setattr(holds_module, "TURNS", 3)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert not await there.take("blob", NAME)
    assert slept == []
    assert not await there.take("blob", NAME, waits=True)
    assert slept == [0.05, 0.05]
    assert await there.take("blob", NAME, waits=True)
    assert slept == [0.05, 0.05, 0.05]


async def test_locks_of_others_are_none_of_ours(new_holds: NewHolds) -> None:
    """Of the same number: in another database of the server, and one that is made of two numbers."""
    holds = new_holds()
    assert await holds.take("blob", OTHER_NAME)
    key = holds._key("blob", NAME)
    halves = [((key >> shift) & 0xFFFFFFFF) for shift in (32, 0)]
    signed = [half - (1 << 32) if half >> 31 else half for half in halves]
    async with fresh_database() as url:
        elsewhere, beside = await asyncpg.connect(url), await asyncpg.connect(url_of(server_folder()))
        await elsewhere.execute("SELECT pg_advisory_lock($1)", key)
        await beside.execute("SELECT pg_advisory_lock($1, $2)", *signed)
        assert await holds.held("blob", [NAME, OTHER_NAME]) == {OTHER_NAME}
        assert await holds.take("blob", NAME)
        await beside.close()
        await elsewhere.close()


async def test_who_asks_for_nothing_needs_no_database(tmp_path: Path) -> None:
    """Nothing is held, also where no database answers."""
    assert await PostgresHolds(StoreAddress.parse(url_of(tmp_path))).held("blob", []) == set()


async def test_who_disconnects_lets_go_of_all(new_holds: NewHolds) -> None:
    """And may come back."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME)
    await here.close()
    assert await there.take("blob", NAME, waits=True)
    assert await here.let_go("blob", NAME) is False
    assert await here.take("blob", OTHER_NAME)


class _Failing:
    """Stands for a server that fails a few times, each in one way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: BaseException) -> None:
        self.asked = 0
        left, rows = list(errors), Session.rows

        async def failing(session: Session, sql: str, *values: Any) -> list[Row]:
            if "advisory" not in sql:
                return await rows(session, sql, *values)
            self.asked += 1
            if left:
                raise left.pop(0)
            return await rows(session, sql, *values)

        monkeypatch.setattr(Session, "rows", failing)


async def test_a_lost_connection_is_made_again_once(new_holds: NewHolds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks have gone with it. A second loss is told, and so is an answer that does not come in time."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", OTHER_NAME)
    with monkeypatch.context() as patched:
        failing = _Failing(patched, OSError("gone"))
        assert await here.take("blob", NAME)
        assert failing.asked == 2
    assert await there.take("blob", OTHER_NAME, waits=True)
    for errors, asked in (((OSError("gone"), OSError("gone")), 2), ((TimeoutError(),), 1)):
        with monkeypatch.context() as patched:
            failing = _Failing(patched, *errors)
            with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE") as refused:
                await here.take("blob", "ef" * 32)
            assert failing.asked == asked
            assert str(refused.value.cause).startswith("the database cannot be used: ")
    assert await there.take("blob", NAME, waits=True)


async def test_a_server_that_says_no_is_asked_once(new_holds: NewHolds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is there: what it holds stays held. A fault of this program is not taken for the server's."""
    here, there = new_holds(), new_holds()
    assert await here.take("blob", NAME)
    with monkeypatch.context() as patched:
        failing = _Failing(patched, asyncpg.TooManyConnectionsError("full"))
        with pytest.raises(Refusal) as refused:
            await here.take("blob", OTHER_NAME)
        assert (failing.asked, refused.value.cause) == (1, "the database cannot be used: full")
        _Failing(patched, KeyError("fault"))
        with pytest.raises(KeyError):
            await here.take("blob", OTHER_NAME)
    assert not await there.take("blob", NAME)
    assert await here.let_go("blob", NAME)


async def test_letting_go_of_what_the_server_has_lost(new_holds: NewHolds, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone with the connection, which is given up; a fault of this program is none of the server's."""
    here, there = new_holds(), new_holds()
    for name in (NAME, OTHER_NAME):
        assert await here.take("blob", name)
    with monkeypatch.context() as patched:
        _Failing(patched, OSError("gone"))
        assert await here.let_go("blob", NAME) is False
    for name in (NAME, OTHER_NAME):
        assert await there.take("blob", name, waits=True)
    assert await here.take("blob", "ef" * 32)
    with monkeypatch.context() as patched:
        _Failing(patched, KeyError("fault"))
        with pytest.raises(KeyError):
            await here.let_go("blob", "ef" * 32)
