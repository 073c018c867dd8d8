"""A token bucket per key; knows no clock but the given one.

What guards a node is counted in it, by `RateLimit`. What guards people is counted by whoever keeps the buckets of all
nodes, through `SharedRate`: in the memory of a process that is alone, in the database of several that are one world.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol, Self

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limit_facts import Scope
from interop_server.core.limits import SECOND_MS, Limits, about
from interop_server.core.ports import Clock
from interop_server.core.sweeps import Sweep

_MAX_KEYS = 100_000
_FORGOTTEN_AT_ONCE = 2
_PARTS = 10**18
"""What one is divided into. A level is a whole number of parts, so that it is exact: with fractions, whoever waited as
told could be a rounding error short."""

_LATEST_FULL_MS = 1 << 62
"""A bucket that is full later is full never: this fits into 64 bits, and has room for whoever rounds it up."""


class Terms(NamedTuple):
    """What a rate allows: a burst, then so much in each millisecond."""

    name: str
    """Tells its buckets from those of other rates."""
    burst: int
    """How much a full bucket holds, in parts."""
    per_ms: int
    """How much comes in, in parts."""
    requirement: str
    """Id of the rule that it serves, for refusals."""

    @classmethod
    def of(cls, name: str, burst: int, per_second: float, requirement: str) -> Self:
        """Returns the terms of a rate of so much at once, and so much in each second."""
        return cls(name, burst * _PARTS, int(per_second * (_PARTS // SECOND_MS)), requirement)

    @classmethod
    def named(cls, limits: Limits, name: str) -> Self:
        """Returns what the limits `{name}_burst` and `{name}_per_second` describe."""
        burst, per_second = f"{name}_burst", f"{name}_per_second"
        return cls.of(name, getattr(limits, burst), getattr(limits, per_second), about(burst).requirements[0])

    def level(self, level: int, at_ms: int, now_ms: int) -> int:
        """Returns what is in a bucket now that had a level at some time."""
        return min(self.burst, level + max(0, now_ms - at_ms) * self.per_ms)

    def wait_ms(self, amount: int, level: int) -> int:
        """Returns in how many milliseconds there will be an amount: 0 when it is there."""
        needed = amount * _PARTS
        if needed <= level:
            return 0
        return (min(needed, self.burst) - level) // self.per_ms + 1

    def less(self, level: int, amount: int) -> int:
        """Returns what is left of a level without an amount, or with one that is given back and so negative."""
        return min(self.burst, level - amount * _PARTS)

    def full_ms(self, level: int, at_ms: int) -> int:
        """Returns the time at which a bucket is full, if nothing more is taken; a bound where no column holds it."""
        return min(at_ms - (level - self.burst) // self.per_ms, _LATEST_FULL_MS)

    def refusal(self, wait_ms: int) -> Refusal:
        """Returns RATE_LIMITED with a delay."""
        return Refusal(Reason.RATE_LIMITED, retry_after_ms=wait_ms, requirement=self.requirement)


class RateLimit:
    """Allows bursts, then a steady rate, per key, and counts by itself.

    Remembers the keys whose buckets are not full, and of them the most recently used only; a forgotten key starts with
    a full bucket.

    Args:
        clock: Tells the time.
        terms: What it allows.
    """

    def __init__(self, clock: Clock, terms: Terms) -> None:
        self._clock = clock
        self._terms = terms
        self._buckets: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def wait_ms(self, key: Hashable, amount: int = 1) -> int:
        """Returns in how many milliseconds the key's bucket will hold the amount: 0 when it does now. Takes nothing."""
        return self._terms.wait_ms(amount, self._level(key)[0])

    def available(self, key: Hashable) -> int:
        """Returns how much could be taken from the key's bucket now. Takes nothing."""
        return self._level(key)[0] // _PARTS

    def take(self, key: Hashable, amount: int = 1) -> int:
        """Takes from the key's bucket and returns 0; or takes nothing and returns the wait, as `wait_ms` does.

        Args:
            key: Whose bucket it is.
            amount: How much; negative for what was taken before and is given back.
        """
        level, now_ms = self._level(key)
        if wait_ms := self._terms.wait_ms(amount, level):
            return wait_ms
        self._buckets[key] = (self._terms.less(level, amount), now_ms)
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
        return self._terms.refusal(wait_ms)

    def __len__(self) -> int:
        """Returns how many keys it remembers."""
        return len(self._buckets)

    def _level(self, key: Hashable) -> tuple[int, int]:
        now_ms = self._clock.now_ms()
        level, at_ms = self._buckets.get(key, (self._terms.burst, now_ms))
        return self._terms.level(level, at_ms, now_ms), now_ms

    def _forget_full(self, now_ms: int) -> None:
        """Forgets the keys that were not used for longest, if their buckets are full again: none remembers as much.

        More of them than come in, so that what is remembered shrinks to what is in use; and few, so that nobody waits.
        """
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest, (level, at_ms) = next(iter(self._buckets.items()))
            if self._terms.level(level, at_ms, now_ms) < self._terms.burst:
                return
            del self._buckets[oldest]
            if not self._buckets:
                return


class Take(NamedTuple):
    """How much is taken of whose bucket; a negative amount was taken before, and is given back."""

    key: Hashable
    amount: int = 1


class Buckets(Protocol):
    """Keeps the buckets of rates that hold for all nodes of a world together."""

    async def take(self, terms: Terms, takes: Sequence[Take]) -> list[int]:
        """Takes from buckets, in order, each as if alone: see `RateLimit.take`.

        Raises:
            Refusal: STORAGE_UNAVAILABLE, when they are out of reach. Nothing was taken.
        """
        ...

    def sweeps(self) -> tuple[Sweep, ...]:
        """Buckets that are full again, where somebody has to forget them."""
        ...


class OwnBuckets(Buckets):
    """The buckets of a process that is alone in its world, in memory.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rates: dict[str, RateLimit] = {}

    async def take(self, terms: Terms, takes: Sequence[Take]) -> list[int]:
        """Takes from buckets: see `Buckets.take`; nothing is out of reach."""
        rate = self._rates.get(terms.name)
        if rate is None:
            rate = self._rates[terms.name] = RateLimit(self._clock, terms)
        return [rate.take(key, amount) for key, amount in takes]

    def sweeps(self) -> tuple[Sweep, ...]:
        """None: what is full is forgotten when something else is taken."""
        return ()


class SharedRate:
    """A rate that holds for all nodes of a world together.

    Args:
        buckets: Where it is counted.
        terms: What it allows.
    """

    def __init__(self, buckets: Buckets, terms: Terms) -> None:
        self._buckets = buckets
        self._terms = terms

    async def take(self, key: Hashable, amount: int) -> int:
        """Takes from the key's bucket and returns 0; or takes nothing and returns the wait in milliseconds.

        Raises:
            Refusal: STORAGE_UNAVAILABLE.
        """
        [wait_ms] = await self._buckets.take(self._terms, [Take(key, amount)])
        return wait_ms

    async def take_each(self, keys: Sequence[Hashable]) -> list[int]:
        """Takes one from each of several buckets, if it is there; returns the waits, as `take` does.

        Raises:
            Refusal: STORAGE_UNAVAILABLE.
        """
        return await self._buckets.take(self._terms, [Take(key) for key in keys])

    async def give_back(self, key: Hashable, amount: int) -> None:
        """Puts back into the key's bucket what was taken from it.

        Raises:
            Refusal: STORAGE_UNAVAILABLE.
        """
        await self._buckets.take(self._terms, [Take(key, -amount)])

    async def require(self, key: Hashable, amount: int = 1) -> None:
        """Takes from the key's bucket.

        Raises:
            Refusal: RATE_LIMITED with the delay after which the amount will be there, or STORAGE_UNAVAILABLE. Nothing
                was taken.
        """
        if wait_ms := await self.take(key, amount):
            raise self.refusal(wait_ms)

    def refusal(self, wait_ms: int) -> Refusal:
        """Returns RATE_LIMITED with a delay."""
        return self._terms.refusal(wait_ms)


class Rates(NamedTuple):
    """Makes the rates that limits describe, each by the scope that it has there."""

    clock: Clock
    limits: Limits
    buckets: Buckets

    def own(self, name: str) -> RateLimit:
        """Returns the rate of `{name}_burst` and `{name}_per_second`, which are each node's own."""
        assert about(f"{name}_burst").scope is Scope.NODE, name
        return RateLimit(self.clock, Terms.named(self.limits, name))

    def shared(self, name: str) -> SharedRate:
        """Returns the rate of `{name}_burst` and `{name}_per_second`, which all nodes of a world share."""
        assert about(f"{name}_burst").scope is Scope.WORLD, name
        return SharedRate(self.buckets, Terms.named(self.limits, name))
