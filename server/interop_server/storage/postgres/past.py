"""What the server remembers of its own past, in PostgreSQL; knows nothing of its use."""

from collections.abc import Callable

from interop_server.core.operator.store import PastStore
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.engine import Finisher
from interop_server.storage.postgres.mailbox import newest_timestamp_ms
from interop_server.storage.postgres.session import Session

_COUNT_START = "UPDATE server SET starts = starts + 1 RETURNING starts"
_GET_TIME_AHEAD = "SELECT time_ahead_ms FROM server"
_GET_TIME_FLOOR = "SELECT greatest(time_floor_ms, (SELECT max(noted_ms) FROM noted_time)) FROM server"


async def _time_floor_ms(db: Session) -> int:
    [(floor_ms,)] = await db.rows(_GET_TIME_FLOOR)
    return max(int(floor_ms), await newest_timestamp_ms(db))


def note_time(now_ms: Callable[[], int]) -> Finisher:
    """Returns what notes, with everything that is stored, the time at which it is: no restart may stand before it.

    Each process has a row of its own. With one for all, each commit would wait for that of another process. A node that
    the others took for dead, whose row is gone, has one again with the first thing that it stores.

    Args:
        now_ms: Tells the server's time.
    """

    def finish(session: Session) -> str:
        at_ms, seat = int(now_ms()), int(session.seat)
        return (
            f"INSERT INTO noted_time (seat, noted_ms) VALUES ({seat}, {at_ms}) ON CONFLICT (seat)"
            " DO UPDATE SET noted_ms = excluded.noted_ms WHERE noted_time.noted_ms < excluded.noted_ms; "
        )

    return finish


_NOTE_TIME = """
    UPDATE server SET time_floor_ms = $1, time_ahead_ms = $2, clock_stands_at_ms = NULL, clock_is_frozen = FALSE
"""
# Another node may have shown a later time. How far all of them run ahead is noted with what their clock does.
_NOTE_TIME_OF_NODE = "UPDATE server SET time_floor_ms = greatest(time_floor_ms, $1)"
_FORGET_NOTED = "UPDATE noted_time SET noted_ms = $1 WHERE noted_ms > $1"


class PostgresPast(Concern, PastStore):
    """The one row of the server itself."""

    async def take_start_number(self) -> int:
        [(starts,)] = await self._engine.write(lambda db: db.changed(_COUNT_START))
        return int(starts)

    async def note_time(self, ms: int, ahead_ms: int) -> None:
        async def note(db: Session) -> None:
            if db.seat:
                await db.change(_NOTE_TIME_OF_NODE, ms)
                return
            await db.change(_NOTE_TIME, ms, ahead_ms)
            await db.change(_FORGET_NOTED, ms)

        await self._engine.write(note)

    async def get_time_ahead_ms(self) -> int:
        [(ahead_ms,)] = await self._rows(_GET_TIME_AHEAD)
        return int(ahead_ms)

    async def get_time_floor_ms(self) -> int:
        return await self._engine.read(_time_floor_ms)
