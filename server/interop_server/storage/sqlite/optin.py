"""What WhatsApp users choose, in SQLite; knows no rule of eligibility."""

import json
import sqlite3
from collections.abc import Sequence

from interop_server.core.messages import Chat
from interop_server.core.model import InboxMode, InteropSettings, MessageRequestState
from interop_server.core.stores import OptInStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.reachability import answer_pings


def _put_setting(db: sqlite3.Connection, account_id: int, column: str, value: int) -> None:
    db.execute(
        f"""
        INSERT INTO interop_settings (account_id, {column}) VALUES (?1, ?2)
        ON CONFLICT (account_id) DO UPDATE SET {column} = excluded.{column}
        """,
        (account_id, value),
    )


def _put_opt_in(db: sqlite3.Connection, account_id: int, integrators: Sequence[int]) -> None:
    _put_setting(db, account_id, "enabled", True)
    db.execute("DELETE FROM opt_in WHERE account_id = ?1", (account_id,))
    db.execute(
        "INSERT INTO opt_in (account_id, integrator) SELECT DISTINCT ?1, value FROM json_each(?2)",
        (account_id, json.dumps(list(integrators))),
    )
    answer_pings(db, account_id)


def _put_enabled(db: sqlite3.Connection, account_id: int, enabled: bool) -> None:
    _put_setting(db, account_id, "enabled", enabled)
    answer_pings(db, account_id)


def _settings(db: sqlite3.Connection, account_id: int) -> InteropSettings:
    row = db.execute(
        """
        SELECT enabled, inbox_mode, terms_shown_at_ms IS NOT NULL, terms_accepted_at_ms IS NOT NULL,
               (SELECT json_group_array(integrator) FROM opt_in WHERE account_id = ?1)
        FROM interop_settings WHERE account_id = ?1
        """,
        (account_id,),
    ).fetchone()
    if row is None:
        return InteropSettings()
    enabled, inbox_mode, terms_shown, terms_accepted, integrators = row
    return InteropSettings(
        enabled=bool(enabled),
        integrators=frozenset(json.loads(integrators)),
        inbox_mode=InboxMode(inbox_mode),
        terms_shown=bool(terms_shown),
        terms_accepted=bool(terms_accepted),
    )


class SqliteOptIns(EngineUser, OptInStore):
    """The tables of choices and chats."""

    async def get_settings(self, account_id: int) -> InteropSettings:  # noqa: D102
        return await self._engine.read(lambda db: _settings(db, account_id))

    async def put_terms(self, account_id: int, *, accepted: bool, now_ms: int) -> None:  # noqa: D102
        column = "terms_accepted_at_ms" if accepted else "terms_shown_at_ms"
        await self._engine.write(lambda db: _put_setting(db, account_id, column, now_ms))

    async def put_opt_in(self, account_id: int, integrators: Sequence[int]) -> None:  # noqa: D102
        await self._engine.write(lambda db: _put_opt_in(db, account_id, integrators))

    async def delete_opt_in(self, account_id: int, integrators: Sequence[int]) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM opt_in WHERE account_id = ?1 AND integrator IN (SELECT value FROM json_each(?2))",
                (account_id, json.dumps(list(integrators))),
            )

        await self._engine.write(delete)

    async def put_enabled(self, account_id: int, enabled: bool) -> None:  # noqa: D102
        await self._engine.write(lambda db: _put_enabled(db, account_id, enabled))

    async def put_inbox_mode(self, account_id: int, inbox_mode: InboxMode) -> None:  # noqa: D102
        await self._engine.write(lambda db: _put_setting(db, account_id, "inbox_mode", inbox_mode))

    async def list_chats(self, account_id: int, before: tuple[int, str] | None, limit: int) -> list[Chat]:  # noqa: D102
        last_message_at_ms, peer_jid = before or (None, "")

        def list_page(db: sqlite3.Connection) -> list[Chat]:
            rows = db.execute(
                """
                SELECT jid, peer.integrator, external_id, last_message_at_ms, request_state, NOT EXISTS (
                    SELECT 1 FROM interop_settings JOIN opt_in USING (account_id)
                    WHERE enabled AND account_id = ?1 AND opt_in.integrator = peer.integrator
                )
                FROM chat JOIN account AS peer ON peer.account_id = third_party_id
                WHERE whatsapp_id = ?1 AND listed
                AND (?2 IS NULL OR last_message_at_ms < ?2 OR (last_message_at_ms = ?2 AND jid > ?3))
                ORDER BY last_message_at_ms DESC, jid LIMIT ?4
                """,
                (account_id, last_message_at_ms, peer_jid, limit),
            ).fetchall()
            return [
                Chat(jid, integrator, external_id, newest_ms, bool(read_only), MessageRequestState(state))
                for jid, integrator, external_id, newest_ms, state, read_only in rows
            ]

        return await self._engine.read(list_page)

    async def delete_chat(self, account_id: int, peer_jid: str) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute(
                """
                UPDATE chat SET listed = 0
                WHERE whatsapp_id = ?1 AND third_party_id = (SELECT account_id FROM account WHERE jid = ?2)
                """,
                (account_id, peer_jid),
            )

        await self._engine.write(delete)
