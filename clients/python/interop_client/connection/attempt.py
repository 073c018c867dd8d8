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
    """What a transport does to connect. A later attempt ends it, and so does `end`, at whatever it waits for."""

    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None

    async def make(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work, after ending an earlier attempt.

        Raises:
            ConnectionEnded: CLOSED: a later attempt or `end` came first.
        """
        try:
            while self._task is not None:
                await self.end()
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

    async def end(self) -> None:
        """Ends the attempt that is under way, if any, and returns when nothing of it is at work any more."""
        task, self._task = self._task, None
        if task is not None and not task.done() and task is not asyncio.current_task():
            task.cancel()
            await asyncio.wait((task,))
