"""One connection to PostgreSQL, as operations see it; knows no table.

Statements are prepared once for each connection. What they take and return is numbers, text and bytes, and arrays of
them: rows go in as one array for each column.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

Value = int | str | bytes | None | Sequence[int] | Sequence[str] | Sequence[bytes] | Sequence[bool]
"""The value of a parameter, such as `$1`, in a statement."""
Row = Sequence[Any]

CONNECT_SECONDS = 5.0
"""How long a server may take to accept a connection."""
ANSWER_SECONDS = 20.0
"""How long a server may take for one statement; the longest, on the largest account, takes a second."""
_CACHED_STATEMENTS = 512

_SETTINGS = {
    # Durable before it is told, whatever the server's own default is.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",
    # A process that hangs amid a transaction must not hold up the others for ever.
    "idle_in_transaction_session_timeout": "30s",
    "client_min_messages": "warning",
    # What a process holds is free again soon after its machine has gone without a word.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # Every statement has an index to use. Before the first ANALYZE the planner takes tables for empty, and would keep a
    # plan that reads all of them.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


async def connect(url: str, name: str) -> asyncpg.Connection:
    """Connects to a server.

    Args:
        url: `postgresql://…`.
        name: What the server's own list of connections calls this one.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError: There is no connection.
    """
    return await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=ANSWER_SECONDS,
        statement_cache_size=_CACHED_STATEMENTS,
        max_cached_statement_lifetime=0,
        server_settings={"application_name": name, **_SETTINGS},
    )


_NO_CHARACTER = "\ufdd0"
"""Stands for the character 0, which no text of PostgreSQL can hold. Unicode keeps it for that: nobody writes it."""


def _storable(value: Value) -> Value:
    if isinstance(value, str):
        return value.replace("\0", _NO_CHARACTER)
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        return [text.replace("\0", _NO_CHARACTER) for text in value]
    return value


class Session:
    """A connection in use by one operation after another; counts what is written.

    Args:
        connection: The connection.
        seat: The number of this process among those that write to the database.
    """

    def __init__(self, connection: asyncpg.Connection, seat: int = 0) -> None:
        self.connection = connection
        self.seat = seat
        self.changes = 0
        """Rows written so far; only whether it grows counts."""

    async def rows(self, sql: str, *values: Value) -> list[Row]:
        """Runs a statement that only reads."""
        found: list[Row] = await self.connection.fetch(sql, *map(_storable, values))
        return found

    async def row(self, sql: str, *values: Value) -> Row | None:
        """Runs a statement that only reads, and returns its first row."""
        found: Row | None = await self.connection.fetchrow(sql, *map(_storable, values))
        return found

    async def changed(self, sql: str, *values: Value) -> list[Row]:
        """Runs a statement that writes, and returns what it returns: a row for each that it changed."""
        found: list[Row] = await self.connection.fetch(sql, *map(_storable, values))
        self.changes += len(found)
        return found

    async def change(self, sql: str, *values: Value) -> int:
        """Runs a statement that writes, and returns how many rows it changed."""
        status: str = await self.connection.execute(sql, *map(_storable, values))
        count = status.rpartition(" ")[2]  # "INSERT 0 3", "UPDATE 3"
        changed = int(count) if count.isdecimal() else 0
        self.changes += changed
        return changed
