"""Chats that no WhatsApp user has answered, in PostgreSQL; knows no cap on them."""

from interop_server.core.abuse.store import NewChatStore
from interop_server.storage.postgres.concern import Concern


class PostgresNewChats(Concern, NewChatStore):
    """The view of unanswered chats."""

    _LIST_UNANSWERED = """
        SELECT opened_at_ms FROM unanswered_chat JOIN account ON account_id = third_party_id
        WHERE third_party_id = $1 AND opened_at_ms > $2 AND opened_at_ms > new_chats_since_ms
        ORDER BY opened_at_ms DESC LIMIT $3
    """

    async def list_unanswered(self, account_id: int, since_ms: int, limit: int) -> list[int]:
        rows = await self._rows(self._LIST_UNANSWERED, account_id, since_ms, limit)
        return [opened_at_ms for (opened_at_ms,) in rows]

    _RESET = "UPDATE account SET new_chats_since_ms = $2 WHERE account_id = $1"

    async def reset(self, account_id: int, now_ms: int) -> None:
        await self._change(self._RESET, account_id, now_ms)
