"""Calls that wait for a connection, and the groups that they form; knows no database."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Failures(Protocol):
    """Says what a caller gets for a failure of the database."""

    def meet(self, error: BaseException) -> BaseException:
        """Returns what the caller gets."""
        ...


class Call:
    """One waiting call: its operation and its result.

    Args:
        operation: What is to be run.
        items: Those of a call that may be merged with others of the same operation; None for one that may not.
        future: Where the caller waits.
    """

    __slots__ = ("error", "future", "items", "operation", "result")

    def __init__(self, operation: Callable[..., Any], items: list[Any] | None, future: asyncio.Future[Any]) -> None:
        self.operation = operation
        self.items = items
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self, failures: Failures) -> None:
        """Tells the caller."""
        if self.error is not None:
            self.error = failures.meet(self.error)
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


MAX_WAITING = 256
"""Most calls in a lane at once; further calls wait in order of arrival."""


class Lane:
    """Calls that wait for one connection."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_WAITING)
        self._queue: asyncio.Queue[Call | None] = asyncio.Queue()
        self._closed = False

    async def call(self, operation: Callable[..., Any], items: list[Any] | None = None) -> Any:
        """Waits its turn, and returns what the operation does.

        Raises:
            ValueError: The lane is closed.
            Exception: What the operation raises, or what stands for a failure of the database.
        """
        if self._closed:
            raise ValueError("the store is closed")
        # The semaphore is fair, so calls keep their order even when the lane is full.
        async with self._slots:
            call = Call(operation, items, asyncio.get_running_loop().create_future())
            self._queue.put_nowait(call)
            return await call.future

    async def finish(self) -> bool:
        """Takes no more calls, and tells who takes them from the queue; says whether this was the first time."""
        if self._closed:
            return False
        self._closed = True
        for _ in range(MAX_WAITING):
            await self._slots.acquire()
        self._queue.put_nowait(None)
        return True


Step = Sequence[Call]
"""One call, or several of one batch operation."""


def merged(group: Sequence[Call]) -> list[list[Call]]:
    """Merges calls of the same batch operation, at the place of the first."""
    steps: list[list[Call]] = []
    batches: dict[Callable[..., Any], list[Call]] = {}
    for call in group:
        if call.items is not None and call.operation in batches:
            batches[call.operation].append(call)
            continue
        steps.append([call])
        if call.items is not None:
            batches[call.operation] = steps[-1]
    return steps


def items_of(step: Step) -> list[Any]:
    """Returns the items of all calls of a step, in their order."""
    return [item for call in step for item in call.items or ()]


def share_out(step: Step, results: Sequence[Any]) -> None:
    """Gives each call of a step the results of its own items."""
    start = 0
    for call in step:
        end = start + len(call.items or ())
        call.result = results[start:end]
        start = end
