"""A bucket per key: bursts, then a steady rate."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interop_server.core import ratelimit
from interop_server.core.errors import Reason
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import RateLimit, Terms
from tests.manual_clock import ManualClock

from .world import NOW_MS, refused


def rate_limit(clock: Clock, burst: int, per_second: float) -> RateLimit:
    return RateLimit(clock, Terms.of("resolve", burst, per_second, "OPT-09"))


def retry_after(limit: RateLimit, key: object, amount: int = 1) -> int:
    with refused(Reason.RATE_LIMITED) as caught:
        limit.require(key, amount)
    assert caught.value.requirement == "OPT-09"
    assert caught.value.retry_after_ms is not None
    return caught.value.retry_after_ms


def test_a_burst_then_a_steady_rate() -> None:
    """What was promised as delay is enough, and hardly more than needed (MSG-11, OPT-09)."""
    clock = ManualClock(NOW_MS)
    limit = rate_limit(clock, 3, 2.0)
    limit.require("ada", 3)
    assert retry_after(limit, "ada") == 501
    clock.advance(499)
    assert retry_after(limit, "ada") == 2
    clock.advance(2)
    limit.require("ada")
    clock.advance(60_000)
    limit.require("ada", 3)
    retry_after(limit, "ada")


def test_a_refused_take_takes_nothing() -> None:
    """Whoever asks for too much may still take less (MSG-11)."""
    limit = rate_limit(ManualClock(NOW_MS), 3, 1.0)
    limit.require("ada", 1)
    for _ in range(5):
        retry_after(limit, "ada", 3)
    limit.require("ada", 2)


def test_keys_do_not_share() -> None:
    """One key's burst is not another's (MSG-11)."""
    limit = rate_limit(ManualClock(NOW_MS), 1, 1.0)
    limit.require(("ada", 1))
    limit.require(("ada", 2))
    retry_after(limit, ("ada", 1))


def test_a_key_that_was_long_unused_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the longest unused key starts anew, those in use do not (MSG-11)."""
    monkeypatch.setattr(ratelimit, "_MAX_KEYS", 2)
    limit = rate_limit(ManualClock(NOW_MS), 2, 1.0)
    limit.require("used", 1)
    limit.require("idle", 2)
    limit.require("used", 1)
    limit.require("new", 2)
    retry_after(limit, "used")
    limit.require("idle", 2)


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 10)), max_size=30))
@example([(0, 8), (1_321, 4), (90, 2), (351, 4)])
def test_no_window_lets_through_more_than_burst_and_rate(takes: list[tuple[int, int]]) -> None:
    """Whatever the rhythm, what went through is at most the burst and the rate's share (MSG-11)."""
    clock = ManualClock(NOW_MS)
    limit = rate_limit(clock, 10, 4.0)
    passed = 0
    for pause_ms, amount in takes:
        clock.advance(pause_ms)
        if wait_ms := limit.take("ada", amount):
            clock.advance(wait_ms)
            limit.require("ada", amount)
        passed += amount
        assert passed <= 10 + (clock.now_ms() - NOW_MS) * 4 / 1_000 + 1e-6


def test_checking_takes_nothing() -> None:
    """It says what taking would, the delay included (KEY-14)."""
    clock = ManualClock(NOW_MS)
    limit = rate_limit(clock, 1, 1.0)
    for _ in range(3):
        assert limit.wait_ms("ada") == 0
    assert limit.take("ada") == 0
    assert limit.wait_ms("ada") == limit.take("ada") == retry_after(limit, "ada") == 1_001
    clock.advance(1_001)
    assert limit.wait_ms("ada") == 0


def test_full_buckets_are_forgotten() -> None:
    """What is remembered shrinks to what is in use, however many came by; whoever is not full yet is still known."""
    clock = ManualClock(NOW_MS)
    limit = rate_limit(clock, 10, 1.0)
    for number in range(1_000):
        limit.require(("passer-by", number))
    clock.advance(500)
    limit.require("ada", 10)
    clock.advance(9_000)
    for number in range(600):
        limit.require(("later", number))
    assert len(limit) <= 601
    assert retry_after(limit, "ada", 10) > 900


def test_what_is_given_back_fills_no_bucket_over() -> None:
    """It is there again, and no more than a full bucket holds (KEY-14)."""
    limit = rate_limit(ManualClock(NOW_MS), 3, 1.0)
    limit.require("ada", 3)
    limit.take("ada", -2)
    limit.require("ada", 2)
    retry_after(limit, "ada")
    limit.take("ada", -9)
    limit.require("ada", 3)
    retry_after(limit, "ada")
