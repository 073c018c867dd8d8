"""Reports that counted, and complaints in numbers of people, in SQLite; knows no consequence of them."""

import sqlite3
from functools import partial

from interop_server.core.abuse.store import ReportStore
from interop_server.core.model import Account, Complaints, ExternalUser
from interop_server.storage.records import user_sha256
from interop_server.storage.sqlite.concern import Concern, choose
from interop_server.storage.sqlite.standing import who_has

_ADD = """
    INSERT INTO counted_report (integrator, reported_sha256, reporter_sha256, counted_at_ms) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (integrator, reported_sha256, reporter_sha256) DO UPDATE
        SET counted_at_ms = excluded.counted_at_ms WHERE counted_report.counted_at_ms < ?5
"""
_COUNT_REPORTERS = """
    SELECT count(*) FROM counted_report WHERE integrator = ?1 AND reported_sha256 = ?2 AND counted_at_ms >= ?3
"""
_COUNT_REPORTERS_OF_PARTNER = "SELECT count(*) FROM counted_report WHERE integrator = ?1 AND counted_at_ms >= ?2"
# Only a blocker who has a chat with the account counts: any user may block any JID.
_COUNT_BLOCKERS = f"""
    SELECT count(*) FROM account
    CROSS JOIN blocked ON blocked.jid = account.jid
    CROSS JOIN chat ON
        whatsapp_id = {choose("account.integrator = 0", "account.account_id", "blocked.account_id")}
        AND third_party_id = {choose("account.integrator = 0", "blocked.account_id", "account.account_id")}
    WHERE
"""
_COUNT_UNANSWERED = """
    SELECT count(*) FROM account CROSS JOIN unanswered_chat ON third_party_id = account.account_id
    WHERE opened_at_ms >= ?2 AND
"""
_OF_ACCOUNT = " account.account_id = ?1"
_OF_PARTNER = " account.integrator = ?1"


def _add(
    db: sqlite3.Connection, reported: ExternalUser, reporter: ExternalUser, now_ms: int, since_ms: int
) -> int | None:
    key = (reported.integrator, user_sha256(reported))
    added = db.execute(_ADD, (*key, user_sha256(reporter), now_ms, since_ms))
    return _count(db, _COUNT_REPORTERS, *key, since_ms) if added.rowcount else None


def _count(db: sqlite3.Connection, sql: str, *values: int | bytes) -> int:
    [(count,)] = db.execute(sql, values).fetchall()
    return int(count)


def _complaints(db: sqlite3.Connection, account: Account, since_ms: int) -> Complaints:
    own = account.account_id
    user = who_has(db, own, account.external_user)
    return Complaints(
        _count(db, _COUNT_REPORTERS, user.integrator, user_sha256(user), since_ms),
        _count(db, _COUNT_BLOCKERS + _OF_ACCOUNT, own),
        _count(db, _COUNT_UNANSWERED + _OF_ACCOUNT, own, since_ms),
    )


def _complaints_of_partner(db: sqlite3.Connection, integrator: int, since_ms: int) -> Complaints:
    return Complaints(
        _count(db, _COUNT_REPORTERS_OF_PARTNER, integrator, since_ms),
        _count(db, _COUNT_BLOCKERS + _OF_PARTNER, integrator),
        _count(db, _COUNT_UNANSWERED + _OF_PARTNER, integrator, since_ms),
    )


class SqliteReports(Concern, ReportStore):
    """The table of reports that counted."""

    async def add(
        self,
        reported: ExternalUser,
        reporter: ExternalUser,
        now_ms: int,
        since_ms: int,
        account_ids: tuple[int, int] = (0, 0),
    ) -> int | None:
        def add(db: sqlite3.Connection) -> int | None:
            reported_now, reporter_now = map(partial(who_has, db), account_ids, (reported, reporter))
            return _add(db, reported_now, reporter_now, now_ms, since_ms)

        return await self._engine.write(add)

    _DELETE = "DELETE FROM counted_report WHERE integrator = ?1 AND reported_sha256 = ?2"

    async def delete(self, reported: ExternalUser, account_id: int = 0) -> None:
        def delete(db: sqlite3.Connection) -> None:
            now = who_has(db, account_id, reported)
            db.execute(self._DELETE, (now.integrator, user_sha256(now)))

        await self._engine.write(delete)

    _DELETE_EXPIRED = """
        DELETE FROM counted_report WHERE (integrator, reported_sha256, reporter_sha256) IN (
            SELECT integrator, reported_sha256, reporter_sha256 FROM counted_report WHERE counted_at_ms < ?1 LIMIT ?2
        )
    """

    async def delete_expired(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_EXPIRED, before_ms, most)

    _OLDEST = "SELECT min(counted_at_ms) FROM counted_report"

    async def oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)

    async def count_complaints(self, account: Account, since_ms: int) -> Complaints:
        return await self._engine.read(lambda db: _complaints(db, account, since_ms))

    async def count_complaints_of_partner(self, integrator: int, since_ms: int) -> Complaints:
        return await self._engine.read(lambda db: _complaints_of_partner(db, integrator, since_ms))
