"""A token bucket per key; knows no clock but the one it is given."""

from collections import OrderedDict
from collections.abc import Hashable

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS
from interop_server.core.ports import Clock

_MAX_KEYS = 100_000


class RateLimit:
    """Allows bursts, then a steady rate, per key.

    Remembers the most recently used keys only; a forgotten key starts with a full bucket.
    """

    def __init__(self, clock: Clock, burst: int, per_second: float) -> None:
        self._clock = clock
        self._burst = float(burst)
        self._per_ms = per_second / SECOND_MS
        self._buckets: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def take(self, key: Hashable, amount: int = 1) -> None:
        """Takes from the key's bucket.

        Raises:
            Refusal: RATE_LIMITED with the delay after which the amount will be there. Nothing was taken.
        """
        level, now_ms = self._level(key)
        if amount > level:
            raise self._refusal(amount, level)
        self._buckets[key] = (level - amount, now_ms)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)

    def check(self, key: Hashable, amount: int = 1) -> None:
        """Says whether the key's bucket holds the amount, and takes nothing.

        Raises:
            Refusal: RATE_LIMITED as `take`.
        """
        level, _ = self._level(key)
        if amount > level:
            raise self._refusal(amount, level)

    def _level(self, key: Hashable) -> tuple[float, int]:
        now_ms = self._clock.now_ms()
        level, at_ms = self._buckets.get(key, (self._burst, now_ms))
        return min(self._burst, level + max(0, now_ms - at_ms) * self._per_ms), now_ms

    def _refusal(self, amount: int, level: float) -> Refusal:
        return Refusal(Reason.RATE_LIMITED, retry_after_ms=int((min(amount, self._burst) - level) / self._per_ms) + 1)
