"""The JIDs that each account has blocked, in SQLite; knows nothing of the effect of a block."""

import sqlite3

from interop_server.core.abuse.store import BlocklistStore
from interop_server.storage.sqlite.concern import Concern

_IS_BLOCKED = "SELECT 1 FROM blocked WHERE account_id = ?1 AND jid = ?2"
_COUNT = "SELECT count(*) FROM blocked WHERE account_id = ?1"
_PUT = "INSERT INTO blocked (account_id, jid) VALUES (?1, ?2)"


def _put(db: sqlite3.Connection, account_id: int, jid: str, most: int | None) -> bool:
    if db.execute(_IS_BLOCKED, (account_id, jid)).fetchone():
        return True
    (count,) = db.execute(_COUNT, (account_id,)).fetchone()
    if most is not None and count >= most:
        return False
    db.execute(_PUT, (account_id, jid))
    return True


class SqliteBlocklist(Concern, BlocklistStore):
    """The table of blocks."""

    _LIST_JIDS = "SELECT jid FROM blocked WHERE account_id = ?1 ORDER BY jid"

    async def list_jids(self, account_id: int) -> list[str]:
        return [jid for (jid,) in await self._rows(self._LIST_JIDS, account_id)]

    async def put(self, account_id: int, jid: str, most: int | None = None) -> bool:
        return await self._engine.write(lambda db: _put(db, account_id, jid, most))

    _DELETE = "DELETE FROM blocked WHERE account_id = ?1 AND jid = ?2"

    async def delete(self, account_id: int, jid: str) -> None:
        await self._change(self._DELETE, account_id, jid)
