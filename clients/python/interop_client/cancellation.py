"""Who asked for a cancellation, and work on threads that no cancellation ends; knows nothing of what it is."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def is_asked_to_end() -> bool:
    """Says whether a cancellation that was just caught is one of this task, and not of what it waited for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def must_go_on(error: BaseException) -> bool:
    """Says whether an error that was just caught is to end this task or the process, so must not be kept."""
    if isinstance(error, asyncio.CancelledError):
        return is_asked_to_end()
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


async def to_its_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does work on a thread, and returns when it has ended: also when it is cancelled, however often.

    Raises:
        CancelledError: It was cancelled; the work is done all the same, or has failed.
        Exception: What the work raises; a RuntimeError for what no future can hold, or would take for a cancellation.
    """

    def work_told() -> T:
        try:
            return work(*args, **kwargs)
        except (StopIteration, asyncio.CancelledError) as error:
            raise RuntimeError(f"the work raised {error!r}") from error

    working = asyncio.ensure_future(asyncio.to_thread(work_told))
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait((working,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return working.result()
    working.exception()  # looked at: nobody else will
    raise cancelled
