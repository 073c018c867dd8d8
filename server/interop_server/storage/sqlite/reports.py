"""Who was reported by how many, in SQLite; knows nothing of what counts and what follows."""

import sqlite3

from interop_server.core.model import Account, Complaints, ExternalUser, MessageRequestState
from interop_server.core.stores import ReportStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.standing import user_sha256

# Only people who have a chat with somebody can have something against them: anybody may block any JID.
_BLOCKERS = """
    SELECT count(*) FROM account
    CROSS JOIN blocked ON blocked.jid = account.jid
    CROSS JOIN chat ON whatsapp_id = iif(integrator = 0, account.account_id, blocked.account_id)
        AND third_party_id = iif(integrator = 0, blocked.account_id, account.account_id)
"""

_UNANSWERED = f"""
    SELECT count(*) FROM account CROSS JOIN chat ON third_party_id = account_id
    WHERE request_state <> {MessageRequestState.ACCEPTED:d} AND trusted_until_ms = 0 AND opened_at_ms >= ?2
"""


class SqliteReports(EngineUser, ReportStore):
    """The table of reports that counted."""

    async def add_report(  # noqa: D102
        self, reported: ExternalUser, reporter: ExternalUser, now_ms: int, since_ms: int
    ) -> int | None:
        key = (reported.integrator, user_sha256(reported))

        def add(db: sqlite3.Connection) -> int | None:
            added = db.execute(
                """
                INSERT INTO counted_report (integrator, reported_sha256, reporter_sha256, counted_at_ms)
                VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT DO UPDATE SET counted_at_ms = excluded.counted_at_ms WHERE counted_at_ms < ?5
                """,
                (*key, user_sha256(reporter), now_ms, since_ms),
            )
            return _count(db, *key, since_ms) if added.rowcount else None

        return await self._engine.write(add)

    async def delete_reports(self, reported: ExternalUser) -> None:  # noqa: D102
        def delete(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM counted_report WHERE integrator = ?1 AND reported_sha256 = ?2",
                (reported.integrator, user_sha256(reported)),
            )

        await self._engine.write(delete)

    async def delete_old_reports(self, before_ms: int) -> int:  # noqa: D102
        def delete(db: sqlite3.Connection) -> int:
            return db.execute("DELETE FROM counted_report WHERE counted_at_ms < ?1", (before_ms,)).rowcount

        return await self._engine.write(delete)

    async def oldest_report_ms(self) -> int | None:  # noqa: D102
        def look(db: sqlite3.Connection) -> int | None:
            [(counted_at_ms,)] = db.execute("SELECT min(counted_at_ms) FROM counted_report").fetchall()
            return None if counted_at_ms is None else int(counted_at_ms)

        return await self._engine.read(look)

    async def count_complaints(self, account: Account, since_ms: int) -> Complaints:  # noqa: D102
        key = (account.integrator, user_sha256(account.external_user))

        def count(db: sqlite3.Connection) -> Complaints:
            own = account.account_id
            [(blockers,)] = db.execute(f"{_BLOCKERS} WHERE account.account_id = ?1", (own,)).fetchall()
            [(unanswered,)] = db.execute(f"{_UNANSWERED} AND account_id = ?1", (own, since_ms)).fetchall()
            return Complaints(_count(db, *key, since_ms), blockers, unanswered)

        return await self._engine.read(count)

    async def count_complaints_of_partner(self, integrator: int, since_ms: int) -> Complaints:  # noqa: D102
        def count(db: sqlite3.Connection) -> Complaints:
            reports = "SELECT count(*) FROM counted_report WHERE integrator = ?1 AND counted_at_ms >= ?2"
            [(reporters,)] = db.execute(reports, (integrator, since_ms)).fetchall()
            [(blockers,)] = db.execute(f"{_BLOCKERS} WHERE integrator = ?1", (integrator,)).fetchall()
            [(unanswered,)] = db.execute(f"{_UNANSWERED} AND integrator = ?1", (integrator, since_ms)).fetchall()
            return Complaints(reporters, blockers, unanswered)

        return await self._engine.read(count)


def _count(db: sqlite3.Connection, integrator: int, reported_sha256: bytes, since_ms: int) -> int:
    [(reporters,)] = db.execute(
        """
        SELECT count(*) FROM counted_report
        WHERE integrator = ?1 AND reported_sha256 = ?2 AND counted_at_ms >= ?3
        """,
        (integrator, reported_sha256, since_ms),
    ).fetchall()
    return int(reporters)
