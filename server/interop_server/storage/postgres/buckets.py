"""The buckets of rates that several processes share, in PostgreSQL; knows no rate.

They are written by a connection of their own, and nothing else is in its transactions: so none waits for a disk, and no
bucket is held while somebody else's mail is stored.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from interop_server.core.limits import DAY_MS, HOUR_MS
from interop_server.core.ratelimit import Buckets, Take, Terms
from interop_server.core.sweeps import Sweep
from interop_server.storage.postgres.concern import Concern
from interop_server.storage.postgres.engine import Engine
from interop_server.storage.postgres.session import Session

_KEPT_MS = 7 * DAY_MS
"""How long a bucket is kept that is full. A sweep looks as often, also on the way of a leap over a month, which others
wait for."""

# Makes the buckets that are missing, locks all, always in the same order, and returns what the last one left in them.
_LOCK = """
    INSERT INTO bucket (key_sha256, level, at_ms, full_by_ms)
        SELECT key_sha256, level, at_ms, at_ms
        FROM unnest($1::bytea[], $2::numeric[], $3::bigint[]) AS asked (key_sha256, level, at_ms)
    ON CONFLICT (key_sha256) DO UPDATE SET level = bucket.level
    RETURNING key_sha256, level, at_ms
"""
_WRITE = """
    UPDATE bucket SET level = left_in.level, at_ms = left_in.at_ms, full_by_ms = left_in.full_by_ms
    FROM unnest($1::bytea[], $2::numeric[], $3::bigint[], $4::bigint[])
        AS left_in (key_sha256, level, at_ms, full_by_ms)
    WHERE bucket.key_sha256 = left_in.key_sha256
"""
_FORGET = """
    DELETE FROM bucket WHERE key_sha256 IN (
        SELECT key_sha256 FROM bucket WHERE full_by_ms < $1 ORDER BY full_by_ms LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


class _Ask(NamedTuple):
    """How much somebody takes of a bucket."""

    key_sha256: bytes
    terms: Terms
    amount: int
    now_ms: int


async def _take(db: Session, asks: list[_Ask]) -> list[int]:
    full = {ask.key_sha256: (ask.terms.burst, ask.now_ms) for ask in asks}
    keys = sorted(full)
    rows = await db.changed(_LOCK, keys, [full[key][0] for key in keys], [full[key][1] for key in keys])
    levels = {key: (int(level), at_ms) for key, level, at_ms in rows}
    full_by_ms, waits = {}, []
    for key, terms, amount, now_ms in asks:
        level, at_ms = levels[key]
        level, at_ms = terms.level(level, at_ms, now_ms), max(at_ms, now_ms)
        wait_ms = terms.wait_ms(amount, level)
        levels[key] = level, at_ms = level if wait_ms else terms.less(level, amount), at_ms
        full_by_ms[key] = -(-terms.full_ms(level, at_ms) // HOUR_MS) * HOUR_MS
        waits.append(wait_ms and wait_ms + at_ms - now_ms)  # the clock of another process may be ahead
    await db.change(
        _WRITE,
        keys,
        [levels[key][0] for key in keys],
        [levels[key][1] for key in keys],
        [full_by_ms[key] for key in keys],
    )
    return waits


class PostgresBuckets(Concern, Buckets):
    """The table of buckets.

    Args:
        engine: Writes nothing else.
        now_ms: Tells the time of the world, as this process has it.
    """

    def __init__(self, engine: Engine, now_ms: Callable[[], int]) -> None:
        super().__init__(engine)
        self._now_ms = now_ms

    @classmethod
    async def open(cls, engine: Engine, now_ms: Callable[[], int]) -> Self:
        """Connects.

        Raises:
            Exception: What the opener of the connection raises.
        """
        await engine.open()
        return cls(engine, now_ms)

    async def close(self) -> None:
        """Finishes waiting calls, and disconnects."""
        await self._engine.close()

    async def take(self, terms: Terms, takes: Sequence[Take]) -> list[int]:
        now_ms = self._now_ms()
        asks = [_Ask(_key(terms, take), terms, take.amount, now_ms) for take in takes]
        return await self._engine.write_batch(_take, asks) if asks else []

    def sweeps(self) -> tuple[Sweep, ...]:
        return (Sweep("rate_buckets", "KEY-14", _KEPT_MS, self._oldest_ms, self._delete_full),)

    _OLDEST = "SELECT min(full_by_ms) FROM bucket"

    async def _oldest_ms(self) -> int | None:
        return await self._number(self._OLDEST)

    async def _delete_full(self, before_ms: int, most: int) -> int:
        return await self._change(_FORGET, before_ms, most)


def _key(terms: Terms, take: Take) -> bytes:
    """Returns what names a bucket, and nobody whose it is."""
    return hashlib.sha256(repr((terms.name, take.key)).encode()).digest()
