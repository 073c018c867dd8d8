"""Challenges that wait for an answer, in PostgreSQL; knows no answer."""

from interop_server.core.abuse.store import PendingChallenges
from interop_server.core.model import Challenge
from interop_server.core.sweeps import STEP
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.session import Session


class PostgresChallenges(Concern, PendingChallenges):
    """The table of challenges."""

    _PUT = """
        INSERT INTO challenge (account_id, token, prompt, code, expires_at_ms)
        SELECT account_id, $2, $3, $4, $5 FROM account WHERE account_id = $1
        ON CONFLICT (account_id) DO UPDATE
            SET token = excluded.token, prompt = excluded.prompt, code = excluded.code,
                expires_at_ms = excluded.expires_at_ms
    """

    _FORGET = """
        DELETE FROM challenge WHERE account_id IN (
            SELECT account_id FROM challenge WHERE expires_at_ms <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
        )
    """

    async def put(self, account_id: int, challenge: Challenge, now_ms: int) -> None:
        async def put(db: Session) -> None:
            await db.change(self._FORGET, now_ms, STEP)
            await db.change(self._PUT, account_id, *challenge)

        await self._engine.write(put)

    _GET = "SELECT token, prompt, code, expires_at_ms FROM challenge WHERE account_id = $1 AND expires_at_ms > $2"

    async def get(self, account_id: int, now_ms: int) -> Challenge | None:
        row = await self._row(self._GET, account_id, now_ms)
        return None if row is None else Challenge(*row)

    _TAKE = """
        DELETE FROM challenge WHERE account_id = $1 AND token = $2 AND expires_at_ms > $3
        RETURNING token, prompt, code, expires_at_ms
    """

    async def take(self, account_id: int, token: str, now_ms: int) -> Challenge | None:
        rows = await self._engine.write(lambda db: db.changed(self._TAKE, account_id, token, now_ms))
        return Challenge(*rows[0]) if rows else None
