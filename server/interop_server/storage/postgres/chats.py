"""Chats and their first contacts in PostgreSQL; knows no rule about answers and marks."""

from collections.abc import Sequence

from interop_server.core.consent.store import ChatStore
from interop_server.core.messages import Chat, RequestAnswer
from interop_server.core.model import MessageRequestState
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.mailbox import put_answers


class PostgresChats(Concern, ChatStore):
    """The table of chats."""

    _LIST_PAGE = """
        SELECT jid, peer.integrator, external_id, last_message_at_ms, request_state, NOT EXISTS (
            SELECT 1 FROM opted_in WHERE opted_in.account_id = $1 AND opted_in.integrator = peer.integrator
        )
        FROM chat JOIN account AS peer ON peer.account_id = third_party_id
        WHERE whatsapp_id = $1 AND listed = 1
        AND ($2::bigint IS NULL OR last_message_at_ms < $2 OR (last_message_at_ms = $2 AND jid > $3))
        ORDER BY last_message_at_ms DESC, jid LIMIT $4
    """

    async def list_page(self, account_id: int, before: tuple[int, str] | None, limit: int) -> list[Chat]:
        last_message_at_ms, peer_jid = before or (None, "")
        rows = await self._rows(self._LIST_PAGE, account_id, last_message_at_ms, peer_jid, limit)
        return [
            Chat(jid, integrator, external_id, newest_ms, read_only, MessageRequestState(state))
            for jid, integrator, external_id, newest_ms, state, read_only in rows
        ]

    _DELETE = """
        UPDATE chat SET listed = 0
        WHERE whatsapp_id = $1 AND third_party_id = (SELECT account_id FROM account WHERE jid = $2)
    """

    async def delete(self, account_id: int, peer_jid: str) -> None:
        await self._change(self._DELETE, account_id, peer_jid)

    async def put_answers(self, answers: Sequence[RequestAnswer]) -> None:
        await self._engine.write(lambda db: put_answers(db, answers))
