"""What only the PostgreSQL engine promises: shared commits in which no call spoils another, and what is tried again."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest

from interop_server import crash_points
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Platform
from interop_server.core.troubles import Troubles
from interop_server.storage.postgres.engine import Engine
from interop_server.storage.postgres.session import Session
from interop_server.storage.postgres.store import PostgresStore
from tests.postgres import address_in, delete_in


@pytest.fixture
async def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def store(tmp_path: Path, said: list[tuple[str, str]]) -> AsyncIterator[PostgresStore]:
    troubles = Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    store = await PostgresStore.open(await address_in(tmp_path), None, troubles)
    yield store
    await store.close()
    await delete_in(tmp_path)


@pytest.fixture
def engine(store: PostgresStore) -> Engine:
    return store.engine


class Refused(Exception):
    """An operation's own error."""


async def put(name: str, db: Session) -> str:
    await db.change("INSERT INTO secret VALUES ($1, '')", name)
    return name


async def put_then_fail(name: str, db: Session) -> str:
    await put(name, db)
    raise Refused(name)


async def fail(name: str, db: Session) -> str:
    raise Refused(name)


async def put_all(db: Session, names: list[str]) -> list[str]:
    return [await put(name, db) for name in names]


async def names(engine: Engine) -> list[str]:
    return [name for (name,) in await engine.read(lambda db: db.rows("SELECT name FROM secret ORDER BY name"))]


async def note_statements(engine: Engine) -> list[str]:
    """Notes from now on what the connection that writes is told."""
    told: list[str] = []

    async def listen(db: Session) -> None:
        db.connection.add_query_logger(lambda record: told.append(record.query))

    await engine.write(listen)
    told.clear()
    return told


async def test_a_kill_can_come_before_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the tables are made, and for each write before it begins, before it is durable, and before it is told."""
    passed: list[str] = []
    monkeypatch.setattr(crash_points, "_fuse", SimpleNamespace(burn=passed.append))
    store = await PostgresStore.open(await address_in(tmp_path))
    assert passed[0] == "schema.create"
    passed.clear()
    await store.secrets.get_or_put("new", b"1")
    await store.close()
    assert passed == ["write.begin", "write.commit", "write.answer"]
    store = await PostgresStore.open(await address_in(tmp_path), is_emptied=True)
    assert passed[3:] == ["schema.empty"]
    await store.close()
    await delete_in(tmp_path)


async def test_calls_that_wait_share_one_commit(engine: Engine) -> None:
    """100 calls at once are one transaction, or two when the first did not wait."""
    told = await note_statements(engine)
    await asyncio.gather(*(engine.write(partial(put, f"{n:03}")) for n in range(100)))
    assert told.count("BEGIN") == told.count("COMMIT") <= 2
    assert len(await names(engine)) == 100


async def test_calls_of_one_batch_operation_run_as_one(engine: Engine) -> None:
    """Every caller gets the results of its own items."""
    runs: list[list[str]] = []

    async def put_counted(db: Session, items: list[str]) -> list[str]:
        runs.append(items)
        return await put_all(db, items)

    calls = [engine.write_batch(put_counted, [f"{n}{letter}" for letter in "abc"[:n]]) for n in range(4)]
    assert await asyncio.gather(*calls) == [[], ["1a"], ["2a", "2b"], ["3a", "3b", "3c"]]
    assert len(runs) < 4 and [item for run in runs for item in run] == ["1a", "2a", "2b", "3a", "3b", "3c"]


async def test_reads_of_one_batch_operation_run_as_one(engine: Engine) -> None:
    """While all connections are busy, what waits is answered together."""
    runs: list[list[int]] = []

    async def read(db: Session, items: list[int]) -> list[int]:
        runs.append(items)
        rows = await db.rows("SELECT unnest($1::bigint[])", items)
        return [number for (number,) in rows]

    results = await asyncio.gather(*(engine.read_batch(read, [n, n + 100]) for n in range(50)))
    assert results == [[n, n + 100] for n in range(50)]
    assert len(runs) < 25


@pytest.mark.parametrize("spoiler", [fail, put_then_fail])
async def test_a_failing_call_does_not_spoil_its_group(engine: Engine, spoiler: partial[str]) -> None:
    """Whether it fails before or after it wrote, it leaves nothing, and all others succeed."""
    calls = [
        engine.write(partial(put, "a")),
        engine.write(partial(spoiler, "b")),
        engine.write_batch(put_all, ["c", "d"]),
        engine.write(partial(put, "e")),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(1), Refused)
    assert results == ["a", ["c", "d"], "e"]
    assert await names(engine) == ["a", "c", "d", "e"]


async def test_a_failing_batch_call_does_not_spoil_the_calls_merged_with_it(engine: Engine) -> None:
    """A constraint refuses one of three callers' items: that caller gets the error, the others their results."""
    calls = [engine.write_batch(put_all, items) for items in (["a", "b"], ["c", "a"], ["d"])]
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, third) == (["a", "b"], ["d"])
    assert isinstance(second, asyncpg.UniqueViolationError)
    assert await names(engine) == ["a", "b", "d"]


async def test_a_write_is_visible_to_a_read_that_starts_after_it(engine: Engine) -> None:
    """Every time, while other writes are under way."""
    others = [asyncio.ensure_future(engine.write(partial(put, f"other{n}"))) for n in range(100)]
    for n in range(20):
        await engine.write(partial(put, f"{n}"))
        assert f"{n}" in await names(engine)
    await asyncio.gather(*others)


async def test_more_calls_than_fit_wait_for_their_turn(engine: Engine) -> None:
    """1,000 calls at once run in the order in which they were made."""
    order: list[int] = []

    async def note(number: int, db: Session) -> None:
        order.append(number)

    await asyncio.gather(*(engine.write(partial(note, n)) for n in range(1000)))
    assert order == list(range(1000))


async def test_a_cancelled_call_harms_no_other(engine: Engine) -> None:
    """Neither the calls beside it nor the closing."""
    calls = [asyncio.ensure_future(engine.write(partial(put, f"{n}"))) for n in range(5)]
    await asyncio.sleep(0)
    calls[1].cancel()
    calls[4].cancel()
    await asyncio.wait(calls)
    assert {"0", "2", "3"} <= set(await names(engine))
    calls = [asyncio.ensure_future(engine.write(partial(put, f"late{n}"))) for n in range(2)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await engine.close()


@pytest.mark.requirement("SIM-03")
async def test_commits_survive_a_power_cut(engine: Engine) -> None:
    """Each waits for the server's disk, whatever the server's own default is."""
    rows = await engine.write(lambda db: db.rows("SHOW synchronous_commit"))
    assert [tuple(row) for row in rows] == [("on",)]


_END_OWN_CONNECTION = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.mark.requirement("SIM-03")
async def test_a_connection_that_is_lost_before_the_commit_is_made_again(
    engine: Engine, said: list[tuple[str, str]]
) -> None:
    """The transaction left nothing, so it runs again as a whole, with the calls beside it; nobody notices."""
    tries: list[str] = []

    async def put_and_lose(name: str, db: Session) -> str:
        await put(name, db)
        tries.append(name)
        if len(tries) == 1:
            await db.rows(_END_OWN_CONNECTION)
        return name

    calls = [engine.write(partial(put, "a")), engine.write(partial(put_and_lose, "b")), engine.write(partial(put, "c"))]
    assert await asyncio.gather(*calls) == ["a", "b", "c"]
    assert (tries, await names(engine), said) == (["b", "b"], ["a", "b", "c"], [])


_END_AT_COMMIT = """
    CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(9); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER end_it AFTER INSERT ON secret DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.name = 'last') EXECUTE FUNCTION end_it();
"""


@pytest.mark.requirement("SIM-03")
async def test_a_commit_without_an_answer_is_refused_and_not_done_twice(
    engine: Engine, said: list[tuple[str, str]], store: PostgresStore
) -> None:
    """Nobody can know whether it happened: its calls are told when to try again, and it works again after a look."""
    runs: list[str] = []

    async def put_last(db: Session) -> str:
        runs.append("last")
        return await put("last", db)

    async def make(db: Session) -> None:
        await db.connection.execute(_END_AT_COMMIT)

    await engine.write(make)
    results = await asyncio.gather(engine.write(partial(put, "a")), engine.write(put_last), return_exceptions=True)
    assert [type(result) for result in results] == [Refusal, Refusal]
    for refusal in results:
        assert isinstance(refusal, Refusal) and refusal.reason is Reason.STORAGE_UNAVAILABLE
        assert refusal.retry_after_ms and refusal.cause and not refusal.detail
    assert runs == ["last"]
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
        await engine.write(partial(put, "too early"))
    await store.check()
    assert await engine.write(partial(put, "b")) == "b"
    assert await names(engine) == ["b"]
    [(part, sentence), end] = said
    assert part == "storage" and "cannot be used" in sentence and end == ("storage", "")


async def test_a_read_whose_connection_is_lost_runs_again(engine: Engine, said: list[tuple[str, str]]) -> None:
    """Reading leaves nothing."""
    tries: list[int] = []

    async def read_and_lose(db: Session) -> int:
        tries.append(1)
        if len(tries) == 1:
            await db.rows(_END_OWN_CONNECTION)
        return len(await db.rows("SELECT 1"))

    assert await engine.read(read_and_lose) == 1
    assert (len(tries), said) == (2, [])


async def test_the_character_that_no_text_can_hold_is_kept_as_another(store: PostgresStore) -> None:
    """The character 0: looked up it finds nothing, stored it is one that nobody writes; nothing fails for it."""
    assert await store.accounts.get("a\0b") is None
    assert await store.accounts.list_ends(["a\0b", "c"]) == {}
    user = await store.accounts.put_whatsapp_user("491@s.whatsapp.net", "491", bytes(32), Platform.IOS, 0)
    await store.blocklist.put(user.account_id, "a\0b")
    assert await store.blocklist.list_jids(user.account_id) == ["a\ufdd0b"]
    await store.blocklist.delete(user.account_id, "a\0b")
    assert await store.blocklist.list_jids(user.account_id) == []


async def test_a_number_that_is_far_too_large_harms_nobody(store: PostgresStore, said: list[tuple[str, str]]) -> None:
    """It is compared, and matches nothing. One that no column holds is a fault of this program, not of the server."""
    assert await store.partners.get(2**40) is None
    assert await store.partners.get_identifier_types([2**40]) == {}
    await store.prekeys.delete_one_time(1, [2**40])
    beside = asyncio.create_task(store.secrets.get_or_put("a", b"1"))
    with pytest.raises(asyncpg.DataError):
        await store.prekeys.delete_one_time(2**70, [1])
    assert await beside == b"1"
    assert said == []
