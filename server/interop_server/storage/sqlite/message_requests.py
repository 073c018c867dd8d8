"""First contacts in SQLite; knows no rule of who may answer and what a mark is worth."""

import sqlite3
from collections.abc import Sequence

from interop_server.core.messages import RequestAnswer
from interop_server.core.model import MessageRequestState
from interop_server.core.stores import MessageRequestStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.mailbox import put_notice


def _answer(db: sqlite3.Connection, answer: RequestAnswer) -> None:
    pair = (answer.whatsapp_id, answer.third_party_id)
    db.execute(
        "UPDATE chat SET request_state = ?3 WHERE whatsapp_id = ?1 AND third_party_id = ?2 AND request_state <> ?3",
        (*pair, answer.state),
    )
    if answer.notice is None:
        return
    marked = db.execute(
        """
        UPDATE chat SET trusted_until_ms = ?3
        WHERE whatsapp_id = ?1 AND third_party_id = ?2 AND trusted_until_ms < ?3
        """,
        (*pair, answer.trusted_until_ms),
    )
    if marked.rowcount:
        put_notice(db, answer.notice)


class SqliteMessageRequests(EngineUser, MessageRequestStore):
    """What the chat table says of first contacts."""

    async def put_request_answers(self, answers: Sequence[RequestAnswer]) -> None:  # noqa: D102
        def put(db: sqlite3.Connection) -> None:
            for answer in answers:
                _answer(db, answer)

        await self._engine.write(put)

    async def list_unanswered_chats(self, account_id: int, since_ms: int, limit: int) -> list[int]:  # noqa: D102
        def list_times(db: sqlite3.Connection) -> list[int]:
            rows = db.execute(
                f"""
                SELECT opened_at_ms FROM chat JOIN account ON account_id = third_party_id
                WHERE third_party_id = ?1 AND opened_at_ms > max(?2, new_chats_since_ms)
                AND request_state <> {MessageRequestState.ACCEPTED:d} AND trusted_until_ms = 0
                ORDER BY opened_at_ms DESC LIMIT ?3
                """,
                (account_id, since_ms, limit),
            ).fetchall()
            return [opened_at_ms for (opened_at_ms,) in rows]

        return await self._engine.read(list_times)

    async def reset_new_chats(self, account_id: int, now_ms: int) -> None:  # noqa: D102
        def reset(db: sqlite3.Connection) -> None:
            db.execute("UPDATE account SET new_chats_since_ms = ?2 WHERE account_id = ?1", (account_id, now_ms))

        await self._engine.write(reset)
