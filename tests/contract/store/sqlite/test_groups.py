"""How the SQLite engine groups what waits, whose fault an error is, and what is left when it is closed."""

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import aiosqlite
import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.troubles import STORAGE, Troubles
from interop_server.storage.sqlite import engine as engine_module
from interop_server.storage.sqlite.database import prepare_database
from interop_server.storage.sqlite.engine import Engine, Operation
from interop_server.storage.sqlite.faults import Faults
from tests.contract.store.sqlite.test_engine import Refused, fail, names, put, put_all

Said = list[tuple[str, str]]


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def faults(said: Said) -> Faults:
    troubles = Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    return Faults("the file", troubles)


@pytest.fixture
def clock() -> list[int]:
    """What time it is."""
    return [1]


@pytest.fixture
def noted() -> list[int]:
    """The times of the transactions that have changed something."""
    return []


@pytest.fixture
async def engine(tmp_path: Path, faults: Faults, clock: list[int], noted: list[int]) -> AsyncIterator[Engine]:
    def finisher() -> Operation[None]:
        now = clock[0]
        return lambda db: noted.append(now)

    engine = Engine(faults, finisher)
    database = await prepare_database(tmp_path / "store.db")
    await engine.open(database.uri)
    yield engine
    await engine.close()
    database.release()


def fails_with(code: int) -> Callable[[sqlite3.Connection], None]:
    """An operation that has written when the file fails."""

    def operation(db: sqlite3.Connection) -> None:
        put("lost", db)
        error = sqlite3.OperationalError("it fails")
        error.sqlite_errorcode = code
        raise error

    return operation


async def behind(engine: Engine, *calls: Awaitable[object]) -> list[object]:
    """Has calls wait until all of them do, and returns their results, or what they raise."""
    may_end, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def gate(db: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(entered.set)
        may_end.wait(60)

    first = asyncio.ensure_future(engine.write(gate))
    await entered.wait()
    waiting = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    may_end.set()
    await first
    return await asyncio.gather(*waiting, return_exceptions=True)


async def test_who_has_gone_is_not_served(engine: Engine) -> None:
    """A call that was cancelled while it waited does not run."""
    calls = [asyncio.ensure_future(engine.write(partial(put, f"{n}"))) for n in range(4)]
    await asyncio.sleep(0)
    calls[1].cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert await names(engine) == ["0", "2", "3"]


async def test_two_calls_that_were_merged_fail_apart(engine: Engine) -> None:
    """One of two: the other has its result."""

    def check(db: sqlite3.Connection, items: list[int]) -> list[int]:
        if 0 in items:
            raise Refused("none")
        return items

    first, second = await behind(engine, engine.write_batch(check, [1]), engine.write_batch(check, [0]))
    assert (first, str(second)) == ([1], "none")


async def test_a_refusal_before_the_first_write_costs_the_others_nothing(engine: Engine) -> None:
    """They run once. What one wrote before it failed has all of them run again, each for itself."""
    runs = Counter[str]()

    def count(name: str, db: sqlite3.Connection) -> None:
        runs[name] += 1
        put(f"{name}{runs[name]}", db)

    def refuse_first(db: sqlite3.Connection) -> str:
        runs["refuses"] += 1
        if runs["refuses"] == 1:
            raise Refused
        return "done"

    def spoil(db: sqlite3.Connection) -> None:
        put("c", db)
        raise Refused

    await behind(engine, engine.write(partial(count, "a")), engine.write(partial(fail, "b")))
    assert runs == {"a": 1}
    results = await behind(engine, engine.write(partial(count, "a")), engine.write(refuse_first), engine.write(spoil))
    assert runs == {"a": 3, "refuses": 2}
    assert results[1] == "done" and isinstance(results[2], Refused)
    assert await names(engine) == ["a1", "a3"]


async def test_a_commit_that_fails_by_itself_fails_one_call(engine: Engine) -> None:
    """When each of a group has a transaction of its own."""

    def break_commit(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO jwks VALUES (999, '', 0)")

    def spoil(db: sqlite3.Connection) -> None:
        put("c", db)
        raise Refused

    results = await behind(engine, engine.write(break_commit), engine.write(spoil), engine.write(partial(put, "a")))
    assert [type(getattr(results[0], "__cause__", None)), type(results[1]), results[2]] == [
        sqlite3.IntegrityError,
        Refused,
        "a",
    ]
    assert await names(engine) == ["a"]


async def test_the_time_of_a_transaction_is_noted_if_it_changes_something(
    engine: Engine, clock: list[int], noted: list[int]
) -> None:
    """The time at which it began; reads, and writes that change nothing, leave none."""
    await engine.write(partial(put, "a"))
    clock[0] = 2
    await engine.write(lambda db: db.execute("DELETE FROM secret WHERE name = 'b'"))
    await names(engine)
    await engine.write(partial(put, "b"))
    assert noted == [1, 2]


@pytest.mark.requirement("SIM-03")
async def test_a_trouble_ends_when_all_of_a_group_was_written(engine: Engine, said: Said) -> None:
    """Not with a read, with nothing, or with a group in which another call met it."""
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
        await engine.write(fails_with(sqlite3.SQLITE_FULL))
    assert [part for part, _ in said] == [STORAGE]
    assert await names(engine) == []
    gone = asyncio.ensure_future(engine.write(partial(put, "gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    with pytest.raises(Refused):
        await engine.write(partial(fail, "b"))  # type: ignore[arg-type]
    await asyncio.gather(
        engine.write(partial(put, "a")), engine.write(fails_with(sqlite3.SQLITE_FULL)), return_exceptions=True
    )
    assert ("storage", "") not in said
    await engine.write(partial(put, "b"))
    assert said[-1] == (STORAGE, "")
    assert await names(engine) == ["a", "b"]


async def test_how_it_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without transactions of the library's own, with patience for a moment."""
    made: list[dict[str, object]] = []
    real = aiosqlite.connect

    def noted(database: str, **how: object) -> aiosqlite.Connection:
        made.append(how)
        return real(database, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(aiosqlite, "connect", noted)
    pragmas = ("cache_size", "wal_autocheckpoint", "temp_store", "secure_delete", "query_only")

    def settings(db: sqlite3.Connection) -> list[int]:
        return [db.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]

    engine, database = Engine(), await prepare_database(tmp_path / "store.db")
    await engine.open(database.uri)
    try:
        of_writer, of_reader = await engine.write(settings), await engine.read(settings)
    finally:
        await engine.close()
        database.release()
    for how in made:
        del how["factory"]
    assert made == [{"isolation_level": None, "timeout": 5.0, "uri": True, "cached_statements": 256}] * 2
    assert of_writer == [-16_000, 4_000, 2, 2, 0]
    assert of_reader[0::4] == [-2_000, 1]


@pytest.mark.parametrize("which", ["_WRITER_PRAGMAS", "_READER_PRAGMAS"])
async def test_what_cannot_be_opened_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Whether it is the connection that writes, or the one that reads: both are closed again."""
    await asyncio.to_thread(int)  # the loop's own worker, which it keeps
    database = await prepare_database(tmp_path / "store.db")
    before = set(threading.enumerate())
    monkeypatch.setattr(engine_module, which, ("no such = (",))
    with pytest.raises(sqlite3.OperationalError):
        await Engine().open(database.uri)
    for thread in set(threading.enumerate()) - before:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()
    database.release()


async def test_what_was_called_before_the_end_is_done_at_the_end(engine: Engine) -> None:
    """Reads as well as writes; then nothing more is taken."""
    calls = [asyncio.ensure_future(engine.write(partial(put, "a"))), asyncio.ensure_future(names(engine))]
    await asyncio.sleep(0)
    await engine.close()
    assert all(call.done() for call in calls)
    for call in (engine.read(partial(fail, "a")), engine.write(partial(put, "b")), engine.write_batch(put_all, ["c"])):
        with pytest.raises(ValueError, match="the store is closed"):
            await call  # type: ignore[misc]
    await engine.close()


CODES = {
    sqlite3.SQLITE_BUSY: "passing", sqlite3.SQLITE_CANTOPEN: "passing", sqlite3.SQLITE_FULL: "passing",
    sqlite3.SQLITE_IOERR: "passing", sqlite3.SQLITE_IOERR_READ: "passing", sqlite3.SQLITE_LOCKED: "passing",
    sqlite3.SQLITE_NOMEM: "passing", sqlite3.SQLITE_PERM: "passing", sqlite3.SQLITE_READONLY: "passing",
    sqlite3.SQLITE_READONLY_DBMOVED: "passing", sqlite3.SQLITE_CORRUPT: "lasting", sqlite3.SQLITE_NOTADB: "lasting",
    sqlite3.SQLITE_CORRUPT_INDEX: "lasting", sqlite3.SQLITE_ERROR: "own", sqlite3.SQLITE_CONSTRAINT_UNIQUE: "own",
    sqlite3.SQLITE_MISUSE: "own", sqlite3.SQLITE_RANGE: "own",
}  # fmt: skip
"""By what SQLite says: whether it is of the file, and whether it can be over."""


@pytest.mark.requirement("SIM-03")
@pytest.mark.parametrize(("code", "kind"), CODES.items())
def test_whose_fault_an_error_is(code: int, kind: str) -> None:
    """Of the file, for a while or for good; or of this program, which troubles nobody."""
    said, troubles = list[tuple[str, str]](), Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    faults, error = Faults("the file", troubles), sqlite3.OperationalError("it fails")
    error.sqlite_errorcode = code
    met = faults.meet(error)
    assert faults.is_failing is (kind != "own")
    if kind == "own":
        assert met is error
    else:
        assert isinstance(met, Refusal) and met.__cause__ is error
        assert (met.reason, met.cause) == (Reason.STORAGE_UNAVAILABLE, "the database cannot be used: it fails")
        assert said == [(STORAGE, "the file cannot be used (it fails): what needs it is refused.")]
    faults.end()
    assert faults.is_failing is (kind == "lasting")
    assert ((STORAGE, "") in said) == (kind == "passing")


@pytest.mark.requirement("SIM-03")
def test_what_callers_get_for_what_is_no_fault(faults: Faults, said: Said) -> None:
    """An account that has gone, an error without a code, and one that is not the database's."""
    gone = sqlite3.IntegrityError("no such row")
    gone.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
    met = faults.meet(gone)
    assert isinstance(met, Refusal) and met.__cause__ is gone
    assert (met.reason, met.cause) == (Reason.SESSION_DEAD, "the account has just ended")
    for error in (sqlite3.ProgrammingError("no code"), KeyError("mine")):
        assert faults.meet(error) is error
    assert (faults.is_failing, said) == (False, [])


@pytest.mark.requirement("SIM-03")
def test_a_file_that_goes_and_comes_back(faults: Faults, said: Said) -> None:
    """Told once each; while it is gone nothing is stored; a trouble beside it lasts until both are over."""
    faults.see(is_there=True)
    faults.check()
    assert said == []
    for _ in range(2):
        faults.see(is_there=False)
    told = "the file was deleted or replaced while it is in use: what would be stored is refused."
    assert said == [(STORAGE, told)]
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE") as refused:
        faults.check()
    assert refused.value.cause == "the database file is gone"
    error = sqlite3.OperationalError("it fails")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    faults.meet(error)
    said.clear()
    faults.see(is_there=True)
    faults.check()
    assert said == []
    faults.end()
    assert said == [(STORAGE, "")]
    faults.see(is_there=False)
    faults.meet(error)
    faults.end()
    assert said[-1][1] != ""
    faults.see(is_there=True)
    assert said[-1] == (STORAGE, "")
