"""The JIDs that each account has blocked, in PostgreSQL; knows nothing of the effect of a block."""

from interop_server.core.abuse.store import BlocklistStore
from interop_server.storage.postgres.concern import Concern


class PostgresBlocklist(Concern, BlocklistStore):
    """The table of blocks."""

    _LIST_JIDS = "SELECT jid FROM blocked WHERE account_id = $1 ORDER BY jid"

    async def list_jids(self, account_id: int) -> list[str]:
        return [jid for (jid,) in await self._rows(self._LIST_JIDS, account_id)]

    _PUT = "INSERT INTO blocked (account_id, jid) VALUES ($1, $2) ON CONFLICT DO NOTHING"

    async def put(self, account_id: int, jid: str) -> None:
        await self._change(self._PUT, account_id, jid)

    _DELETE = "DELETE FROM blocked WHERE account_id = $1 AND jid = $2"

    async def delete(self, account_id: int, jid: str) -> None:
        await self._change(self._DELETE, account_id, jid)
