"""Files that fail under a running server, and files that cannot be a database: said once, in a sentence."""

import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Platform
from interop_server.core.troubles import STORAGE, Troubles
from interop_server.storage import WrongDatabase
from interop_server.storage.sqlite.store import SqliteStore

from ..conftest import NOW_MS, World, key, one_time_prekeys, partner, published_keys

Said = list[tuple[str, str]]


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """No file of this process may grow past the size of one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
async def store(tmp_path: Path, said: Said) -> AsyncIterator[SqliteStore]:
    troubles = Troubles()
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    store = await SqliteStore.open(tmp_path / "store.db", lambda: NOW_MS, troubles)
    yield store
    await store.close()


async def assert_refused(store: SqliteStore) -> None:
    with pytest.raises(Refusal) as raised:
        await store.secrets.get_or_put("new", bytes(100_000))
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE
    assert raised.value.cause and not raised.value.detail  # the operator's, not the caller's


async def test_a_full_disk_is_said_once_and_ends(store: SqliteStore, tmp_path: Path, said: Said) -> None:
    """Each write is refused, nothing of it is stored, and writing goes on when there is room again.

    Trying whether it does leaves what is stored as it is.
    """
    await store.secrets.get_or_put("old", b"1")
    with full_disk(tmp_path / "store.db-wal"):
        for _ in range(3):
            await assert_refused(store)
            await store.check()
        [(part, sentence)] = said
        assert part == STORAGE and str(tmp_path / "store.db") in sentence and sentence.endswith(".")
    await store.check()
    assert said[1:] == [(STORAGE, "")]
    assert await store.secrets.get("new") is None
    assert await store.secrets.get_or_put("new", b"2") == b"2"
    assert await store.secrets.get("old") == b"1"
    assert (await store.count_rows())["secret"] == 2


async def test_a_database_that_vanishes_takes_nothing_more(store: SqliteStore, tmp_path: Path, said: Said) -> None:
    """What it would store would be lost; it goes on when the file is back."""
    path, elsewhere = tmp_path / "store.db", tmp_path / "elsewhere.db"
    world = World(store)
    await store.partners.put(partner(100))
    letter = world.message(await world.whatsapp_user("4915100000001"), await world.third_party_user(1), "m1")
    path.rename(elsewhere)
    await store.check()
    await store.check()
    await assert_refused(store)
    with pytest.raises(Refusal, match="STORAGE_UNAVAILABLE"):
        await store.mailbox.put([letter])
    path.write_bytes(b"another file")
    await store.check()
    await assert_refused(store)
    [(part, sentence)] = said
    assert part == STORAGE and "deleted or replaced" in sentence
    elsewhere.rename(path)
    await store.check()
    assert said[1:] == [(STORAGE, "")]
    await store.secrets.get_or_put("new", b"2")


def trees(path: Path) -> list[tuple[str, int, int]]:
    with closing(sqlite3.connect(path)) as db:
        [(size,)] = db.execute("PRAGMA page_size").fetchall()
        rows = db.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 1 ORDER BY name").fetchall()
    return [(name, page, size) for name, page in rows]


async def test_a_damaged_first_page_of_any_tree_is_told_at_the_start(tmp_path: Path) -> None:
    """Of each table and index: a sentence, and the file stays as it was."""
    path = tmp_path / "store.db"
    await (await SqliteStore.open(path)).close()
    whole = path.read_bytes()
    damaged = trees(path)
    assert len(damaged) > 20
    for name, page, size in damaged:
        start = (page - 1) * size
        path.write_bytes(whole[:start] + b"\xff" * size + whole[start + size :])
        with pytest.raises(WrongDatabase, match="malformed") as raised:
            await SqliteStore.open(path)
        assert str(path) in str(raised.value), name


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
async def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """None of them holds up the start."""
    path = Path("/dev/null") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(WrongDatabase, match=r"is not a file.*choose another"):
        await SqliteStore.open(path)


@pytest.mark.requirement("LIF-03")
async def test_an_account_that_has_much_goes_in_bounded_steps(tmp_path: Path) -> None:
    """No transaction deletes more than a thousand of its rows or so, and nothing of it is left."""
    store = await SqliteStore.open(tmp_path / "store.db")
    world = World(store)
    await store.partners.put(partner(100))
    before = await store.count_rows()
    ada, user = await world.third_party_user(1), await world.whatsapp_user("4915100000001")
    await store.prekeys.put(ada.account_id, published_keys(9), one_time_prekeys(1, 3_000), 1)
    await store.mailbox.put([world.message(user, ada, f"a{number}") for number in range(1_500)])
    await store.mailbox.put([world.message(ada, user, f"b{number}") for number in range(1_500)])
    statements: list[str] = []
    changes: list[int] = []

    def trace(db: sqlite3.Connection) -> None:
        db.set_trace_callback(lambda sql: _note(sql, db))

    def _note(sql: str, db: sqlite3.Connection) -> None:
        if sql in ("BEGIN IMMEDIATE", "COMMIT"):
            statements.append(sql)
            changes.append(db.total_changes)

    await store.engine.write(trace)
    await store.accounts.delete(ada.account_id)
    await store.engine.write(lambda db: db.set_trace_callback(None))
    steps = [changes[at + 1] - changes[at] for at, sql in enumerate(statements[:-1]) if sql == "BEGIN IMMEDIATE"]
    print(f"the end of an account with 9,000 rows took {len(steps)} transactions of at most {max(steps)} changes")
    assert len(steps) >= 9 and max(steps) <= 1_010
    after = await store.count_rows()
    kept = {"account", "given_jid", "mailbox", "sent_message"}
    assert {name: rows for name, rows in after.items() if name not in kept} == {
        name: rows for name, rows in before.items() if name not in kept
    }
    assert (after["account"], after["mailbox"], after["sent_message"]) == (1, 1_500, 1_500)
    await store.close()


@pytest.mark.requirement("MSG-14")
async def test_everything_that_is_stored_counts_as_the_last_known_time(tmp_path: Path) -> None:
    """Not messages alone: no restart stands before what was stored last. What changes nothing does not count."""
    now_ms = NOW_MS
    store = await SqliteStore.open(tmp_path / "store.db", lambda: now_ms)
    world = World(store)
    await store.partners.put(partner(100))
    ada = await world.third_party_user(1)
    writes = {
        "a login": lambda: store.accounts.set_connected(ada.account_id, True, 0),
        "a user": lambda: store.accounts.put_whatsapp_user("49151@s.whatsapp.net", "49151", key(1), Platform.IOS, 0),
        "prekeys": lambda: store.prekeys.put(ada.account_id, published_keys(9), one_time_prekeys(1, 2), 0),
        "a block": lambda: store.blocklist.put(ada.account_id, "1-2@interop"),
        "a partner": lambda: store.partners.put(partner(200)),
        "a deletion": lambda: store.accounts.delete(ada.account_id),
    }
    for name, write in writes.items():
        now_ms += 45_000
        await write()
        assert await store.past.get_time_floor_ms() == now_ms, name
    now_ms += 45_000
    await store.accounts.delete(ada.account_id)
    assert await store.past.get_time_floor_ms() == now_ms - 45_000
    await store.close()
