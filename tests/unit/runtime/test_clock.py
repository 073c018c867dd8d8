"""What a clock promises, and how the manual one is driven."""

import asyncio

import pytest

from interop_server.runtime.clock import ManualClock, SystemClock

NOON_MS = 1_700_000_000_000


async def test_sleepers_wake_in_the_order_in_which_they_fall_due() -> None:
    """Three tasks sleep for different times; one long step wakes the two that are due, the earlier one first."""
    clock, woken = ManualClock(NOON_MS), asyncio.Queue[str]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.put_nowait(name)

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("second", 2.0), ("first", 0.5), ("last", 60.0)):
            tasks.create_task(sleep(name, seconds))
        await clock.wait_for_sleepers(3)
        clock.advance(2_000)
        assert [await woken.get(), await woken.get()] == ["first", "second"]
        assert clock.sleepers == 1
        clock.advance(58_000)
    assert woken.get_nowait() == "last"
    assert clock.now_ms() == NOON_MS + 60_000


async def test_a_cancelled_sleeper_does_not_stop_the_clock() -> None:
    """A task is cancelled in its sleep; the clock passes its hour without it."""
    clock = ManualClock(NOON_MS)
    sleeper = asyncio.create_task(clock.sleep(1))
    await clock.wait_for_sleepers(1)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    clock.advance(1_000)
    assert clock.sleepers == 0


async def test_no_time_at_all_needs_no_advance() -> None:
    """A sleep of zero or less returns by itself."""
    await ManualClock(NOON_MS).sleep(0)
    await ManualClock(NOON_MS).sleep(-1)


def test_time_does_not_run_backwards() -> None:
    """A negative step is refused and changes nothing."""
    clock = ManualClock(NOON_MS)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert clock.now_ms() == NOON_MS


async def test_the_system_clock_moves_on_while_it_sleeps() -> None:
    """A short sleep returns no earlier than it said."""
    clock = SystemClock()
    before_ms = clock.now_ms()
    await clock.sleep(0.002)
    assert clock.now_ms() - before_ms >= 1
