"""Two nodes on a real database have one clock: whoever leads waits for all, and nobody shows an earlier time."""

import asyncio
from collections.abc import Callable

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS
from interop_server.core.nodes import WorldTime
from interop_server.nodes.joining import take_up_time
from interop_server.runtime import clock as clock_module
from interop_server.runtime.clock import AdjustableClock
from tests.contract.nodes.conftest import SECONDS, Place
from tests.contract.nodes.test_node import come_about
from tests.contract.store.conftest import NOW_MS

pytestmark = pytest.mark.requirement("SIM-04")


def sleeper(place: Place, name: str, days: int, then: Callable[[], None] = lambda: None) -> None:
    """Starts a task that sleeps on the clock of a node."""

    async def work() -> None:
        await place.clock.sleep(days * DAY_MS / 1_000)
        then()

    place.clock.expect(asyncio.create_task(work(), name=name))


async def test_all_clocks_go_where_one_is_asked_to(here: Place, there: Place) -> None:
    """Everything that is due on the way is done at either node when the call returns, and counted together."""
    for place in (here, there):
        sleeper(place, "dailies", 1)
        sleeper(place, "weeklies", 7)
    sleeper(there, "others", 2)
    assert await here.node.clock.freeze(NOW_MS + DAY_MS) == {"dailies": 2}
    assert await there.node.clock.advance(10 * DAY_MS) == {"others": 1, "weeklies": 2}
    for place in (here, there):
        assert (place.clock.now_ms(), place.clock.is_frozen) == (NOW_MS + 11 * DAY_MS, True)
    assert await here.store.past.get_time_floor_ms() == NOW_MS + 11 * DAY_MS


async def test_running_time_is_one_too(here: Place, there: Place) -> None:
    """It runs on everywhere from where it stood, after an advance as after a resume; resuming it twice does nothing."""
    await here.node.clock.freeze(NOW_MS + DAY_MS)
    await there.node.clock.resume()
    await there.node.clock.resume()
    await here.node.clock.advance(DAY_MS)
    for place in (here, there):
        assert not place.clock.is_frozen
    before, between, after = here.clock.now_ms(), there.clock.now_ms(), here.clock.now_ms()
    assert NOW_MS + 2 * DAY_MS <= before <= between <= after < NOW_MS + 2 * DAY_MS + SECONDS * 1_000
    time = await here.nodes.get_time()
    assert (time.stands_at_ms, time.is_frozen, time.ahead_ms < 0) == (None, False, True)


async def test_moves_of_several_nodes_follow_each_other(here: Place, there: Place) -> None:
    """However many are asked at once, each goes its way in full."""
    await here.node.clock.freeze()
    await asyncio.gather(*(place.node.clock.advance(1_000) for place in (here, there) * 3))
    assert {here.clock.now_ms(), there.clock.now_ms()} == {NOW_MS + 6_000}


async def test_no_clock_goes_back_to_another(here: Place, there: Place) -> None:
    """One that is past the time where all should stand has the others come to it."""
    await there.clock.advance(5_000)
    assert await here.node.clock.freeze() == {}
    assert {here.clock.now_ms(), there.clock.now_ms()} == {NOW_MS + 5_000}
    for to_ms in (NOW_MS, NOW_MS + 4_999):
        with pytest.raises(ValueError, match="backwards"):
            await here.node.clock.freeze(to_ms)
    assert there.clock.now_ms() == NOW_MS + 5_000


async def test_a_move_waits_for_the_slowest(here: Place, there: Place) -> None:
    """Nobody is told that it is over before; whoever asks is not needed for its end."""
    await here.node.clock.freeze()
    may_go_on = asyncio.Event()

    async def work() -> None:
        await there.clock.sleep(1)
        await may_go_on.wait()

    there.clock.expect(asyncio.create_task(work(), name="slow"))
    moves = [asyncio.create_task(here.node.clock.advance(2_000)) for _ in range(2)]
    await come_about(lambda: (here.clock.now_ms(), there.clock.now_ms()) == (NOW_MS + 2_000, NOW_MS + 1_000))
    assert not moves[0].done()
    moves[0].cancel()
    may_go_on.set()
    assert await moves[1] == {}
    assert {here.clock.now_ms(), there.clock.now_ms()} == {NOW_MS + 4_000}


async def test_a_node_that_is_gone_is_not_waited_for(here: Place, there: Place) -> None:
    """A move comes to its end without it; back again, it leads nothing before it has come to the time of the others."""
    await here.node.clock.freeze()
    await there.node.clock.stop()
    for task in list(there.node._tasks):
        task.cancel()
    move = asyncio.create_task(here.node.clock.advance(DAY_MS))
    await come_about(lambda: here.clock.now_ms() == NOW_MS + DAY_MS)
    assert not move.done()
    await there.nodes.leave()
    assert await move == {}
    assert await there.nodes.set_time(None, is_frozen=False, ahead_ms=0) is None
    with pytest.raises(Refusal) as refused:
        await there.node.clock._run_on()
    assert refused.value.reason is Reason.SERVER_DRAINING


async def test_what_a_dead_leader_has_begun_comes_to_its_end(here: Place, there: Place) -> None:
    """It left the clock of a running world standing: another one lets it run on, and not while the leader lives."""
    await here.node.clock.freeze()
    await here.node.clock.resume()
    assert await there.nodes.take_turn("clock")
    for task in list(there.node._tasks):
        task.cancel()
    assert await there.nodes.set_time(NOW_MS + DAY_MS, is_frozen=False, ahead_ms=None)
    await come_about(lambda: here.clock.now_ms() == NOW_MS + DAY_MS)
    await here.node.clock.take_over()
    assert (await here.nodes.get_time()).is_move
    await there.nodes.leave()
    await here.node.clock.take_over()
    assert (await here.nodes.get_time()).stands_at_ms is None
    assert here.clock.now_ms() >= NOW_MS + DAY_MS


@pytest.mark.requirement("MSG-14")
async def test_a_node_begins_at_the_time_of_the_world(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standing or running, ahead or behind; and where one process alone has shown far later times, all go there."""
    machine_ms = [NOW_MS + 30 * DAY_MS]
    monkeypatch.setattr(clock_module, "machine_ms", lambda: machine_ms[0])
    monkeypatch.setattr("interop_server.nodes.clock.machine_ms", lambda: machine_ms[0])
    monkeypatch.setattr("interop_server.nodes.joining.machine_ms", lambda: machine_ms[0])

    async def begun() -> AdjustableClock:
        clock = AdjustableClock()
        await take_up_time(here.store, clock)
        return clock

    await here.nodes.leave()
    await here.nodes.join_again()
    await here.store.past.note_time(NOW_MS, 0)
    await here.nodes.take_turn("clock")
    await here.nodes.set_time(NOW_MS + DAY_MS, is_frozen=True, ahead_ms=None)
    clock = await begun()
    assert (clock.now_ms(), clock.is_frozen) == (NOW_MS + DAY_MS, True)
    await here.nodes.set_time(None, is_frozen=False, ahead_ms=-29 * DAY_MS)
    machine_ms[0] += 1_000
    clock = await begun()
    assert (clock.now_ms(), clock.is_frozen) == (NOW_MS + DAY_MS + 1_000, False)
    await here.store.past.note_time(machine_ms[0] + DAY_MS, 0)
    clock = await begun()
    assert clock.now_ms() == machine_ms[0] + DAY_MS
    assert isinstance(await here.nodes.get_time(), WorldTime) and (await here.nodes.get_time()).ahead_ms == DAY_MS
