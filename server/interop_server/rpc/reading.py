"""Streams what a server records to a reader, who may follow it; knows nothing of what the entries say."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from interop_server.core.newest import Newest
from interop_server.core.ports import Clock

_log = logging.getLogger(__name__)
_PAGE = 512
"""Entries looked at between two turns of the event loop."""


class Numbered(Protocol):
    """An entry."""

    @property
    def number(self) -> int:
        """Its number."""


N = TypeVar("N", bound=Numbered)


async def read_on(
    newest: Newest[N], clock: Clock, after: int, matches: Callable[[N], bool], grown: asyncio.Event | None
) -> AsyncGenerator[tuple[N, int], None]:
    """Yields the matching entries after a number, oldest first, each with how many were forgotten before it.

    Args:
        newest: The entries.
        clock: Lets others have their turn.
        after: The number.
        matches: Says whether the reader wants an entry.
        grown: As `following` gives it; None to end after the entries that there are.
    """
    missed = 0
    while True:
        if grown is not None:
            grown.clear()
        entries, forgotten = newest.after(after, _PAGE)
        missed += forgotten
        for entry in entries:
            after = entry.number
            if matches(entry):
                yield entry, missed
                missed = 0
        if entries:
            await clock.sleep(0)
        elif grown is not None:
            await grown.wait()
        else:
            return


@contextmanager
def following(newest: Newest[N], follow: bool) -> Iterator[asyncio.Event | None]:
    """Gives an event that is set with each new entry for the time of the block; None unless somebody follows."""
    if not follow:
        yield None
        return
    grown = asyncio.Event()
    unsubscribe = newest.subscribe(lambda _: grown.set(), _report)
    try:
        yield grown
    finally:
        unsubscribe()


def _report(error: Exception) -> None:
    _log.error("a reader could not be woken", exc_info=error)
