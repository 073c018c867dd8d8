"""The one attempt to connect that a transport makes at a time; knows no wire."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from interop_client.cancellation import is_asked_to_end
from interop_client.errors import ConnectionEnded

T = TypeVar("T")


def overtaken() -> ConnectionEnded:
    """Returns what whoever connects is told when the client is closed, or connects anew, meanwhile."""
    return ConnectionEnded("CLOSED", "It was closed, or told to connect anew, while it connected.")


class Attempt(Generic[T]):
    """What a transport does to connect. A later attempt ends it, and so does `end`, at whatever it waits for.

    Of those that come at once, the last has the last word, also while it waits for an earlier attempt to end.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None
        self._turns = 0
        """Calls of `make` and `end`."""

    async def make(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work, after ending an earlier attempt.

        Raises:
            ConnectionEnded: CLOSED: a later attempt or `end` came first.
        """
        self._turns += 1
        turn = self._turns
        try:
            await self._end_task()
            if turn != self._turns:
                raise overtaken()
        except BaseException:
            work.close()
            raise
        task = self._task = asyncio.create_task(work)
        try:
            return await task
        except asyncio.CancelledError:
            if is_asked_to_end():
                raise
            raise overtaken() from None
        finally:
            if self._task is task:
                self._task = None
            del task  # which holds what it raises, and that this frame: the connection would stay with them

    async def end(self) -> None:
        """Ends the attempt that is under way, if any, and returns when nothing of it is at work any more.

        Called by the attempt itself, it does not wait: the attempt ends at its next `check`.
        """
        self._turns += 1
        await self._end_task()

    def check(self) -> None:
        """Asks whether the attempt whose task this is may go on, after code of the application that it waited for.

        Raises:
            ConnectionEnded: CLOSED: that code has ended it, or connected anew.
        """
        if self._task is not asyncio.current_task():
            raise overtaken()

    async def _end_task(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        if task is asyncio.current_task():
            self._task = None
            return
        if not task.cancelling():  # else it would be disturbed while it cleans up
            task.cancel()
        await asyncio.wait((task,))
