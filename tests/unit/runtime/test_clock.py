"""The server's clock: what is due fires in order and is done before an advance returns, and time never goes back."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from interop_server.core.limits import LATEST_TIME_MS
from interop_server.runtime import clock as clock_module
from interop_server.runtime.clock import AdjustableClock, stopwatch
from tests.manual_clock import ManualClock

pytestmark = pytest.mark.requirement("SIM-04")

NOON_MS = 1_700_000_000_000


class Sleepers:
    """Tasks that sleep on a clock and say when they woke; those that still run are cancelled at the end."""

    def __init__(self, clock: AdjustableClock) -> None:
        self.clock = clock
        self.woken: list[tuple[str, int]] = []
        """Name, and milliseconds since noon."""
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def once(self, name: str, seconds: float, slack_seconds: float = 0.0) -> None:
        """Starts one that sleeps once."""
        await self.start(name, lambda: self._sleep(name, seconds, slack_seconds))

    async def every(self, name: str, seconds: float, slack_seconds: float = 0.0) -> None:
        """Starts one that sleeps again and again."""

        async def repeat() -> None:
            while True:
                await self._sleep(name, seconds, slack_seconds)

        await self.start(name, repeat)

    async def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Starts one that does anything, and lets it go to sleep."""

        async def run() -> None:
            await work()

        self.tasks[name] = asyncio.create_task(run(), name=name)
        await asyncio.sleep(0)

    async def _sleep(self, name: str, seconds: float, slack_seconds: float) -> None:
        await self.clock.sleep(seconds, slack_seconds)
        self.note(name)

    def note(self, name: str) -> None:
        self.woken.append((name, self.clock.now_ms() - NOON_MS))


@pytest.fixture
def clock() -> AdjustableClock:
    """Frozen at noon."""
    return AdjustableClock(NOON_MS)


@pytest_asyncio.fixture
async def sleepers(clock: AdjustableClock) -> AsyncIterator[Sleepers]:
    sleepers = Sleepers(clock)
    yield sleepers
    for task in sleepers.tasks.values():
        task.cancel()
    await asyncio.gather(*sleepers.tasks.values(), return_exceptions=True)


async def test_what_is_due_fires_in_order_each_at_its_own_time(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Three fall due within two seconds, one of them twice, and one does not: all is done when the advance returns."""
    await sleepers.once("second", 1.5)
    await sleepers.once("first", 0.5)
    await sleepers.every("beat", 1.0)
    await sleepers.once("later", 2.001)
    assert await clock.advance(2_000) == {"first": 1, "beat": 2, "second": 1}
    assert sleepers.woken == [("first", 500), ("beat", 1_000), ("second", 1_500), ("beat", 2_000)]
    assert clock.now_ms() == NOON_MS + 2_000
    assert await clock.advance(1) == {"later": 1}


async def test_the_same_time_keeps_the_order_of_going_to_sleep(clock: AdjustableClock, sleepers: Sleepers) -> None:
    for name in ("a", "b", "c"):
        await sleepers.once(name, 1.0)
    await clock.advance(1_000)
    assert sleepers.woken == [("a", 1_000), ("b", 1_000), ("c", 1_000)]


async def test_the_next_fires_only_when_the_one_before_has_settled(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """However often the work of the first goes around the event loop; what it starts anew fires too, if due."""

    async def work_long() -> None:
        await clock.sleep(1.0)
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        sleepers.note("worked")
        await clock.sleep(0.5)
        sleepers.note("slept again")

    await sleepers.start("long", work_long)
    await sleepers.once("other", 1.2)
    await clock.advance(2_000)
    assert sleepers.woken == [("worked", 1_000), ("other", 1_200), ("slept again", 1_500)]


async def test_slack_lets_one_waking_serve_for_many(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """The latest time counts if the advance gets there, or else its end; without a bound it is always the end."""
    await sleepers.once("slack of 2", 3.0, 2.0)
    await sleepers.once("exact", 4.0)
    await sleepers.once("slack of 20", 1.0, 20.0)
    await sleepers.once("any time", 2.0, math.inf)
    await sleepers.once("not due", 10.001, math.inf)
    await clock.advance(10_000)
    assert sleepers.woken == [("exact", 4_000), ("slack of 2", 5_000), ("slack of 20", 10_000), ("any time", 10_000)]


async def test_a_beat_of_any_slack_fires_once_in_an_advance(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Thirty days of five minutes each cost one waking, at the end."""
    await sleepers.every("beat", 300.0, math.inf)
    days_ms = 30 * 24 * 3_600 * 1_000
    assert await clock.advance(days_ms) == {"beat": 1}
    assert sleepers.woken == [("beat", days_ms)]
    assert await clock.advance(299_999) == {}


async def test_whoever_is_awake_is_waited_for(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """A task that is expected to sleep gets there first, so that time does not pass it by."""

    async def prepare() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        await clock.sleep(1.0)
        sleepers.note("prepared")

    task = asyncio.create_task(prepare(), name="prepare")
    clock.expect(task)
    assert await clock.advance(1_000) == {"prepare": 1}
    assert task.done()


async def test_a_sleeper_that_is_cancelled_does_not_fire(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Before the advance, or by another sleeper on the way."""
    await sleepers.once("gone", 1.0)
    await sleepers.once("victim", 3.0)

    async def cancel_victim() -> None:
        await clock.sleep(2.0)
        sleepers.tasks["victim"].cancel()

    await sleepers.start("killer", cancel_victim)
    sleepers.tasks["gone"].cancel()
    assert await clock.advance(10_000) == {"killer": 1}
    assert sleepers.woken == []
    assert clock.now_ms() == NOON_MS + 10_000


async def test_a_sleeper_that_fails_holds_up_nobody(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Its end is an end like any other."""

    async def fail() -> None:
        await clock.sleep(1.0)
        raise LookupError

    await sleepers.start("fails", fail)
    await sleepers.once("after", 2.0)
    assert await clock.advance(2_000) == {"fails": 1, "after": 1}
    with pytest.raises(LookupError):
        await sleepers.tasks.pop("fails")


async def test_who_does_not_settle_is_left_behind_and_named(
    clock: AdjustableClock, sleepers: Sleepers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Time goes on without it after a while, and from then on does not wait for it at all."""
    monkeypatch.setattr(clock_module, "SETTLE_SECONDS", 0.01)
    stuck = asyncio.Event()

    async def get_stuck() -> None:
        await clock.sleep(1.0)
        await stuck.wait()

    await sleepers.start("stuck one", get_stuck)
    await sleepers.once("other", 2.0)
    with caplog.at_level(logging.WARNING):
        assert await clock.advance(2_000) == {"stuck one": 1, "other": 1}
        await clock.advance(1_000)
    assert [record.getMessage() for record in caplog.records] == [
        "time goes on without 'stuck one', which does not settle"
    ]


async def test_two_advances_take_place_one_after_the_other(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Neither sees the other's timers, and both move time."""
    await sleepers.every("beat", 1.0)
    fired = await asyncio.gather(clock.advance(2_000), clock.advance(3_000), clock.advance(0))
    assert fired == [{"beat": 2}, {"beat": 3}, {}]
    assert clock.now_ms() == NOON_MS + 5_000


async def test_an_advance_that_is_cancelled_leaves_time_where_it_stopped(
    clock: AdjustableClock, sleepers: Sleepers
) -> None:
    """Whoever had fired has fired; the next advance goes on from there."""
    reached, may_go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        await clock.sleep(1.0)
        reached.set()
        await may_go_on.wait()

    await sleepers.start("holds", hold)
    await sleepers.once("after", 2.0)
    advance = asyncio.create_task(clock.advance(5_000))
    await reached.wait()
    advance.cancel()
    with pytest.raises(asyncio.CancelledError):
        await advance
    assert clock.now_ms() == NOON_MS + 1_000
    may_go_on.set()
    assert await clock.advance(1_000) == {"after": 1}


async def test_frozen_time_stands_still_and_wakes_nobody(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Not even those who sleep for a millisecond, while running time goes on."""
    await sleepers.once("soon", 0.001)
    await AdjustableClock().sleep(0.01)
    assert (clock.is_frozen, clock.now_ms(), sleepers.woken) == (True, NOON_MS, [])


async def test_resumed_time_runs_on_from_where_it_stood(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Sleepers then wake by themselves, not before their time; frozen again, time stands where it had got to."""
    await sleepers.once("soon", 0.005)
    await clock.advance(2)
    await clock.resume()
    assert not clock.is_frozen
    await sleepers.tasks["soon"]
    [(_, woken_at_ms)] = sleepers.woken
    assert 5 <= woken_at_ms < 60_000
    assert await clock.freeze() == {}
    assert clock.now_ms() >= NOON_MS + woken_at_ms
    assert clock.is_frozen


async def test_freezing_at_a_time_to_come_passes_what_is_due(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """Time gets there as by an advance; a time that has passed is refused and changes nothing."""
    await sleepers.once("due", 1.0)
    assert await clock.freeze(NOON_MS + 1_500) == {"due": 1}
    assert sleepers.woken == [("due", 1_000)]
    with pytest.raises(ValueError, match="backwards"):
        await clock.freeze(NOON_MS + 1_499)
    with pytest.raises(ValueError, match="backwards"):
        await clock.advance(-1)
    assert clock.now_ms() == NOON_MS + 1_500


async def test_running_time_follows_the_machine_and_wakes_in_order() -> None:
    """Without ever being advanced; one that is cancelled and one that goes to sleep later change nothing."""
    clock = AdjustableClock()
    sleepers = Sleepers(clock)
    await sleepers.once("second", 0.02)
    await sleepers.once("never", 0.001)
    await sleepers.once("first", 0.01)
    sleepers.tasks.pop("never").cancel()
    await asyncio.gather(*sleepers.tasks.values())
    assert [name for name, _ in sleepers.woken] == ["first", "second"]


async def test_an_advance_of_running_time_adds_to_it_and_lets_it_run_on() -> None:
    """Sleepers whose time it passes fire; the others wake by themselves afterwards."""
    clock = AdjustableClock()
    sleepers = Sleepers(clock)
    before_ms = clock.now_ms()
    await sleepers.once("an hour", 3_600.0)
    await sleepers.once("an hour and a bit", 3_600.02)
    assert await clock.advance(3_600_000) == {"an hour": 1}
    assert not clock.is_frozen and clock.now_ms() >= before_ms + 3_600_000
    await sleepers.tasks["an hour and a bit"]
    await sleepers.tasks["an hour"]


async def test_slack_does_not_delay_running_time() -> None:
    clock = AdjustableClock()
    async with asyncio.timeout(10):
        await clock.sleep(0.001, math.inf)


async def test_time_never_goes_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the machine's clock is set back, it stands still until that has caught up; a frozen one does not care."""
    machine = [NOON_MS]
    monkeypatch.setattr(clock_module, "machine_ms", lambda: machine[-1])
    clock, seen = AdjustableClock(), []
    for offset in (0, 5, -60_000, 4, 6):
        machine.append(NOON_MS + offset)
        seen.append(clock.now_ms() - NOON_MS)
    assert seen == [0, 5, 5, 5, 6]
    await clock.freeze()
    machine.append(NOON_MS - 60_000)
    await clock.resume()
    assert clock.now_ms() == NOON_MS + 6
    machine.append(NOON_MS - 59_990)
    assert clock.now_ms() == NOON_MS + 16


def test_a_stopwatch_goes_by_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds, also when the machine's clock is set."""
    passed_ns = [7]
    monkeypatch.setattr(clock_module, "monotonic_ns", lambda: passed_ns[0])
    monkeypatch.setattr(clock_module, "time_ns", lambda: 0)
    passed_ms = stopwatch()
    for later_ns, expected_ms in ((0, 0), (999_999, 0), (1_000_000, 1), (2_500_000_000, 2_500)):
        passed_ns[0] = 7 + later_ns
        assert passed_ms() == expected_ms


@pytest.mark.requirement("MSG-14")
async def test_time_can_be_made_to_begin_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on from there; a clock that stands at an earlier time cannot."""
    monkeypatch.setattr(clock_module, "machine_ms", lambda: NOON_MS)
    for floor_ms, now_ms in ((NOON_MS - 1, NOON_MS), (NOON_MS + 7, NOON_MS + 7)):
        clock = AdjustableClock()
        clock.start_from(floor_ms)
        assert clock.now_ms() == now_ms
    frozen = AdjustableClock(NOON_MS)
    frozen.start_from(NOON_MS)
    with pytest.raises(ValueError, match="earlier"):
        frozen.start_from(NOON_MS + 1)
    assert frozen.now_ms() == NOON_MS


@pytest.mark.parametrize("make", [AdjustableClock, ManualClock])
async def test_no_time_at_all_needs_no_advance(make: Callable[[int], AdjustableClock | ManualClock]) -> None:
    """A sleep of zero or less returns by itself."""
    await make(NOON_MS).sleep(0)
    await make(NOON_MS).sleep(-1)


async def test_ten_thousand_sleepers_are_no_burden(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """As many pushes may wait for their retries (LIF-02)."""
    for number in range(10_000):
        await sleepers.once("retry", 1.0 + number % 7)
    assert await clock.advance(10_000) == {"retry": 10_000}
    assert [at_ms for _, at_ms in sleepers.woken] == sorted(at_ms for _, at_ms in sleepers.woken)


async def test_time_ends_with_the_year_9999(sleepers: Sleepers) -> None:
    """Its last millisecond is reached and not passed; whoever asks for more has moved nothing."""
    clock = AdjustableClock(LATEST_TIME_MS - 10)
    with pytest.raises(ValueError, match="9999"):
        await clock.advance(11)
    with pytest.raises(ValueError, match="9999"):
        await clock.freeze(LATEST_TIME_MS + 1)
    assert clock.now_ms() == LATEST_TIME_MS - 10
    await clock.advance(10)
    assert clock.now_ms() == LATEST_TIME_MS


async def test_work_that_may_find_nothing_says_itself_that_it_fired(clock: AdjustableClock, sleepers: Sleepers) -> None:
    """A look that found nothing is no news; what was done in running time is no part of an advance."""

    async def look() -> None:
        while True:
            await clock.sleep(1.0, is_reported=False)
            if clock.now_ms() == NOON_MS + 2_000:
                clock.report("work")

    clock.report("before")
    await sleepers.start("look", look)
    assert await clock.advance(1_000) == {}
    assert await clock.advance(2_000) == {"work": 1}
