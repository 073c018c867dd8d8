"""Who has blocked whom, in SQLite; knows nothing of what a block does."""

import sqlite3

from interop_server.core.stores import BlocklistStore
from interop_server.storage.sqlite.engine_user import EngineUser


class SqliteBlocklist(EngineUser, BlocklistStore):
    """The table of blocks."""

    async def list_blocked(self, account_id: int) -> list[str]:  # noqa: D102
        def list_jids(db: sqlite3.Connection) -> list[str]:
            sql = "SELECT jid FROM blocked WHERE account_id = ?1 ORDER BY jid"
            return [jid for (jid,) in db.execute(sql, (account_id,)).fetchall()]

        return await self._engine.read(list_jids)

    async def put_block(self, account_id: int, jid: str) -> None:  # noqa: D102
        insert = "INSERT INTO blocked (account_id, jid) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
        await self._change_blocks(insert, account_id, jid)

    async def delete_block(self, account_id: int, jid: str) -> None:  # noqa: D102
        await self._change_blocks("DELETE FROM blocked WHERE account_id = ?1 AND jid = ?2", account_id, jid)

    async def _change_blocks(self, sql: str, account_id: int, jid: str) -> None:
        def change(db: sqlite3.Connection) -> None:
            db.execute(sql, (account_id, jid))

        await self._engine.write(change)
