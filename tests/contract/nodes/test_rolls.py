"""Nodes of two releases on one database: whose programs go on when the tables are changed, and who is refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop_server.storage import StoreAddress, WrongStore
from interop_server.storage.postgres.database import _schema
from interop_server.storage.postgres.nodes import PostgresNodes
from interop_server.storage.postgres.store import PostgresStore
from tests.postgres import address_in, ask, delete_in

EXPANDS = "-- Expands: programs of the versions before go on.\n"
CONTRACTS = "-- Contracts: programs of the version before go on, older ones do not.\n"
FIRST = _schema()
SECOND = [*FIRST, f"{EXPANDS}CREATE TABLE more (x integer)"]
THIRD = [*SECOND, f"{CONTRACTS}CREATE TABLE most (x integer)"]


class Releases:
    """Opens nodes of one release or another."""

    def __init__(self, address: StoreAddress, monkeypatch: pytest.MonkeyPatch) -> None:
        self._address = address
        self._monkeypatch = monkeypatch
        self._opened: list[PostgresStore] = []

    async def open(self, schema: list[str], name: str) -> PostgresStore:
        with self._monkeypatch.context() as patched:
            patched.setattr("interop_server.storage.postgres.database._schema", lambda: schema)
            self._opened.append(await PostgresStore.open(self._address, node=name))
        return self._opened[-1]

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


@pytest.fixture
async def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Releases]:
    releases = Releases(await address_in(tmp_path), monkeypatch)
    yield releases
    await releases.close()
    await delete_in(tmp_path)


def nodes_of(store: PostgresStore) -> PostgresNodes:
    assert store.nodes is not None
    return store.nodes


async def tables(store: PostgresStore) -> set[str]:
    """Those that not all releases have."""
    return {"more", "most"} & set(await store.count_rows())


async def test_what_breaks_a_node_waits_for_its_end(releases: Releases) -> None:
    """It is named, and nothing has changed; one that has left, or is of the same release, is in nobody's way."""
    old = await releases.open(FIRST, "old")
    broken = [*FIRST, "CREATE TABLE more (x integer)"]
    with pytest.raises(
        WrongStore, match=r"Nodes of an older release are on .* \(old\), and do not work with"
    ) as refused:
        await releases.open(broken, "new")
    assert str(refused.value).endswith("stop them first.")
    assert await tables(old) == set()
    await nodes_of(old).leave()
    new = await releases.open(broken, "new")
    assert await tables(await releases.open(broken, "beside")) == {"more"}
    await nodes_of(old).join_again()
    assert await nodes_of(old).renew(0) is False
    assert await nodes_of(new).renew(0) is True


async def test_who_is_silent_is_in_nobodys_way(releases: Releases, tmp_path: Path) -> None:
    """A node that was killed has nothing to lose."""
    await releases.open(FIRST, "old")
    url = (await address_in(tmp_path)).url
    await ask(url, "UPDATE node SET renewed_at = renewed_at - interval '6 seconds' WHERE name = 'old'")
    await releases.open([*FIRST, "CREATE TABLE more (x integer)"], "new")


async def test_programs_of_two_releases_work_on_tables_that_expand(releases: Releases) -> None:
    """Those that are there go on, and others of them may come; not when the next release has contracted them."""
    old = await releases.open(FIRST, "old")
    new = await releases.open(SECOND, "new")
    older = await releases.open(FIRST, "older")
    assert await tables(older) == {"more"}
    await nodes_of(old).leave()
    await nodes_of(old).join_again()
    assert await nodes_of(old).renew(0) is True
    with pytest.raises(WrongStore, match=r"\(older, old\)|\(old, older\)"):
        await releases.open(THIRD, "newest")
    for store in (old, older):
        await nodes_of(store).leave()
    newest = await releases.open(THIRD, "newest")
    assert await tables(newest) == {"more", "most"}
    assert await nodes_of(new).renew(0) is True
    await (await releases.open(SECOND, "new as well")).close()
    with pytest.raises(WrongStore, match="needs version"):
        await releases.open(FIRST, "too old")
    await nodes_of(older).join_again()
    assert await nodes_of(older).renew(0) is False
