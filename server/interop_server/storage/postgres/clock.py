"""What the one clock of several processes does, in PostgreSQL; moves none."""

from interop_server.core.nodes import WorldTime
from interop_server.storage.postgres.session import Session

_MOST_SKEW_MS = 5_000
"""By how much the clocks of machines may differ without moving the world."""

_GET_TIME = "SELECT clock_version, clock_stands_at_ms, clock_is_frozen, time_ahead_ms FROM server"
_RAISE = f"""
    UPDATE server SET clock_version = clock_version + 1, time_ahead_ms = $1::bigint
    WHERE clock_stands_at_ms IS NULL AND time_ahead_ms < $1::bigint - {_MOST_SKEW_MS}
"""
# Where it goes is noted as shown before anything falls due: after a kill on the way, what was deleted must not be due
# only later.
_SET_TIME = """
    UPDATE server SET clock_version = clock_version + 1, clock_stands_at_ms = $1, clock_is_frozen = $2,
        time_ahead_ms = coalesce($3, time_ahead_ms), time_floor_ms = greatest(time_floor_ms, $1)
    WHERE EXISTS (
        SELECT FROM turn JOIN node ON node.seat = turn.seat WHERE turn.name = 'clock' AND turn.seat = $4
    )
    RETURNING clock_version
"""
ARRIVE = """
    UPDATE node SET clock_version = $2, clock_at_ms = $3, clock_fired = $4, clock_fired_times = $5 WHERE seat = $1
"""
ARRIVALS = """
    SELECT clock_version, clock_at_ms, clock_fired, clock_fired_times FROM node ORDER BY seat <> $1, seat
"""


async def get_time(db: Session) -> WorldTime:
    """Returns what the clock does."""
    [row] = await db.rows(_GET_TIME)
    return WorldTime(*row)


async def begin_time(db: Session, ahead_ms: int) -> WorldTime:
    """Returns what the clock does; it runs further ahead than before where it was shown far later times."""
    await db.change(_RAISE, ahead_ms)
    return await get_time(db)


async def set_time(db: Session, stands_at_ms: int | None, is_frozen: bool, ahead_ms: int | None) -> int | None:
    """Has the clock stand or run, if it is the turn of this process; returns the version of the new state."""
    rows = await db.changed(_SET_TIME, stands_at_ms, is_frozen, ahead_ms, db.seat)
    return int(rows[0][0]) if rows else None
