"""Who goes on next, among channels whose work waits for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interop_server.rpc.turns import Turns

pytestmark = pytest.mark.requirement("SIM-06")

CHANNELS, STEPS = 5, 4


class Rounds:
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._handle = asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._next)

    def stop(self) -> None:
        self._handle.cancel()


@asynccontextmanager
async def counted_rounds() -> AsyncIterator[Rounds]:
    """Counts the rounds during the block."""
    rounds = Rounds()
    try:
        yield rounds
    finally:
        rounds.stop()


async def test_one_channel_goes_on_in_a_round_and_each_in_its_turn() -> None:
    """However many wait: so whoever has one thing to do waits for short rounds."""
    turns, went_on = Turns(), list[tuple[int, int]]()
    async with counted_rounds() as rounds:

        async def work(channel: int) -> None:
            for _ in range(STEPS):
                await turns.wait()
                went_on.append((rounds.count, channel))

        async with asyncio.TaskGroup() as channels:
            for channel in range(CHANNELS):
                channels.create_task(work(channel))
    assert len({number for number, _ in went_on}) == CHANNELS * STEPS, "a round of its own for each step"
    assert [channel for _, channel in went_on] == [*range(CHANNELS)] * STEPS, "first come, first served"


async def test_even_a_channel_alone_lets_others_through() -> None:
    """What was ready before it waited has been done when it goes on."""
    turns = Turns()
    async with counted_rounds() as rounds:
        for _ in range(STEPS):
            before = rounds.count
            await turns.wait()
            assert rounds.count > before


async def test_a_channel_that_ends_while_it_waits_gives_its_turn_away() -> None:
    """Those behind it go on."""
    turns = Turns()
    waiting = [asyncio.create_task(turns.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    for given_up in waiting[:2]:
        given_up.cancel()
    await waiting[2]
    assert [each.cancelled() for each in waiting] == [True, True, False]
