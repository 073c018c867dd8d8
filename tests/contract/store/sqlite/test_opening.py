"""When the store cannot be opened: nothing of the attempt stays, and the next one succeeds."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from interop_server import crash_points
from interop_server.core.model import Platform
from interop_server.storage import WrongDatabase
from interop_server.storage.sqlite import engine as engine_module
from interop_server.storage.sqlite.database import _schema, prepare_database
from interop_server.storage.sqlite.store import SqliteStore

BROKEN = ("no_such_function(1)(",)
"""What the database refuses to run."""


@pytest.fixture
async def started() -> set[threading.Thread]:
    """The threads that ran before."""
    await asyncio.to_thread(int)  # the loop's own worker, which it keeps
    return set(threading.enumerate())


def check_no_thread(before: set[threading.Thread]) -> None:
    """Asserts that every thread since then ends."""
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("asyncio_"):
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("pragmas", ["_WRITER_PRAGMAS", "_READER_PRAGMAS"])
async def test_a_connection_that_is_refused_leaves_no_other(
    tmp_path: Path, started: set[threading.Thread], monkeypatch: pytest.MonkeyPatch, pragmas: str
) -> None:
    """Neither a thread nor the lock on the file: whoever tries again gets it."""
    path = tmp_path / "store.db"
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, pragmas, BROKEN)
        with pytest.raises(WrongDatabase, match="syntax error"):
            await SqliteStore.open(path)
    check_no_thread(started)
    store = await SqliteStore.open(path)
    assert await store.secrets.get_or_put("root", bytes(32)) == bytes(32)
    await store.close()


async def test_an_opening_that_is_cancelled_leaves_the_file_free(
    tmp_path: Path, started: set[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the lock and the connections, too."""
    path = tmp_path / "store.db"
    reached = asyncio.Event()

    async def wait_for_ever(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(engine_module.Engine, "open", wait_for_ever)
        opening = asyncio.create_task(SqliteStore.open(path))
        await reached.wait()
        with pytest.raises(WrongDatabase, match="in use"):
            await prepare_database(path)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await (await SqliteStore.open(path)).close()
    check_no_thread(started)


async def test_a_file_that_was_refused_is_free_afterwards(tmp_path: Path) -> None:
    """It was locked to be looked at; once it is a database it can be opened."""
    path = tmp_path / "store.db"
    path.write_text("nothing of the kind " * 100)
    with pytest.raises(WrongDatabase, match="is not a SQLite database"):
        await SqliteStore.open(path)
    path.write_bytes(b"")
    await (await SqliteStore.open(path)).close()


async def test_a_schema_that_breaks_off_leaves_an_empty_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables come all or not at all, so that the next start can make them."""
    path = tmp_path / "store.db"
    good = _schema()
    with monkeypatch.context() as patch:
        patch.setattr("interop_server.storage.sqlite.database._schema", lambda: [*good, "CREATE TABLE account (x);"])
        with pytest.raises(WrongDatabase, match="cannot be used as the database"):
            await SqliteStore.open(path)
    counts = []
    for each in (path, tmp_path / "other.db"):
        store = await SqliteStore.open(each)
        counts.append(await store.count_rows())
        await store.close()
    assert counts[0] == counts[1]


async def test_a_database_of_an_older_release_is_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File by file, with all that is in it; afterwards the older release refuses it."""
    path, first = tmp_path / "store.db", _schema()
    store = await SqliteStore.open(path)
    await store.secrets.get_or_put("root", bytes(32))
    await store.close()
    newer = ["ALTER TABLE secret ADD COLUMN note TEXT;", "UPDATE secret SET note = 'new';"]
    with monkeypatch.context() as patch:
        patch.setattr("interop_server.storage.sqlite.database._schema", lambda: [*first, *newer])
        for _ in range(2):
            store = await SqliteStore.open(path)
            assert await store.secrets.get_or_put("root", b"other") == bytes(32)
            rows = await store.engine.read(lambda db: db.execute("SELECT name, note FROM secret").fetchall())
            assert rows == [("root", "new")]
            await store.close()
    with pytest.raises(WrongDatabase, match="needs version"):
        await SqliteStore.open(path)


async def test_a_file_that_breaks_off_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a file or nothing, so that the next start can go on; files before it stay applied."""
    path, first = tmp_path / "store.db", _schema()
    await (await SqliteStore.open(path)).close()
    with monkeypatch.context() as patch:
        broken = [*first, "CREATE TABLE more (x);", "CREATE TABLE most (x); no SQL;"]
        patch.setattr("interop_server.storage.sqlite.database._schema", lambda: broken)
        with pytest.raises(WrongDatabase, match="syntax error"):
            await SqliteStore.open(path)
        patch.setattr("interop_server.storage.sqlite.database._schema", lambda: broken[:-1])
        store = await SqliteStore.open(path)
        counts = await store.count_rows()
        assert "more" in counts and "most" not in counts
        await store.close()


async def test_emptied_it_is_as_new_but_for_the_keys(tmp_path: Path) -> None:
    """Every number is given anew; keys, and nothing else, stay."""
    before = []
    for is_emptied in (False, True):
        store = await SqliteStore.open(tmp_path / "store.db", lambda: 7, is_emptied=is_emptied)
        assert await store.past.get_time_floor_ms() == 0
        assert await store.secrets.get_or_put("root", b"%d" % is_emptied) == b"0"
        assert await store.past.take_start_number() == 1
        user = await store.accounts.put_whatsapp_user("4915@s.whatsapp.net", "4915", bytes(32), Platform.IOS, 5)
        counts = await store.count_rows()
        assert list(counts) == sorted(counts) and counts["account"] == 1
        before.append((user.account_id, counts))
        await store.close()
    assert before[0] == before[1]


async def test_a_kill_can_come_before_it_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before each other step."""
    await (await SqliteStore.open(tmp_path / "store.db")).close()
    passed: list[str] = []
    monkeypatch.setattr(crash_points, "_fuse", SimpleNamespace(burn=passed.append))
    await (await SqliteStore.open(tmp_path / "store.db", is_emptied=True)).close()
    assert passed == ["schema.empty"]
