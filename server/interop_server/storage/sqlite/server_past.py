"""What the server knows of its own past, in SQLite; knows nothing of what follows from it."""

import sqlite3

from interop_server.core.stores import PastStore
from interop_server.storage.sqlite.engine_user import EngineUser
from interop_server.storage.sqlite.mailbox import newest_timestamp_ms


class SqlitePast(EngineUser, PastStore):
    """The one row of the server itself."""

    async def take_start_number(self) -> int:  # noqa: D102
        def take(db: sqlite3.Connection) -> int:
            [(starts,)] = db.execute("UPDATE server SET starts = starts + 1 RETURNING starts").fetchall()
            return int(starts)

        return await self._engine.write(take)

    async def raise_time_floor(self, ms: int) -> None:  # noqa: D102
        await self._engine.write(
            lambda db: db.execute("UPDATE server SET time_floor_ms = max(time_floor_ms, ?1)", (ms,))
        )

    async def get_time_floor_ms(self) -> int:  # noqa: D102
        def look(db: sqlite3.Connection) -> int:
            [(floor_ms,)] = db.execute("SELECT time_floor_ms FROM server").fetchall()
            return max(int(floor_ms), newest_timestamp_ms(db))

        return await self._engine.read(look)
