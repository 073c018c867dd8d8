"""Reports that counted, and complaints in numbers of people, in PostgreSQL; knows no consequence of them."""

from interop_server.core.abuse.store import ReportStore
from interop_server.core.model import Account, Complaints, ExternalUser
from interop_server.storage.postgres.concern import LOCK_ACCOUNTS, Concern, lock_account, lock_name
from interop_server.storage.postgres.session import Session, Value
from interop_server.storage.postgres.standing import who_has
from interop_server.storage.records import user_sha256

_ADD = """
    INSERT INTO counted_report (integrator, reported_sha256, reporter_sha256, counted_at_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (integrator, reported_sha256, reporter_sha256) DO UPDATE
        SET counted_at_ms = excluded.counted_at_ms WHERE counted_report.counted_at_ms < $5
"""
_COUNT_REPORTERS = """
    SELECT count(*) FROM counted_report WHERE integrator = $1 AND reported_sha256 = $2 AND counted_at_ms >= $3
"""
_COUNT_REPORTERS_OF_PARTNER = "SELECT count(*) FROM counted_report WHERE integrator = $1 AND counted_at_ms >= $2"
# Only a blocker who has a chat with the account counts: any user may block any JID.
_COUNT_BLOCKERS = """
    SELECT count(*) FROM account
    JOIN blocked ON blocked.jid = account.jid
    JOIN chat ON
        whatsapp_id = CASE WHEN account.integrator = 0 THEN account.account_id ELSE blocked.account_id END
        AND third_party_id = CASE WHEN account.integrator = 0 THEN blocked.account_id ELSE account.account_id END
    WHERE
"""
_COUNT_UNANSWERED = """
    SELECT count(*) FROM account JOIN unanswered_chat ON third_party_id = account.account_id
    WHERE opened_at_ms >= $2 AND
"""
_OF_ACCOUNT = " account.account_id = $1"
_OF_PARTNER = " account.integrator = $1"


async def _add(db: Session, reported: ExternalUser, reporter: ExternalUser, now_ms: int, since_ms: int) -> int | None:
    key = (reported.integrator, user_sha256(reported))
    await lock_name(db, f"reports of {key[1].hex()}")  # each new number of reporters is returned once
    added = await db.change(_ADD, *key, user_sha256(reporter), now_ms, since_ms)
    return await _count(db, _COUNT_REPORTERS, *key, since_ms) if added else None


async def _count(db: Session, sql: str, *values: Value) -> int:
    [(count,)] = await db.rows(sql, *values)
    return int(count)


async def _complaints(db: Session, account: Account, since_ms: int) -> Complaints:
    own = account.account_id
    user = await who_has(db, own, account.external_user)
    return Complaints(
        await _count(db, _COUNT_REPORTERS, user.integrator, user_sha256(user), since_ms),
        await _count(db, _COUNT_BLOCKERS + _OF_ACCOUNT, own),
        await _count(db, _COUNT_UNANSWERED + _OF_ACCOUNT, own, since_ms),
    )


async def _complaints_of_partner(db: Session, integrator: int, since_ms: int) -> Complaints:
    return Complaints(
        await _count(db, _COUNT_REPORTERS_OF_PARTNER, integrator, since_ms),
        await _count(db, _COUNT_BLOCKERS + _OF_PARTNER, integrator),
        await _count(db, _COUNT_UNANSWERED + _OF_PARTNER, integrator, since_ms),
    )


class PostgresReports(Concern, ReportStore):
    """The table of reports that counted."""

    async def add(
        self,
        reported: ExternalUser,
        reporter: ExternalUser,
        now_ms: int,
        since_ms: int,
        account_ids: tuple[int, int] = (0, 0),
    ) -> int | None:
        async def add(db: Session) -> int | None:
            await db.rows(LOCK_ACCOUNTS, sorted(account_ids))
            reported_now = await who_has(db, account_ids[0], reported)
            reporter_now = await who_has(db, account_ids[1], reporter)
            return await _add(db, reported_now, reporter_now, now_ms, since_ms)

        return await self._engine.write(add)

    _DELETE = "DELETE FROM counted_report WHERE integrator = $1 AND reported_sha256 = $2"

    async def delete(self, reported: ExternalUser, account_id: int = 0) -> None:
        async def delete(db: Session) -> None:
            await lock_account(db, account_id)
            now = await who_has(db, account_id, reported)
            await db.change(self._DELETE, now.integrator, user_sha256(now))

        await self._engine.write(delete)

    _DELETE_EXPIRED = """
        DELETE FROM counted_report WHERE (integrator, reported_sha256, reporter_sha256) IN (
            SELECT integrator, reported_sha256, reporter_sha256 FROM counted_report WHERE counted_at_ms < $1
            LIMIT $2 FOR UPDATE SKIP LOCKED
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
