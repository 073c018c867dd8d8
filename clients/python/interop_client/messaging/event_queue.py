"""The queue in which events wait until the application takes them; knows no particular event."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeVar, overload

from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import Event

E = TypeVar("E")
Predicate = Callable[[Event], bool]

_log = logging.getLogger(__name__)


class _Arrived(NamedTuple):
    """An event and its number, in order of arrival."""

    number: int
    event: Event


class EventQueue:
    """Events that the application has not taken yet. The first matching `take` gets an event, in order of arrival.

    Args:
        capacity: How many events may wait before `room` waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events: deque[_Arrived] = deque()
        self._numbers = itertools.count()
        self._waiters: list[tuple[Predicate, asyncio.Future[_Arrived]]] = []
        self._is_closed = False
        self._is_bounded = True
        self._has_told = False
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Waits for room. There is always room while a `take` waits: the next event may be the wanted one."""
        while self._is_bounded and len(self._events) >= self._capacity and not self._waiters:
            if not self._has_told:  # an application that has only `on_event` would not know why nothing comes any more
                self._has_told = True
                _log.warning("no more is delivered until the application takes one of %d events", len(self._events))
            self._room.clear()
            await self._room.wait()

    def put(self, event: Event) -> None:
        """Gives an event to the `take` that waits for it, or keeps it. Never refuses an event: `room` is the bound."""
        arrived = _Arrived(next(self._numbers), event)
        if not self._give(arrived):
            self._events.append(arrived)

    def offer(self, event: Event) -> None:
        """Puts an event that is not worth more memory, unless the queue is full and no `take` waits for it."""
        arrived = _Arrived(next(self._numbers), event)
        if not self._give(arrived) and len(self._events) < self._capacity:
            self._events.append(arrived)

    def _give(self, arrived: _Arrived) -> bool:
        """Gives an event to the first who waits for it, if any; a predicate that raises ends its own `take`."""
        for predicate, future in self._waiters:
            if future.done():
                continue
            try:
                if predicate(arrived.event):
                    future.set_result(arrived)
                    return True
            except (KeyboardInterrupt, SystemExit):
                raise
            except StopIteration as error:  # which no future can hold
                future.set_exception(RuntimeError(f"the predicate raised {error!r}"))
            except BaseException as error:  # noqa: BLE001 - the application's: it is told, and nobody else
                future.set_exception(error)
        return False

    def _give_back(self, arrived: _Arrived) -> None:
        """Gives an event to another who waits, or keeps it where it came."""
        if not self._give(arrived):
            later = (index for index, each in enumerate(self._events) if each.number > arrived.number)
            self._events.insert(next(later, len(self._events)), arrived)

    @overload
    async def take(self, wanted: Predicate, timeout_seconds: float | None) -> Event: ...
    @overload
    async def take(self, wanted: type[E], timeout_seconds: float | None) -> E: ...
    async def take(self, wanted: type[E] | Predicate, timeout_seconds: float | None) -> E | Event:
        """Takes the first wanted event, which may have come already; other events stay.

        Args:
            wanted: Class of the event, or a predicate.
            timeout_seconds: How long to wait; None waits for ever.

        Raises:
            TimeoutError: The event did not come in time.
            ConnectionEnded: The queue is closed and does not hold the event.
            Exception: What the predicate raises.
        """
        predicate: Predicate = (lambda event: isinstance(event, wanted)) if isinstance(wanted, type) else wanted
        for index, arrived in enumerate(self._events):
            if predicate(arrived.event):
                del self._events[index]
                self._room.set()
                return arrived.event
        if self._is_closed:
            raise ConnectionEnded("CLOSED")
        return await self._wait(predicate, timeout_seconds)

    async def _wait(self, predicate: Predicate, timeout_seconds: float | None) -> Event:
        future: asyncio.Future[_Arrived] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        self._room.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                return (await future).event
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())  # this call no longer waits
            raise
        finally:
            self._waiters.remove(waiter)

    def all(self) -> AsyncIterator[Event]:
        """Yields events as they come, until the queue is closed and empty."""
        return _All(self)

    def lift_bound(self) -> None:
        """Ends all waiting for room: the connection that fills the queue is about to stop."""
        self._is_bounded = False
        self._room.set()

    def close(self) -> None:
        """Ends all waiting for events. The application can still take those in the queue."""
        self._is_closed = True
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(ConnectionEnded("CLOSED"))

    def open(self) -> None:
        """Makes waiting possible again after `lift_bound` and `close`."""
        self._is_bounded, self._is_closed = True, False


class _All(AsyncIterator[Event]):
    """Takes one event after the other; a take that is cancelled does not end it, as it would end a generator."""

    def __init__(self, queue: EventQueue) -> None:
        self._queue = queue

    async def __anext__(self) -> Event:
        try:
            return await self._queue.take(lambda event: True, None)
        except ConnectionEnded:
            raise StopAsyncIteration from None
