"""Buckets let through a burst, then a steady rate, in whatever process of a world they are asked for."""

import random

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.ratelimit import SharedRate, Take, Terms
from tests.contract.buckets.conftest import NOW_MS, Counted

pytestmark = pytest.mark.requirement("KEY-14", "OPT-09")

SLOW = Terms.of("slow", 3, 2.0, "OPT-09")
ODD = Terms.of("odd", 7, 0.3, "KEY-14")


async def test_a_burst_then_a_steady_rate(counted: Counted) -> None:
    """At one process or another, and what was told as the wait is enough, and hardly more than needed."""
    assert await counted.take(SLOW, Take("ada"), Take("ada", 2)) == [0, 0]
    assert await counted.take(SLOW, Take("ada"), at=1) == [501]
    counted.clock.advance(499)
    assert await counted.take(SLOW, Take("ada")) == [2]
    counted.clock.advance(2)
    assert await counted.take(SLOW, Take("ada"), at=1) == [0]
    counted.clock.advance(60_000)
    assert await counted.take(SLOW, Take("ada", 3), at=1) == [0]
    assert await counted.take(SLOW, Take("ada")) == [501]


async def test_several_takes_are_each_as_if_alone(counted: Counted) -> None:
    """In their order: what does not fit takes nothing, and what comes behind it may fit; nobody shares a bucket."""
    takes = (Take("ada", 2), Take("bob", 4), Take("ada", 2), Take(("ada", 1), 3), Take("ada", 1), Take("bob", 3))
    assert await counted.take(SLOW, *takes) == [0, 1, 501, 0, 0, 0]
    assert await counted.take(ODD, *(Take(take.key) for take in takes), at=1) == [0] * len(takes)
    assert await counted.take(SLOW) == []


async def test_more_than_a_bucket_holds_is_never_there(counted: Counted) -> None:
    """The wait is that for a full one."""
    assert await counted.take(SLOW, Take("ada", 4)) == [1]
    assert await counted.take(SLOW, Take("ada"), Take("ada", 4)) == [0, 501]


async def test_what_is_given_back_is_there_again(counted: Counted) -> None:
    """At whatever process, and never more than a full bucket holds."""
    rates = [SharedRate(place, SLOW) for place in counted.places]
    await rates[0].require("ada", 3)
    await rates[-1].give_back("ada", 2)
    await rates[0].require("ada", 2)
    with pytest.raises(Refusal) as refused:
        await rates[-1].require("ada")
    assert (refused.value.reason, refused.value.retry_after_ms) == (Reason.RATE_LIMITED, 501)
    assert refused.value.requirement == "OPT-09"
    await rates[-1].give_back("ada", 9)
    assert await rates[0].take("ada", 4) and not await rates[0].take("ada", 3)
    assert await rates[-1].take_each(["ada", "bob"]) == [501, 0]


async def test_a_bucket_without_room_lets_nothing_through(counted: Counted) -> None:
    """As that of the cap on new chats, where it is set to 0."""
    assert await counted.take(Terms.of("none", 0, 1.0, "ABU-05"), Take("ada")) == [1]


async def test_no_rhythm_lets_through_more(counted: Counted) -> None:
    """Whatever is asked when and where: at most the burst and the share of the rate, and the wait is enough."""
    choose = random.Random(7)
    passed = 0
    for _ in range(60):
        counted.clock.advance(choose.choice([0, 0, 1, 900, 3_333]))
        amount = choose.randint(1, ODD.burst // 10**18)
        [wait_ms] = await counted.take(ODD, Take("ada", amount), at=choose.randint(0, 1))
        if wait_ms:
            counted.clock.advance(wait_ms)
            assert await counted.take(ODD, Take("ada", amount), at=choose.randint(0, 1)) == [0]
        passed += amount
        assert passed <= 7 + (counted.clock.now_ms() - NOW_MS) * 0.3 / 1_000 + 1e-6
