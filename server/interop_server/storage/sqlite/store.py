"""The whole `Store` on one SQLite file, put together from its concerns; knows none of their tables."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from interop_server.core.errors import Refusal
from interop_server.core.store import Store
from interop_server.core.troubles import Troubles
from interop_server.storage import WrongDatabase
from interop_server.storage.sqlite.accounts import SqliteAccounts
from interop_server.storage.sqlite.audit import SqliteAudit
from interop_server.storage.sqlite.blocklist import SqliteBlocklist
from interop_server.storage.sqlite.chats import SqliteChats
from interop_server.storage.sqlite.database import PreparedDatabase, prepare_database
from interop_server.storage.sqlite.engine import Engine
from interop_server.storage.sqlite.faults import Faults
from interop_server.storage.sqlite.mailbox import SqliteMailbox
from interop_server.storage.sqlite.media import SqliteMedia
from interop_server.storage.sqlite.new_chats import SqliteNewChats
from interop_server.storage.sqlite.optin import SqliteOptIns
from interop_server.storage.sqlite.partners import SqlitePartners
from interop_server.storage.sqlite.past import SqlitePast, note_time
from interop_server.storage.sqlite.prekeys import SqlitePreKeys
from interop_server.storage.sqlite.reachability import SqliteReachability
from interop_server.storage.sqlite.reports import SqliteReports
from interop_server.storage.sqlite.routes import SqliteRoutes
from interop_server.storage.sqlite.secret_keys import SqliteSecrets
from interop_server.storage.sqlite.sent_messages import SqliteSentMessages
from interop_server.storage.sqlite.standing import SqliteStanding

_PUT_AWAY = "INSERT INTO secret (name, value) VALUES ('', zeroblob(65536))"
_TAKE_AWAY = "DELETE FROM secret WHERE name = ''"
_LIST_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"


def _count_rows(db: sqlite3.Connection) -> dict[str, int]:
    names = [name for (name,) in db.execute(_LIST_TABLES).fetchall()]
    return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def _touch(db: sqlite3.Connection) -> None:
    """Writes and leaves nothing: says whether writing works again. What is as it was would not be written."""
    db.execute(_PUT_AWAY)
    db.execute(_TAKE_AWAY)


@dataclass(frozen=True, eq=False)
class SqliteStore(Store):
    """The default store: one file, durable at every return. Create it with `open`, in the loop that uses it."""

    engine: Engine
    database: PreparedDatabase
    faults: Faults

    @classmethod
    async def open(
        cls,
        path: str | Path,
        now_ms: Callable[[], int] | None = None,
        troubles: Troubles | None = None,
        *,
        is_emptied: bool = False,
    ) -> Self:
        """Opens a database file, and creates it first if it does not exist.

        Args:
            path: The file.
            now_ms: Tells the server's time, which is noted with everything that is stored; None notes nothing.
            troubles: Where it is kept what is wrong with the file.
            is_emptied: Whether all is deleted first that is in the file, except the server's keys.

        Raises:
            WrongDatabase: The file cannot serve as the store.
        """
        database = await prepare_database(Path(path), is_emptied=is_emptied)
        faults = Faults(str(path), troubles)
        engine = Engine(faults) if now_ms is None else Engine(faults, note_time(now_ms))
        try:
            await engine.open(database.uri)
        except sqlite3.Error as error:
            database.release()
            raise WrongDatabase(f"{path} cannot be used as the database: {error}.") from error
        except BaseException:
            database.release()
            raise
        return cls(
            partners=SqlitePartners(engine),
            accounts=SqliteAccounts(engine),
            prekeys=SqlitePreKeys(engine),
            opt_in=SqliteOptIns(engine),
            routes=SqliteRoutes(engine),
            chats=SqliteChats(engine),
            reachability=SqliteReachability(engine),
            mailbox=SqliteMailbox(engine),
            sent=SqliteSentMessages(engine),
            media=SqliteMedia(engine),
            blocklist=SqliteBlocklist(engine),
            new_chats=SqliteNewChats(engine),
            standing=SqliteStanding(engine),
            reports=SqliteReports(engine),
            audit=SqliteAudit(engine),
            past=SqlitePast(engine),
            secrets=SqliteSecrets(engine),
            engine=engine,
            database=database,
            faults=faults,
        )

    async def count_rows(self) -> dict[str, int]:
        return await self.engine.read(_count_rows)

    async def check(self) -> None:
        self.faults.see(await asyncio.to_thread(self.database.is_in_place))
        if self.faults.is_failing:
            with suppress(Refusal):  # the failure stands where troubles are kept
                await self.engine.write(_touch)

    async def close(self) -> None:
        """Finishes what was called before, moves the write-ahead log into the file and closes it."""
        try:
            await self.engine.close()
        finally:
            self.database.release()
