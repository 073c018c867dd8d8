"""An event is taken once, by the first who wants it, whether it came before or comes after they asked."""

import asyncio

import pytest

from interop_client.errors import ConnectionEnded
from interop_client.messaging.event_queue import EventQueue
from interop_client.messaging.events import (
    Event,
    IdentityChanged,
    OfflineEnd,
    PreKeysLow,
    Typing,
)


def low(count: int) -> Event:
    return PreKeysLow(count)


async def test_an_event_that_came_before_is_found() -> None:
    queue = EventQueue(10)
    queue.put(low(1))
    assert await queue.take(PreKeysLow, 0) == low(1)


async def test_an_event_that_comes_later_is_awaited() -> None:
    queue = EventQueue(10)
    waiting = asyncio.create_task(queue.take(PreKeysLow, 5))
    await asyncio.sleep(0)
    queue.put(OfflineEnd(0))
    queue.put(low(1))
    assert await waiting == low(1)
    assert await queue.take(OfflineEnd, 0) == OfflineEnd(0)


async def test_others_stay_in_order() -> None:
    queue = EventQueue(10)
    for event in (low(1), IdentityChanged("x"), low(2), low(3)):
        queue.put(event)
    assert await queue.take(lambda event: event == low(2), 0) == low(2)
    assert [await queue.take(PreKeysLow, 0) for _ in range(2)] == [low(1), low(3)]


async def test_each_event_goes_to_one_of_those_who_wait() -> None:
    queue = EventQueue(10)
    waiting = [asyncio.create_task(queue.take(PreKeysLow, 5)) for _ in range(3)]
    await asyncio.sleep(0)
    for count in range(3):
        queue.put(low(count))
    assert await asyncio.gather(*waiting) == [low(0), low(1), low(2)]


async def test_what_is_useless_later_is_not_kept_in_a_full_queue() -> None:
    """Whoever waits for something else: a server that tells of nothing but typing fills no memory."""
    queue, typing = EventQueue(1), Typing("a", "COMPOSING", 1)
    waiting = asyncio.create_task(queue.take(PreKeysLow, 5))
    await asyncio.sleep(0)
    for _ in range(3):
        queue.offer(typing)
    assert await queue.take(Typing, 0) == typing
    with pytest.raises(TimeoutError):
        await queue.take(Typing, 0)
    queue.put(OfflineEnd(0))
    wanted = asyncio.create_task(queue.take(Typing, 5))
    await asyncio.sleep(0)
    queue.offer(typing)
    assert await wanted == typing
    queue.put(low(1))
    assert await waiting == low(1)


async def test_what_does_not_come_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        await EventQueue(10).take(PreKeysLow, 0)


async def test_an_event_given_to_somebody_who_left_is_not_lost() -> None:
    """The event and the cancellation come in the same turn of the loop."""
    queue = EventQueue(10)
    waiting = asyncio.create_task(queue.take(PreKeysLow, 5))
    await asyncio.sleep(0)
    queue.put(low(1))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await queue.take(PreKeysLow, 0) == low(1)


async def test_room_waits_for_a_taker() -> None:
    queue = EventQueue(2)
    queue.put(low(1))
    queue.put(low(2))
    room = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not room.done()
    await queue.take(PreKeysLow, 0)
    await room


async def test_there_is_room_while_somebody_waits_for_another_event() -> None:
    """Without it, the event that they wait for could never come."""
    queue = EventQueue(1)
    queue.put(low(1))
    waiting = asyncio.create_task(queue.take(OfflineEnd, 5))
    await asyncio.sleep(0)
    await asyncio.wait_for(queue.room(), 5)
    queue.put(OfflineEnd(0))
    assert await waiting == OfflineEnd(0)


async def test_closing_ends_waiting_but_loses_nothing() -> None:
    queue = EventQueue(10)
    waiting = asyncio.create_task(queue.take(OfflineEnd, 5))
    await asyncio.sleep(0)
    queue.put(low(1))
    queue.close()
    with pytest.raises(ConnectionEnded):
        await waiting
    assert [event async for event in queue.all()] == [low(1)]
    queue.open()
    queue.put(low(2))
    assert await queue.take(PreKeysLow, 0) == low(2)


async def test_lifting_the_bound_frees_whoever_waits_for_room() -> None:
    queue = EventQueue(1)
    queue.put(low(1))
    room = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.lift_bound()
    await room


async def test_a_predicate_that_raises_ends_the_wait_that_brought_it() -> None:
    """Nobody else hears of it, and the event goes to who wants it, or stays."""
    queue = EventQueue(10)

    def wrong(event: Event) -> bool:
        raise AttributeError(f"{type(event).__name__} has no text")

    for give in (queue.put, queue.offer):
        bad, good = asyncio.create_task(queue.take(wrong, 5)), asyncio.create_task(queue.take(PreKeysLow, 5))
        await asyncio.sleep(0)
        give(low(1))
        give(low(2))
        assert await good == low(1)
        with pytest.raises(AttributeError, match="PreKeysLow has no text"):
            await bad
        assert await queue.take(PreKeysLow, 0) == low(2)


@pytest.mark.parametrize("wants", [True, False])
async def test_what_was_given_to_one_who_left_goes_to_the_next(wants: bool) -> None:
    """If the next wants it; else it is the first that is there."""
    queue = EventQueue(10)
    gone = asyncio.create_task(queue.take(PreKeysLow, 5))
    next_one = asyncio.create_task(queue.take(PreKeysLow if wants else IdentityChanged, 5))
    await asyncio.sleep(0)
    queue.put(low(1))
    queue.put(OfflineEnd(0))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    if wants:
        assert await next_one == low(1)
    else:
        assert await queue.take(lambda event: True, 0) == low(1)
        next_one.cancel()


async def test_what_is_given_back_stands_where_it_came() -> None:
    """Also when several leave to whom something was given."""
    queue = EventQueue(10)
    gone = [asyncio.create_task(queue.take(PreKeysLow, 5)) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(3):
        queue.put(low(number))
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    assert [await queue.take(PreKeysLow, 0) for _ in range(3)] == [low(number) for number in range(3)]


class Outcome(BaseException):
    """As test frameworks end a test with."""


@pytest.mark.parametrize(
    ("raised", "told"), [(Outcome("no"), Outcome), (StopIteration(), RuntimeError)], ids=["outcome", "stop"]
)
async def test_a_predicate_may_raise_what_is_no_usual_exception(
    raised: BaseException, told: type[BaseException]
) -> None:
    """Such as the failure of a test, or `next` without a default: whoever brings the event does not hear of it."""
    queue = EventQueue(10)

    def wrong(event: Event) -> bool:
        raise raised

    waiting = asyncio.create_task(queue.take(wrong, 5))
    await asyncio.sleep(0)
    queue.put(low(1))
    [ended] = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(ended, told)
    assert await queue.take(PreKeysLow, 0) == low(1)


async def test_waiting_for_the_next_event_may_be_given_up() -> None:
    """As for a timeout: the next wait goes on where it was. The end of the queue is the end."""
    queue = EventQueue(10)
    events = queue.all()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 0.001)
    queue.put(low(1))
    assert await anext(events) == low(1)
    queue.close()
    assert [event async for event in events] == []
