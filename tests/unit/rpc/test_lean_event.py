"""The event that connections wait for does what asyncio's does."""

import asyncio

import pytest

from interop_server.rpc.lean_event import LeanEvent


async def test_who_waits_goes_on_when_it_is_set() -> None:
    """All of them, also when it is cleared before their turn; who comes later waits."""
    event = LeanEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    event.set()
    event.clear()
    late = asyncio.create_task(event.wait())
    await asyncio.gather(*waiting)
    assert not late.done()
    event.set()
    await late


async def test_who_comes_when_it_is_set_does_not_wait() -> None:
    """Until it is cleared."""
    event = LeanEvent(is_set=True)
    assert event.is_set()
    with pytest.raises(StopIteration):
        event.wait().send(None)
    event.clear()
    assert not event.is_set()
    waiting = event.wait()
    waiting.send(None)
    waiting.close()


async def test_who_gives_up_is_forgotten() -> None:
    """And the others are woken all the same, also by a set that comes at the same moment."""
    event = LeanEvent()
    gone, other = asyncio.create_task(event.wait()), asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    gone.cancel()
    event.set()
    await other
    with pytest.raises(asyncio.CancelledError):
        await gone
    event.clear()
    again = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    event.set()  # finds nobody
