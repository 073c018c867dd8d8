"""The JIDs that each account has blocked, in PostgreSQL; knows nothing of the effect of a block."""

from interop_server.core.abuse.store import BlocklistStore
from interop_server.storage.postgres.concern import Concern, lock_account
from interop_server.storage.postgres.session import Session

_IS_BLOCKED = "SELECT 1 FROM blocked WHERE account_id = $1 AND jid = $2"
_COUNT = "SELECT count(*) FROM blocked WHERE account_id = $1"
_PUT = "INSERT INTO blocked (account_id, jid) VALUES ($1, $2)"


async def _put(db: Session, account_id: int, jid: str, most: int | None) -> bool:
    await lock_account(db, account_id)
    if await db.row(_IS_BLOCKED, account_id, jid):
        return True
    [(count,)] = await db.rows(_COUNT, account_id)
    if most is not None and count >= most:
        return False
    await db.change(_PUT, account_id, jid)
    return True


class PostgresBlocklist(Concern, BlocklistStore):
    """The table of blocks."""

    _LIST_JIDS = "SELECT jid FROM blocked WHERE account_id = $1 ORDER BY jid"

    async def list_jids(self, account_id: int) -> list[str]:
        return [jid for (jid,) in await self._rows(self._LIST_JIDS, account_id)]

    async def put(self, account_id: int, jid: str, most: int | None = None) -> bool:
        return await self._engine.write(lambda db: _put(db, account_id, jid, most))

    _DELETE = "DELETE FROM blocked WHERE account_id = $1 AND jid = $2"

    async def delete(self, account_id: int, jid: str) -> None:
        await self._change(self._DELETE, account_id, jid)
