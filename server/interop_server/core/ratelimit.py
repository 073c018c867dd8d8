"""A token bucket per key; knows no clock but the given one."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Self

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS, Limits, about
from interop_server.core.ports import Clock

_MAX_KEYS = 100_000
_FORGOTTEN_AT_ONCE = 2
_PARTS = 10**18
"""What one is divided into. A level is a whole number of parts, so that it is exact: with fractions, whoever waited as
told could be a rounding error short."""


class RateLimit:
    """Allows bursts, then a steady rate, per key.

    Remembers the keys whose buckets are not full, and of them the most recently used only; a forgotten key starts with
    a full bucket.

    Args:
        clock: Tells the time.
        burst: How much a full bucket holds.
        per_second: How fast it fills.
        requirement: Id of the rule that the limit serves, for refusals.
    """

    def __init__(self, clock: Clock, burst: int, per_second: float, requirement: str) -> None:
        self._clock = clock
        self._burst = burst * _PARTS
        self._per_ms = int(per_second * (_PARTS // SECOND_MS))
        self._requirement = requirement
        self._buckets: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    @classmethod
    def of(cls, clock: Clock, limits: Limits, name: str) -> Self:
        """Makes the rate limit that the limits `{name}_burst` and `{name}_per_second` describe."""
        burst, per_second = f"{name}_burst", f"{name}_per_second"
        return cls(clock, getattr(limits, burst), getattr(limits, per_second), about(burst).requirements[0])

    def wait_ms(self, key: Hashable, amount: int = 1) -> int:
        """Returns in how many milliseconds the key's bucket will hold the amount: 0 when it does now. Takes nothing."""
        level, _ = self._level(key)
        return self._wait_ms(amount, level)

    def available(self, key: Hashable) -> int:
        """Returns how much could be taken from the key's bucket now. Takes nothing."""
        return self._level(key)[0] // _PARTS

    def take(self, key: Hashable, amount: int = 1) -> int:
        """Takes from the key's bucket and returns 0; or takes nothing and returns the wait, as `wait_ms` does."""
        level, now_ms = self._level(key)
        if wait_ms := self._wait_ms(amount, level):
            return wait_ms
        self._buckets[key] = (level - amount * _PARTS, now_ms)
        self._buckets.move_to_end(key)
        self._forget_full(now_ms)
        if len(self._buckets) > _MAX_KEYS:
            self._buckets.popitem(last=False)
        return 0

    def require(self, key: Hashable, amount: int = 1) -> None:
        """Takes from the key's bucket.

        Raises:
            Refusal: RATE_LIMITED with the delay after which the amount will be there. Nothing was taken.
        """
        if wait_ms := self.take(key, amount):
            raise self.refusal(wait_ms)

    def refusal(self, wait_ms: int) -> Refusal:
        """Returns RATE_LIMITED with a delay."""
        return Refusal(Reason.RATE_LIMITED, retry_after_ms=wait_ms, requirement=self._requirement)

    def __len__(self) -> int:
        """Returns how many keys it remembers."""
        return len(self._buckets)

    def _level(self, key: Hashable) -> tuple[int, int]:
        now_ms = self._clock.now_ms()
        level, at_ms = self._buckets.get(key, (self._burst, now_ms))
        return self._filled(level, at_ms, now_ms), now_ms

    def _filled(self, level: int, at_ms: int, now_ms: int) -> int:
        return min(self._burst, level + max(0, now_ms - at_ms) * self._per_ms)

    def _forget_full(self, now_ms: int) -> None:
        """Forgets the keys that were not used for longest, if their buckets are full again: none remembers as much.

        More of them than come in, so that what is remembered shrinks to what is in use; and few, so that nobody waits.
        """
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest, (level, at_ms) = next(iter(self._buckets.items()))
            if self._filled(level, at_ms, now_ms) < self._burst:
                return
            del self._buckets[oldest]
            if not self._buckets:
                return

    def _wait_ms(self, amount: int, level: int) -> int:
        needed = amount * _PARTS
        if needed <= level:
            return 0
        return (min(needed, self._burst) - level) // self._per_ms + 1
