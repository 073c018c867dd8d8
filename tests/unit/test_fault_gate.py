"""Where what faults delay, hold and lose waits: in order, bounded, and never for good."""

import asyncio

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.fault_rules import Action, Delay, Direction, Drop, FaultMatch, FaultRule, Hold, LoseAnswer
from interop_server.core.faults import Event, Faults, Fired
from interop_server.core.journal import Journal
from interop_server.fault_gate import MAX_HELD, FaultGate, Passage, Severed
from interop_server.rpc.convert.faults import catalogue
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

CALL = "InteropService.Resolve"
REQUEST = Event(CALL, Direction.TO_SERVER)


@pytest.fixture
def gate() -> FaultGate:
    clock = ManualClock(1_000)
    return FaultGate(Faults(Journal(clock, SeededRng(1)), lambda: catalogue(("OPT-09",))), clock)


def order(gate: FaultGate, action: Action, **match: object) -> None:
    gate.faults.add([FaultRule("f", FaultMatch(call=CALL, **match), action)])  # type: ignore[arg-type]


def met(gate: FaultGate) -> Fired:
    fired = gate.faults.meet(REQUEST)
    assert fired is not None
    return fired


async def until_held(gate: FaultGate, count: int) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert gate.held("f") == count


async def test_what_is_held_goes_on_in_order(gate: FaultGate) -> None:
    """All of it at once, when it is released; what comes later is held again."""
    order(gate, Hold())
    gone: list[int] = []

    async def pass_gate(number: int) -> None:
        await gate.wait(met(gate))
        gone.append(number)

    async with asyncio.TaskGroup() as passing:
        for number in range(5):
            passing.create_task(pass_gate(number))
        await until_held(gate, 5)
        assert gone == []
        assert gate.release(["f"]) == 5
        assert gate.release(["f"]) == 0
    assert gone == [0, 1, 2, 3, 4] and gate.held("f") == 0


async def test_what_was_met_before_its_fault_was_cleared_does_not_wait(gate: FaultGate) -> None:
    """Nobody would let it go: not even a fault of the same name."""
    order(gate, Hold())
    fired = met(gate)
    gate.faults.clear(())
    await gate.wait(fired)
    order(gate, Hold())
    await gate.wait(fired)


async def test_so_much_waits_and_the_rest_goes_on(gate: FaultGate) -> None:
    """Whatever is held takes up memory."""
    order(gate, Hold())
    async with asyncio.TaskGroup() as passing:
        for _ in range(MAX_HELD):
            passing.create_task(gate.wait(met(gate)))
        await until_held(gate, MAX_HELD)
        await gate.wait(met(gate))
        gate.release(["f"])


async def test_who_gives_up_leaves_nothing_behind(gate: FaultGate) -> None:
    """Neither a place in the queue nor a timer."""
    order(gate, Delay(60_000))
    waiting = asyncio.create_task(gate.wait(met(gate)))
    await until_held(gate, 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert gate.held("f") == 0
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"fault"})


def passage(recorded: list[Refusal]) -> Passage:
    def nothing(_fired: Fired, _answer: object) -> None:
        """Changes nothing."""

    return Passage(REQUEST, True, nothing, lambda _: "", recorded.append)


async def test_a_call_that_is_lost_breaks_off_when_its_fault_is_cleared(gate: FaultGate) -> None:
    """Until then it waits, and nothing is done."""
    order(gate, Drop())

    async def work() -> None:
        raise AssertionError("a lost request is not performed")

    lost = asyncio.create_task(gate.perform(passage([]), work))
    await until_held(gate, 1)
    gate.faults.clear(())
    gate.release(["f"])
    with pytest.raises(Severed):
        await lost


async def test_a_refusal_whose_answer_is_lost_was_decided(gate: FaultGate) -> None:
    """It is recorded before the fault has its way with it; one for another rule is told."""
    order(gate, LoseAnswer(), requirement="OPT-09")
    recorded: list[Refusal] = []
    reasons = iter((Reason.RECIPIENT_NOT_REACHABLE, Reason.SESSION_DEAD))

    async def work() -> None:
        raise Refusal(next(reasons))

    with pytest.raises(Severed):
        await gate.perform(passage(recorded), work)
    with pytest.raises(Refusal, match="SESSION_DEAD"):
        await gate.perform(passage(recorded), work)
    assert [each.reason for each in recorded] == [Reason.RECIPIENT_NOT_REACHABLE]
