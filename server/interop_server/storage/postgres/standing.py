"""Sanctions in PostgreSQL; knows no effect of a sanction."""

from collections.abc import Sequence

from interop_server.core.abuse.standing import BANS
from interop_server.core.abuse.store import StandingStore
from interop_server.core.model import ExternalUser, Sanction, SanctionKind
from interop_server.storage.postgres.concern import Concern, lock_account
from interop_server.storage.postgres.connections import end_connection
from interop_server.storage.postgres.session import Session
from interop_server.storage.records import HASHES, user_sha256

_WHO_HAS = "SELECT integrator, external_id FROM account WHERE account_id = $1"


async def who_has(db: Session, account_id: int, user: ExternalUser) -> ExternalUser:
    """Returns who has an account now: its number may have changed since `user` was read. `user` when there is none.

    Whoever writes what depends on it locks the account first.
    """
    row = await db.row(_WHO_HAS, account_id)
    return user if row is None else ExternalUser(*row)


async def move_standing(db: Session, old: ExternalUser, new: ExternalUser) -> None:
    """Moves a person's sanctions and reports to another identifier, in place of those that it had."""
    hashes = (user_sha256(old), user_sha256(new))
    if hashes[0] == hashes[1]:
        return
    for table, column in HASHES:
        await db.change(f"DELETE FROM {table} WHERE {column} = $1", hashes[1])
        await db.change(f"UPDATE {table} SET {column} = $2 WHERE {column} = $1", *hashes)


class PostgresStanding(Concern, StandingStore):
    """The table of sanctions."""

    _LIST_IN_FORCE = """
        SELECT kind, sub_code, expires_at_ms FROM sanction
        WHERE integrator = $1 AND user_sha256 = $2 AND (expires_at_ms IS NULL OR expires_at_ms > $3)
        ORDER BY kind
    """

    async def list_in_force(self, user: ExternalUser, now_ms: int) -> list[Sanction]:
        rows = await self._rows(self._LIST_IN_FORCE, user.integrator, user_sha256(user), now_ms)
        return [Sanction(SanctionKind(kind), sub_code, expires_at_ms) for kind, sub_code, expires_at_ms in rows]

    _PUT = """
        INSERT INTO sanction (integrator, user_sha256, kind, sub_code, expires_at_ms) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (integrator, user_sha256, kind) DO UPDATE
            SET sub_code = excluded.sub_code, expires_at_ms = excluded.expires_at_ms
    """

    async def put(self, user: ExternalUser, sanction: Sanction, account_id: int = 0) -> None:
        async def put(db: Session) -> None:
            await lock_account(db, account_id)
            now = await who_has(db, account_id, user)
            whose = (now.integrator, user_sha256(now))
            await db.change(self._PUT, *whose, sanction.kind, sanction.sub_code, sanction.expires_at_ms)
            if sanction.kind in BANS:
                await end_connection(db, account_id, BANS[sanction.kind])

        await self._engine.write(put)

    _DELETE = """
        DELETE FROM sanction WHERE integrator = $1 AND user_sha256 = $2 AND kind = ANY ($3::bigint[])
    """

    async def delete(self, user: ExternalUser, kinds: Sequence[SanctionKind], account_id: int = 0) -> None:
        async def delete(db: Session) -> None:
            await lock_account(db, account_id)
            now = await who_has(db, account_id, user)
            await db.change(self._DELETE, now.integrator, user_sha256(now), list(kinds))

        await self._engine.write(delete)

    _COUNT_BANNED = f"SELECT count(*) FROM sanction WHERE integrator = $1 AND kind = {SanctionKind.BAN:d}"

    async def count_banned(self, integrator: int) -> int:
        [(count,)] = await self._rows(self._COUNT_BANNED, integrator)
        return int(count)

    _DELETE_ENDED = """
        DELETE FROM sanction WHERE (integrator, user_sha256, kind) IN (
            SELECT integrator, user_sha256, kind FROM sanction WHERE expires_at_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def delete_ended(self, before_ms: int, most: int) -> int:
        return await self._change(self._DELETE_ENDED, before_ms, most)

    _NEXT_END = "SELECT min(expires_at_ms) FROM sanction"

    async def next_end_ms(self) -> int | None:
        return await self._number(self._NEXT_END)
