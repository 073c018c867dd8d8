"""Work by the clock: what falls due goes in order of its time, once, and a failure ends nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from interop_server.core.journal import Journal
from interop_server.core.limits import DAY_MS
from interop_server.core.sweeps import Sweep, WorldTurns
from interop_server.runtime import clock as clock_module
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.rng import SeededRng
from interop_server.runtime.timers import RETRY_MS, Timers

pytestmark = pytest.mark.requirement("SIM-04")

NOON_MS = 1_700_000_000_000


class Shelf:
    """Things that go when their time has come."""

    def __init__(self, clock: AdjustableClock, name: str, retention_ms: int, gone: list[tuple[str, int]]) -> None:
        self._clock = clock
        self._gone = gone
        self._put_ms: list[int] = []
        self.is_broken = False
        self.looks = 0
        self.sweep = Sweep(name, "MSG-07", retention_ms, self._oldest_ms, self._delete)

    def put(self) -> None:
        """Puts a thing on the shelf."""
        self._put_ms.append(self._clock.now_ms())

    async def _oldest_ms(self) -> int | None:
        self.looks += 1
        return min(self._put_ms, default=None)

    async def _delete(self, before_ms: int, _most: int) -> int:
        if self.is_broken:
            raise OSError("the disk is full")
        due = [put_ms for put_ms in self._put_ms if put_ms < before_ms]
        self._put_ms = [put_ms for put_ms in self._put_ms if put_ms >= before_ms]
        self._gone += [(self.sweep.name, self._clock.now_ms() - NOON_MS)] * len(due)
        return len(due)


@pytest.fixture
def clock() -> AdjustableClock:
    return AdjustableClock(NOON_MS)


@pytest.fixture
def journal(clock: AdjustableClock) -> Journal:
    return Journal(clock, SeededRng(1))


@pytest_asyncio.fixture
async def timers(clock: AdjustableClock, journal: Journal) -> AsyncIterator[Timers]:
    timers = Timers(clock, journal)
    yield timers
    await timers.stop()


async def test_things_go_in_the_order_of_their_times_across_kinds(
    clock: AdjustableClock, timers: Timers, journal: Journal
) -> None:
    """Each within a thousandth of its time, also what came after the timer went to sleep; the journal has them."""
    gone: list[tuple[str, int]] = []
    hours, days = Shelf(clock, "hours", 3_600_000, gone), Shelf(clock, "days", DAY_MS, gone)
    timers.sweep(hours.sweep)
    timers.sweep(days.sweep)
    days.put()
    await clock.advance(DAY_MS - 1_800_000)
    hours.put()
    days.put()
    assert await clock.advance(2 * DAY_MS) == {"days": 2, "hours": 1}
    assert gone == [
        ("days", DAY_MS + DAY_MS // 1_000),
        ("hours", DAY_MS + 1_800_000 + 3_600),
        ("days", 2 * DAY_MS - 1_800_000 + DAY_MS // 1_000),
    ]
    entries, _ = journal.after(0, 10)
    assert [(entry.actor, entry.action, entry.outcome, entry.requirement, entry.detail) for entry in entries] == [
        ("timer", f"timer.{name}", "done", "MSG-07", "1 taken away") for name in ("days", "hours", "days")
    ]


async def test_what_is_due_at_the_end_of_an_advance_is_gone(clock: AdjustableClock, timers: Timers) -> None:
    """To the millisecond, without the slack; what is due in a millisecond is not."""
    gone: list[tuple[str, int]] = []
    shelf = Shelf(clock, "days", DAY_MS, gone)
    timers.sweep(shelf.sweep)
    shelf.put()
    await clock.advance(DAY_MS - 1)
    assert gone == []
    await clock.advance(1)
    assert gone == [("days", DAY_MS)]


async def test_what_falls_due_within_a_second_goes_together(clock: AdjustableClock, timers: Timers) -> None:
    """A thousand things cost a few looks."""
    gone: list[tuple[str, int]] = []
    shelf = Shelf(clock, "days", DAY_MS, gone)
    timers.sweep(shelf.sweep)
    for _ in range(1_000):
        shelf.put()
        await clock.advance(1)
    await clock.advance(DAY_MS)
    assert len(gone) == 1_000
    assert shelf.looks < 10


async def test_what_many_left_over_an_hour_goes_in_few_looks(clock: AdjustableClock, timers: Timers) -> None:
    """Things that came a second apart for an hour, and are kept for thirty days: rounds are counted, and printed."""
    gone: list[tuple[str, int]] = []
    shelf = Shelf(clock, "days", 30 * DAY_MS, gone)
    timers.sweep(shelf.sweep)
    for _ in range(3_516):
        shelf.put()
        await clock.advance(1_000)
    before = shelf.looks
    await clock.advance(30 * DAY_MS)
    looks = shelf.looks - before
    print(f"an advance of 30 days over 3,516 things a second apart took {looks} looks")
    assert (len(gone), looks < 10) == (3_516, True)


async def test_an_advance_waits_as_long_as_a_sweep_comes_on(
    clock: AdjustableClock, timers: Timers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not for a fixed time: a hundred steps of a store that is slow are all done when it returns."""
    monkeypatch.setattr(clock_module, "SETTLE_SECONDS", 0.2)
    left = 100

    async def oldest_ms() -> int | None:
        return NOON_MS if left else None

    async def delete(_before_ms: int, _most: int) -> int:
        nonlocal left
        await asyncio.sleep(0.02)
        left -= 1 if left else 0
        return 1 if left else 0

    timers.sweep(Sweep("slow", "MSG-07", DAY_MS, oldest_ms, delete))
    await clock.advance(DAY_MS)
    assert (left, caplog.records) == (0, [])


async def test_a_sweep_that_fails_is_tried_again(
    clock: AdjustableClock, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    """A minute later, and what was due then goes; the failure is logged."""
    gone: list[tuple[str, int]] = []
    shelf = Shelf(clock, "days", DAY_MS, gone)
    timers.sweep(shelf.sweep)
    shelf.put()
    shelf.is_broken = True
    with caplog.at_level(logging.ERROR):
        await clock.advance(DAY_MS)
    assert [record.getMessage() for record in caplog.records] == ["days: the sweep failed"]
    shelf.is_broken = False
    await clock.advance(RETRY_MS - 1)
    assert gone == []
    await clock.advance(1)
    assert gone == [("days", DAY_MS + RETRY_MS)]


async def test_repeated_work_is_done_at_once_and_once_however_far_time_leaps(
    clock: AdjustableClock, timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    """At the end of the leap; a failure is logged and ends nothing."""
    done: list[int] = []

    async def work() -> None:
        done.append(clock.now_ms() - NOON_MS)
        if len(done) == 2:
            raise OSError("the disk is full")

    timers.repeat("work", 300.0, work)
    assert await clock.advance(299_999) == {}
    assert await clock.advance(30 * DAY_MS) == {"work": 1}
    assert await clock.advance(300_000) == {"work": 1}
    assert done == [0, 30 * DAY_MS + 299_999, 30 * DAY_MS + 599_999]
    assert [record.getMessage() for record in caplog.records] == ["work: failed, and is tried again in 300 seconds"]


async def test_a_sweep_that_is_the_turn_of_another_process_is_left_to_it(
    clock: AdjustableClock, journal: Journal
) -> None:
    """It is looked at again a minute later, and nobody waits; whoever is done, or fails, lets the others."""
    gone: list[tuple[str, int]] = []
    turns, shelf = OneOfTwo(), Shelf(clock, "days", DAY_MS, gone)
    timers = Timers(clock, journal, turns)
    timers.sweep(shelf.sweep)
    shelf.put()
    turns.is_taken = True
    assert await clock.advance(DAY_MS) == {}
    turns.is_taken = False
    shelf.is_broken = True
    assert await clock.advance(RETRY_MS) == {}
    shelf.is_broken = False
    assert await clock.advance(RETRY_MS) == {"days": 1}
    assert gone == [("days", DAY_MS + 2 * RETRY_MS)]
    assert turns.taken == turns.ended == ["days"] * 2
    await timers.stop()


class OneOfTwo(WorldTurns):
    """The turns of a process beside another one."""

    def __init__(self) -> None:
        self.is_taken = False
        self.taken: list[str] = []
        self.ended: list[str] = []

    async def take_turn(self, name: str) -> bool:
        if not self.is_taken:
            self.taken.append(name)
        return not self.is_taken

    async def end_turn(self, name: str) -> None:
        self.ended.append(name)
