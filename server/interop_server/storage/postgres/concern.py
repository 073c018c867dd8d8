"""The base of every concern of the store: the engine, and calls of one statement; knows no table."""

from interop_server.storage.postgres.engine import Engine
from interop_server.storage.postgres.session import Row, Session, Value

LOCK_ACCOUNTS = """
    SELECT account_id FROM account WHERE account_id = ANY ($1::bigint[]) ORDER BY account_id FOR NO KEY UPDATE
"""
"""Locks the rows of accounts, by id ascending, so that no two transactions wait for each other."""


async def lock_account(db: Session, account_id: int) -> None:
    """Has what else changes this account wait for the end of the transaction; nothing without such an account."""
    await db.rows(LOCK_ACCOUNTS, [account_id])


_LOCK_NAME = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1::text, 0))"


async def lock_name(db: Session, name: str) -> None:
    """Has others that lock the same name wait for the end of the transaction: for what has no row yet."""
    await db.rows(_LOCK_NAME, name)


class Concern:
    """Reads and writes through one engine. A call with several statements is a coroutine function of a session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def _rows(self, sql: str, *values: Value) -> list[Row]:
        return await self._engine.read(lambda db: db.rows(sql, *values))

    async def _row(self, sql: str, *values: Value) -> Row | None:
        return await self._engine.read(lambda db: db.row(sql, *values))

    async def _number(self, sql: str, *values: Value) -> int | None:
        """Returns the one number of a query for a minimum or a maximum; None when no row matches."""
        [(number,)] = await self._rows(sql, *values)
        return None if number is None else int(number)

    async def _change(self, sql: str, *values: Value) -> int:
        """Writes, and returns how many rows changed."""
        return await self._engine.write(lambda db: db.change(sql, *values))
