"""The whole `Store` on one SQLite file, put together from its concerns; knows none of their tables."""

import sqlite3
from pathlib import Path
from typing import Self

from interop_server.core.stores import Store
from interop_server.storage.sqlite.accounts import SqliteAccounts
from interop_server.storage.sqlite.audit import SqliteAudit
from interop_server.storage.sqlite.blocklist import SqliteBlocklist
from interop_server.storage.sqlite.database import PreparedDatabase, prepare_database
from interop_server.storage.sqlite.engine import Engine
from interop_server.storage.sqlite.media import SqliteMedia
from interop_server.storage.sqlite.message_requests import SqliteMessageRequests
from interop_server.storage.sqlite.optin import SqliteOptIns
from interop_server.storage.sqlite.partners import SqlitePartners
from interop_server.storage.sqlite.prekeys import SqlitePreKeys
from interop_server.storage.sqlite.reachability import SqliteReachability
from interop_server.storage.sqlite.reports import SqliteReports
from interop_server.storage.sqlite.routing import SqliteRouting
from interop_server.storage.sqlite.server_past import SqlitePast
from interop_server.storage.sqlite.server_secrets import SqliteSecrets
from interop_server.storage.sqlite.standing import SqliteStanding


def _count_rows(db: sqlite3.Connection) -> dict[str, int]:
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for (name,) in tables.fetchall()}


class SqliteStore(
    SqlitePartners,
    SqliteAccounts,
    SqlitePreKeys,
    SqliteOptIns,
    SqliteReachability,
    SqliteMessageRequests,
    SqliteRouting,
    SqliteBlocklist,
    SqliteStanding,
    SqliteReports,
    SqliteAudit,
    SqliteMedia,
    SqliteSecrets,
    SqlitePast,
    Store,
):
    """The default store: one file, durable at every return. Create it with `open`, in the loop that uses it."""

    @classmethod
    async def open(cls, path: str | Path) -> Self:
        """Opens a database file, which is created when there is none.

        Raises:
            WrongDatabase: The file cannot serve as the store.
        """
        database = await prepare_database(Path(path))
        engine = Engine()
        try:
            await engine.open(database.uri)
        except BaseException:
            database.release()
            raise
        return cls(engine, database)

    def __init__(self, engine: Engine, database: PreparedDatabase) -> None:
        super().__init__(engine)
        self._database = database

    async def count_rows(self) -> dict[str, int]:  # noqa: D102
        return await self._engine.read(_count_rows)

    async def close(self) -> None:
        """Finishes what was called before, moves the write-ahead log into the file and closes it."""
        await self._engine.close()
        self._database.release()
