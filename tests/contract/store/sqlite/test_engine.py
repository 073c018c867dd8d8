"""What only the SQLite engine promises: group commit in which no call spoils another, and which files it accepts."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from interop_server import crash_points
from interop_server.core.errors import Refusal
from interop_server.storage import WrongDatabase
from interop_server.storage.sqlite.database import prepare_database
from interop_server.storage.sqlite.engine import Engine
from interop_server.storage.sqlite.store import SqliteStore


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    engine = Engine()
    database = await prepare_database(tmp_path / "store.db")
    await engine.open(database.uri)
    yield engine
    await engine.close()
    database.release()


class Refused(Exception):
    """An operation's own error."""


def put(name: str, db: sqlite3.Connection) -> str:
    db.execute("INSERT INTO secret VALUES (?1, x'00')", (name,))
    return name


def put_then_fail(name: str, db: sqlite3.Connection) -> str:
    put(name, db)
    raise Refused(name)


def fail(name: str, db: sqlite3.Connection) -> str:
    raise Refused(name)


def put_all(db: sqlite3.Connection, names: list[str]) -> list[str]:
    return [put(name, db) for name in names]


async def names(engine: Engine) -> list[str]:
    return await engine.read(lambda db: [name for (name,) in db.execute("SELECT name FROM secret ORDER BY name")])


async def test_a_kill_can_come_before_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the schema is made, and for each write before it begins, before it is durable, and before it is told."""
    passed: list[str] = []
    monkeypatch.setattr(crash_points, "_fuse", SimpleNamespace(burn=passed.append))
    store = await SqliteStore.open(tmp_path / "store.db")
    assert passed[0] == "schema.create"
    passed.clear()
    await store.secrets.get_or_put("new", b"1")
    await store.close()
    assert passed == ["write.begin", "write.commit", "write.answer"]


async def test_calls_that_wait_share_one_commit(engine: Engine) -> None:
    """100 calls at once are one transaction."""
    statements: list[str] = []
    await engine.write(lambda db: db.set_trace_callback(statements.append))
    statements.clear()
    await asyncio.gather(*(engine.write(partial(put, f"{n:03}")) for n in range(100)))
    assert (statements.count("BEGIN IMMEDIATE"), statements.count("COMMIT")) == (1, 1)
    assert len(await names(engine)) == 100


async def test_calls_of_one_batch_operation_run_as_one(engine: Engine) -> None:
    """Every caller gets the results of its own items."""
    runs: list[list[str]] = []

    def put_counted(db: sqlite3.Connection, items: list[str]) -> list[str]:
        runs.append(items)
        return put_all(db, items)

    calls = [engine.write_batch(put_counted, [f"{n}{letter}" for letter in "abc"[:n]]) for n in range(4)]
    assert await asyncio.gather(*calls) == [[], ["1a"], ["2a", "2b"], ["3a", "3b", "3c"]]
    assert runs == [["1a", "2a", "2b", "3a", "3b", "3c"]]


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
    assert isinstance(second, sqlite3.IntegrityError)
    assert await names(engine) == ["a", "b", "d"]


async def test_a_failing_commit_fails_every_call_of_its_group(engine: Engine) -> None:
    """A constraint that is checked at the end stands in for a full disk; afterwards the engine works on."""

    def break_commit(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO jwks VALUES (999, '', 0)")

    calls = [engine.write(partial(put, "a")), engine.write(break_commit), engine.write(partial(put, "b"))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, Exception) for result in results), results
    assert [type(getattr(result, "__cause__", None)) for result in results] == [sqlite3.IntegrityError] * 3
    assert await names(engine) == []
    assert await engine.write(partial(put, "c")) == "c"


async def test_a_failing_read_does_not_spoil_its_group(engine: Engine) -> None:
    """Nor can a read write."""
    results = await asyncio.gather(
        engine.read(partial(fail, "a")),
        engine.read(partial(put, "b")),
        engine.read(lambda db: 7),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Refused, Refusal, int]


async def test_a_write_is_visible_to_a_read_that_starts_after_it(engine: Engine) -> None:
    """Every time, while other writes are under way."""
    others = [asyncio.ensure_future(engine.write(partial(put, f"other{n}"))) for n in range(100)]
    for n in range(20):
        await engine.write(partial(put, f"{n}"))
        assert f"{n}" in await names(engine)
    await asyncio.gather(*others)


async def test_more_calls_than_fit_wait_for_their_turn(engine: Engine) -> None:
    """2,000 calls at once run in the order in which they were made."""
    order: list[int] = []
    await asyncio.gather(*(engine.write(lambda db, n=n: order.append(n)) for n in range(2000)))  # type: ignore[misc]
    assert order == list(range(2000))


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
    """The writer waits for the disk at every commit and keeps foreign keys."""
    pragmas = ("synchronous", "journal_mode", "foreign_keys")
    found = await engine.write(lambda db: [db.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas])
    assert found == [2, "wal", 1]


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_closing_leaves_one_file_and_no_thread(tmp_path: Path) -> None:
    """The write-ahead log has gone into the database, which only its owner can read."""
    await asyncio.to_thread(int)  # the loop's own worker, which it keeps
    before = set(threading.enumerate())
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await store.secrets.get_or_put("root", bytes(32))
    assert (tmp_path / "store.db-wal").exists()
    started = set(threading.enumerate()) - before
    await store.close()
    assert file_names(tmp_path) == ["store.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(started) == 2
    for thread in started:
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    """As `mktemp` makes it; also by a path in a string, with characters that a URI must escape."""
    path = tmp_path / "a ?#%.db"
    path.touch()
    store = await SqliteStore.open(str(path))
    await store.secrets.get_or_put("root", bytes(32))
    await store.close()
    assert path.stat().st_size > 0


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE things (thing)")
    db.close()


async def test_files_that_are_no_store_are_refused_untouched(tmp_path: Path) -> None:
    """Text, another application's database, a folder, a place that does not exist: a sentence names each."""
    text, foreign = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("nothing of the kind " * 100)
    foreign_database(foreign)
    before = {path: path.read_bytes() for path in (text, foreign)}
    for path, sentence in [
        (text, "is not a SQLite database"),
        (foreign, "database of another application"),
        (tmp_path, "is not a file"),
        (tmp_path / "missing" / "store.db", "cannot be opened: No such file or directory"),
    ]:
        with pytest.raises(WrongDatabase, match=sentence) as refusal:
            await SqliteStore.open(path)
        assert str(path) in str(refusal.value)
    assert {path: path.read_bytes() for path in (text, foreign)} == before
    assert file_names(tmp_path) == ["notes.txt", "other.db"]


async def test_a_database_belongs_to_one_server_at_a_time(tmp_path: Path) -> None:
    """A second one is told so, and gets it when the first has closed it."""
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    with pytest.raises(WrongDatabase, match="is in use by another simulator"):
        await SqliteStore.open(path)
    assert await store.secrets.get_or_put("root", bytes(32)) == bytes(32)
    await store.close()
    await (await SqliteStore.open(path)).close()


@pytest.mark.parametrize("version", [0, 99])
async def test_a_database_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    """The sentence names both versions; the right one stands for the text of the schema."""
    path = tmp_path / "store.db"
    await (await SqliteStore.open(path)).close()
    with sqlite3.connect(path) as db:
        [(own,)] = db.execute("PRAGMA user_version").fetchall()
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(WrongDatabase, match=f"version {version}, and this program needs version {own}"):
        await SqliteStore.open(path)
