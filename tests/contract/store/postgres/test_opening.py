"""Which databases the PostgreSQL engine accepts, and what it says of the others; none sees a password."""

import traceback
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from interop_server.storage import StoreAddress, WrongDatabase, WrongStore
from interop_server.storage.postgres.database import _schema
from interop_server.storage.postgres.store import PostgresStore
from tests.postgres import address_in, ask, delete_in, fresh_database, server_folder, url_of

SECRET = "s3cret-w0rd"


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[StoreAddress]:
    yield await address_in(tmp_path)
    await delete_in(tmp_path)


async def refusal_of(url: str) -> str:
    """Opens what cannot be opened, and returns the sentence."""
    with pytest.raises(WrongStore) as refused:
        await PostgresStore.open(StoreAddress.parse(url))
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and SECRET not in sentence
    return sentence


@pytest.mark.parametrize(
    "url",
    [
        "sim.db",
        "http://localhost/db",
        "postgresql://me:pass/word@localhost/db",
        "postgresql://me:12/word@localhost/db",
        "postgresql://me:12?word@localhost/db",
        "postgresql://me:12#word@localhost/db",
        "postgresql://me:12@word@localhost/db",
        "postgresql://me:pass@localhost:port/db",
        "postgresql://me:pass@localhost:65536/db",
        "postgresql://me:word℀@localhost/db",
        "postgresql://me:word@[::1/db",
    ],
)
def test_what_is_no_address_is_not_repeated(url: str) -> None:
    """A password that was not encoded could be anywhere in it."""
    with pytest.raises(WrongStore) as refused:
        StoreAddress.parse(url)
    assert str(refused.value).endswith(".")
    shown = str(refused.value) + "".join(traceback.format_exception(refused.value.with_traceback(None)))
    assert not any(part in shown for part in ("word", "12", "pass@"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:word@localhost:5432/db?sslmode=require", "postgresql://localhost:5432/db"),
        ("postgres://localhost/db", "postgresql://localhost/db"),
        ("postgresql://me@[::1]:99,other:5/db", "postgresql://[::1]:99,other:5/db"),
        ("postgresql:///db?host=/run/postgresql&password=word", "postgresql:///db"),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    """Also where an address is logged by mistake."""
    address = StoreAddress.parse(url)
    assert (address.url, address.shown) == (url, shown)
    assert "word" not in repr(address)


async def test_nobody_there() -> None:
    """A port on which nothing listens, and a folder without a socket."""
    assert "cannot be used as the database" in await refusal_of(f"postgresql://me:{SECRET}@127.0.0.1:1/db")
    assert "cannot be used as the database" in await refusal_of(f"postgresql://me:{SECRET}@/db?host=/nowhere")


async def test_who_is_not_let_in() -> None:
    """A wrong password, no such user, no such database, no such setting."""
    folder = server_folder()
    await ask(url_of(folder), "DROP ROLE IF EXISTS locked", "CREATE ROLE locked LOGIN PASSWORD 'right'")
    locked = f"postgresql://locked:{SECRET}@/postgres?host={folder}"
    assert "password authentication failed" in await refusal_of(locked)
    assert "does not exist" in await refusal_of(f"postgresql://stranger:{SECRET}@/postgres?host={folder}")
    assert "does not exist" in await refusal_of(url_of(folder, "no_such_database"))
    assert "unrecognized configuration parameter" in await refusal_of(url_of(folder, nonsense="1"))


async def test_a_database_of_others_is_left_alone() -> None:
    """With tables that are not ours, one of them with our name; of another encoding; without a place for tables."""
    async with fresh_database() as url:
        await ask(url, "CREATE TABLE things (thing integer)")
        assert "database of another application" in await refusal_of(url)
        await ask(url, "ALTER TABLE things RENAME TO schema_version")
        assert "database of another application" in await refusal_of(url)
        await ask(url, "INSERT INTO schema_version VALUES (7)")
        assert "no schema in which tables can be made" in await refusal_of(f"{url}&search_path=nowhere")
        await ask(url, "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        assert "LATIN1" in await refusal_of(url_of(server_folder(), "latin"))
        await ask(url, "DROP DATABASE latin")


async def test_a_database_belongs_to_one_server_at_a_time(address: StoreAddress) -> None:
    """A second one is told so, and gets it when the first has closed it."""
    store = await PostgresStore.open(address)
    assert "is in use by another simulator" in await refusal_of(address.url)
    assert await store.secrets.get_or_put("root", bytes(32)) == bytes(32)
    await store.close()
    await (await PostgresStore.open(address)).close()


@pytest.mark.parametrize("version", [0, 99])
async def test_a_database_of_another_version_is_refused(address: StoreAddress, version: int) -> None:
    """The sentence names both versions."""
    await (await PostgresStore.open(address)).close()
    await ask(address.url, f"UPDATE schema_version SET version = {version}")
    assert f"schema version {version}, and this program needs version" in await refusal_of(address.url)


def _with_one_more(monkeypatch: pytest.MonkeyPatch, files: Sequence[str]) -> None:
    monkeypatch.setattr("interop_server.storage.postgres.database._schema", lambda: list(files))


async def test_a_database_of_an_older_release_is_brought_up(
    address: StoreAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File by file, with all that is in it; afterwards the older release refuses it."""
    store = await PostgresStore.open(address)
    await store.secrets.get_or_put("root", bytes(32))
    await store.close()
    first = _schema()
    newer = ["ALTER TABLE secret ADD COLUMN note TEXT", "UPDATE secret SET note = 'new'"]
    with monkeypatch.context() as patch:
        _with_one_more(patch, [*first, *newer])
        store = await PostgresStore.open(address)
        assert await store.secrets.get_or_put("root", b"other") == bytes(32)
        rows = await store.engine.read(lambda db: db.rows("SELECT name, note FROM secret"))
        assert [tuple(row) for row in rows] == [("root", "new")]
        await store.close()
        await (await PostgresStore.open(address)).close()
    assert "needs version" in await refusal_of(address.url)


async def test_a_file_that_breaks_off_leaves_the_version_before(
    address: StoreAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a file or nothing, so that the next start can go on; files before it stay applied."""
    first = _schema()
    with monkeypatch.context() as patch:
        _with_one_more(patch, [*first, "CREATE TABLE more (x integer)", "CREATE TABLE most (x integer); no SQL"])
        with pytest.raises(WrongDatabase, match="syntax error"):
            await PostgresStore.open(address)
        _with_one_more(patch, [*first, "CREATE TABLE more (x integer)"])
        store = await PostgresStore.open(address)
        counts = await store.count_rows()
        assert "more" in counts and "most" not in counts
        await store.close()


async def test_emptied_it_is_as_new_but_for_the_keys(address: StoreAddress) -> None:
    """Every number is given anew; keys, and nothing else, stay."""
    before = []
    for is_emptied in (False, True):
        store = await PostgresStore.open(address, lambda: 7, is_emptied=is_emptied)
        assert await store.past.get_time_floor_ms() == 0
        assert await store.secrets.get_or_put("root", b"%d" % is_emptied) == b"0"
        assert await store.past.take_start_number() == 1
        user = await store.accounts.put_whatsapp_user("4915@s.whatsapp.net", "4915", bytes(32), 1, 5)  # type: ignore[arg-type]
        before.append((user.account_id, await store.count_rows()))
        await store.close()
    assert before[0] == before[1]
