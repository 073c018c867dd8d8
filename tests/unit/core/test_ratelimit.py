"""A bucket per key: bursts, then a steady rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_server.core import ratelimit
from interop_server.core.errors import Reason, Refusal
from interop_server.core.ratelimit import RateLimit
from tests.manual_clock import ManualClock

from .world import NOW_MS, refused


def retry_after(limit: RateLimit, key: object, amount: int = 1) -> int:
    with refused(Reason.RATE_LIMITED) as caught:
        limit.take(key, amount)
    assert caught.value.retry_after_ms is not None
    return caught.value.retry_after_ms


def test_a_burst_then_a_steady_rate() -> None:
    """What was promised as delay is enough, and hardly more than needed (MSG-11, OPT-09)."""
    clock = ManualClock(NOW_MS)
    limit = RateLimit(clock, burst=3, per_second=2.0)
    limit.take("ada", 3)
    assert retry_after(limit, "ada") == 501
    clock.advance(499)
    assert retry_after(limit, "ada") == 2
    clock.advance(2)
    limit.take("ada")
    clock.advance(60_000)
    limit.take("ada", 3)
    retry_after(limit, "ada")


def test_a_refused_take_takes_nothing() -> None:
    """Whoever asks for too much may still take less (MSG-11)."""
    limit = RateLimit(ManualClock(NOW_MS), burst=3, per_second=1.0)
    limit.take("ada", 1)
    for _ in range(5):
        retry_after(limit, "ada", 3)
    limit.take("ada", 2)


def test_keys_do_not_share() -> None:
    """One key's burst is not another's (MSG-11)."""
    limit = RateLimit(ManualClock(NOW_MS), burst=1, per_second=1.0)
    limit.take(("ada", 1))
    limit.take(("ada", 2))
    retry_after(limit, ("ada", 1))


def test_a_key_that_was_long_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the longest unused key starts anew, those in use do not (MSG-11)."""
    monkeypatch.setattr(ratelimit, "_MAX_KEYS", 2)
    limit = RateLimit(ManualClock(NOW_MS), burst=2, per_second=1.0)
    limit.take("used", 1)
    limit.take("idle", 2)
    limit.take("used", 1)
    limit.take("new", 2)
    retry_after(limit, "used")
    limit.take("idle", 2)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 10)), max_size=30))
def test_no_window_lets_through_more_than_burst_and_rate(takes: list[tuple[int, int]]) -> None:
    """Whatever the rhythm, what went through is at most the burst and the rate's share (MSG-11)."""
    clock = ManualClock(NOW_MS)
    limit = RateLimit(clock, burst=10, per_second=4.0)
    passed = 0
    for pause_ms, amount in takes:
        clock.advance(pause_ms)
        try:
            limit.take("ada", amount)
        except Refusal as refusal:
            assert refusal.retry_after_ms is not None
            clock.advance(refusal.retry_after_ms)
            limit.take("ada", amount)
        passed += amount
        assert passed <= 10 + (clock.now_ms() - NOW_MS) * 4 / 1_000 + 1e-6


def test_checking_takes_nothing() -> None:
    """It refuses as taking one would, with the same delay (KEY-14)."""
    clock = ManualClock(NOW_MS)
    limit = RateLimit(clock, burst=1, per_second=1.0)
    for _ in range(3):
        limit.check("ada")
    limit.take("ada")
    with refused(Reason.RATE_LIMITED) as caught:
        limit.check("ada")
    assert caught.value.retry_after_ms == retry_after(limit, "ada") == 1_001
    clock.advance(1_001)
    limit.check("ada")
