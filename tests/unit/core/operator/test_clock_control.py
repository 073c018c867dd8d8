"""How far an operator may move the clock, and that it is remembered."""

import asyncio

import pytest

from interop_server.core.errors import Reason
from interop_server.core.limits import LATEST_TIME_MS
from interop_server.core.operator.clock_control import MAX_ADVANCE_MS, ClockControl
from interop_server.runtime import clock as clock_module
from interop_server.runtime.clock import AdjustableClock
from tests.unit.core.world import NOW_MS, World, refused

pytestmark = pytest.mark.requirement("SIM-04")


async def test_a_clock_moves_at_most_ten_years_at_once(world: World) -> None:
    """To the millisecond, either way of moving it."""
    control = ClockControl(AdjustableClock(NOW_MS), world.store)
    for ms in (0, -1, MAX_ADVANCE_MS + 1):
        with refused(Reason.REQUEST_MALFORMED):
            await control.advance(ms)
    for at_ms in (NOW_MS - 1, -1, NOW_MS + MAX_ADVANCE_MS + 1):
        with refused(Reason.REQUEST_MALFORMED):
            await control.freeze(at_ms)
    assert control.clock.now_ms() == NOW_MS
    await control.advance(MAX_ADVANCE_MS)
    await control.freeze(NOW_MS + 2 * MAX_ADVANCE_MS)
    await control.advance(1)
    assert control.clock.now_ms() == NOW_MS + 2 * MAX_ADVANCE_MS + 1


async def test_time_does_not_pass_the_year_9999(world: World) -> None:
    """What leads past it is refused, and the clock stands where it stood."""
    control = ClockControl(AdjustableClock(LATEST_TIME_MS - 1), world.store)
    with refused(Reason.REQUEST_MALFORMED):
        await control.advance(2)
    with refused(Reason.REQUEST_MALFORMED):
        await control.freeze(LATEST_TIME_MS + 1)
    assert control.clock.now_ms() == LATEST_TIME_MS - 1


@pytest.mark.requirement("MSG-14")
async def test_where_the_clock_got_is_remembered(world: World) -> None:
    """After an advance and after a freeze at a time to come, so that no restart leads back."""
    control = ClockControl(AdjustableClock(NOW_MS), world.store)
    await control.advance(5)
    assert await world.store.past.get_time_floor_ms() == NOW_MS + 5
    await control.freeze(NOW_MS + 9)
    assert await world.store.past.get_time_floor_ms() == NOW_MS + 9


@pytest.mark.requirement("MSG-14")
async def test_how_far_the_clock_runs_ahead_is_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows later times than that to which it was moved, until the server is killed: the next one runs as far ahead.

    A clock that stands still shows no later times, and one that runs on after it is ahead by less.
    """
    machine_ms = [NOW_MS]
    monkeypatch.setattr(clock_module, "machine_ms", lambda: machine_ms[0])
    control = ClockControl(AdjustableClock(), world.store)
    await control.advance(50_000)
    machine_ms[0] += 7_000
    shown_ms = control.clock.now_ms()
    assert shown_ms == NOW_MS + 57_000
    assert await time_after_a_restart(world) == shown_ms

    await control.freeze(None)
    machine_ms[0] += 3_000
    assert await time_after_a_restart(world) == shown_ms
    await control.resume()
    machine_ms[0] += 1_000
    assert await time_after_a_restart(world) == control.clock.now_ms() == shown_ms + 1_000


@pytest.mark.requirement("MSG-14")
@pytest.mark.parametrize("is_frozen", [False, True])
async def test_what_an_advance_deletes_is_due_after_a_kill_too(world: World, is_frozen: bool) -> None:
    """The time to which the clock goes is remembered before anything falls due on the way.

    A kill on the way must not lead back to a time at which what was deleted was not due yet. When the way ends early,
    the time that was reached is what counts.
    """
    clock = AdjustableClock(NOW_MS)
    control = ClockControl(clock, world.store)
    remembered: list[int] = []

    async def sleep_and_look() -> None:
        await clock.sleep(10)
        remembered.append(await world.store.past.get_time_floor_ms())
        advancing.cancel()

    clock.expect(asyncio.create_task(sleep_and_look()))
    move = control.freeze(NOW_MS + 60_000) if is_frozen else control.advance(60_000)
    advancing = asyncio.create_task(move)
    await asyncio.wait([advancing])
    assert advancing.cancelled()
    assert remembered == [NOW_MS + 60_000]
    assert await world.store.past.get_time_floor_ms() == clock.now_ms() == NOW_MS + 10_000


async def time_after_a_restart(world: World) -> int:
    """What another server on the same store begins with."""
    clock = AdjustableClock()
    clock.start_from(await world.store.past.get_time_floor_ms(), await world.store.past.get_time_ahead_ms())
    return clock.now_ms()
