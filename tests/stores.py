"""The store that a test runs on: the one place in the tests that names storage engines, except for their own tests.

An engine joins by an entry in `ENGINES`: then it must keep the contract in `tests/contract/store`. Every other test
runs on one engine, since all keep the same contract.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interop_server.core.store import Store
from interop_server.storage.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from interop_server.storage.postgres.store import PostgresStore


async def _open_postgres(folder: Path) -> Store:
    from interop_server.storage.postgres.store import PostgresStore  # most tests need no server
    from tests.postgres import address_in

    return await PostgresStore.open(await address_in(folder))


ENGINES: dict[str, Callable[[Path], Awaitable[Store]]] = {
    "sqlite": lambda folder: SqliteStore.open(folder / "store.db"),
    "postgres": _open_postgres,
}
"""Opens the store of a folder, the same one each time, by the name of the engine."""


async def open_store(folder: Path, engine: str = "sqlite") -> Store:
    """Opens the store of a folder; a folder that has none gets an empty one."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    return await ENGINES[engine](folder)


@asynccontextmanager
async def two_processes(folder: Path, now_ms: Callable[[], int]) -> AsyncIterator[tuple["PostgresStore", ...]]:
    """Has the stores of two processes that are nodes of one world, on one empty database."""
    from interop_server.storage.postgres.store import PostgresStore
    from tests.postgres import address_in, delete_in

    address = await address_in(folder)
    stores = tuple([await PostgresStore.open(address, now_ms, node=name) for name in ("here", "there")])
    yield stores
    for store in stores:
        await store.close()
    await delete_in(folder)


async def delete_store(folder: Path, engine: str) -> None:
    """Deletes what a closed store leaves outside of its folder."""
    if engine == "postgres":
        from tests.postgres import delete_in

        await delete_in(folder)


@contextmanager
def broken_table(database: Path, table: str) -> Iterator[None]:
    """Takes a table away from under a running server, and puts it back."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            connection.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


def note_calls(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes from now on which calls are made of a store, such as `mailbox.put`."""
    calls: list[str] = []

    def noted(name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def note(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return await call(*args, **kwargs)

        return note

    for field in fields(Store):
        concern = getattr(store, field.name)
        for name in dir(concern):
            if not name.startswith("_"):
                monkeypatch.setattr(concern, name, noted(f"{field.name}.{name}", getattr(concern, name)))
    return calls
