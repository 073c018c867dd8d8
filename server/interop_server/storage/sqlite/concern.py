"""The base of every concern of the store: the engine, and calls of one statement; knows no table."""

from typing import Any

from interop_server.storage.sqlite.engine import Engine

Value = int | str | bytes | None
"""The value of a parameter, such as `?1`, in a statement."""


def choose(condition: str, then: str, otherwise: str) -> str:
    """Returns the SQL for one of two values."""
    return f"CASE WHEN {condition} THEN {then} ELSE {otherwise} END"


class Concern:
    """Reads and writes through one engine. A call with several statements is a function of a connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def _rows(self, sql: str, *values: Value) -> list[tuple[Any, ...]]:
        return await self._engine.read(lambda db: db.execute(sql, values).fetchall())

    async def _row(self, sql: str, *values: Value) -> tuple[Any, ...] | None:
        rows = await self._rows(sql, *values)
        return rows[0] if rows else None

    async def _number(self, sql: str, *values: Value) -> int | None:
        """Returns the one number of a query for a minimum or a maximum; None when no row matches."""
        [(number,)] = await self._rows(sql, *values)
        return None if number is None else int(number)

    async def _change(self, sql: str, *values: Value) -> int:
        """Writes, and returns how many rows changed."""
        return await self._engine.write(lambda db: db.execute(sql, values).rowcount)
