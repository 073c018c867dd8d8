"""What the server remembers of its own past, in SQLite; knows nothing of its use."""

import sqlite3
from collections.abc import Callable

from interop_server.core.operator.store import PastStore
from interop_server.storage.sqlite.concern import Concern
from interop_server.storage.sqlite.engine import Operation
from interop_server.storage.sqlite.mailbox import newest_timestamp_ms

_COUNT_START = "UPDATE server SET starts = starts + 1 RETURNING starts"
_GET_TIME_AHEAD = "SELECT time_ahead_ms FROM server"
_GET_TIME_FLOOR = "SELECT time_floor_ms FROM server"


def _time_floor_ms(db: sqlite3.Connection) -> int:
    [(floor_ms,)] = db.execute(_GET_TIME_FLOOR).fetchall()
    return max(int(floor_ms), newest_timestamp_ms(db))


_RAISE_TIME_FLOOR = "UPDATE server SET time_floor_ms = ?1 WHERE time_floor_ms < ?1"


def note_time(now_ms: Callable[[], int]) -> Callable[[], Operation[None]]:
    """Returns what notes, with everything that is stored, the time at which it is: no restart may stand before it.

    Args:
        now_ms: Tells the server's time.
    """

    def finisher() -> Operation[None]:
        at_ms = now_ms()

        def note(db: sqlite3.Connection) -> None:
            db.execute(_RAISE_TIME_FLOOR, (at_ms,))

        return note

    return finisher


class SqlitePast(Concern, PastStore):
    """The one row of the server itself."""

    async def take_start_number(self) -> int:
        [(starts,)] = await self._engine.write(lambda db: db.execute(_COUNT_START).fetchall())
        return int(starts)

    _NOTE_TIME = "UPDATE server SET time_floor_ms = ?1, time_ahead_ms = ?2"

    async def note_time(self, ms: int, ahead_ms: int) -> None:
        await self._change(self._NOTE_TIME, ms, ahead_ms)

    async def get_time_ahead_ms(self) -> int:
        [(ahead_ms,)] = await self._engine.read(lambda db: db.execute(_GET_TIME_AHEAD).fetchall())
        return int(ahead_ms)

    async def get_time_floor_ms(self) -> int:
        return await self._engine.read(_time_floor_ms)
