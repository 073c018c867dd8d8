"""What happens in a simulator, for pages that watch: journal, wire and phones, in batches; knows no HTTP.

One reader of each stream serves all pages. It reads while somebody watches: what goes over the wire is recorded for its
sake. A page gets a batch a few times a second, with the newest entries only and the number of those left out, however
much happens.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from interop_admin.client import AdminClient
from interop_admin.commands.journal import entry_as_json as journal_entry
from interop_admin.commands.trace import entry_as_json as wire_entry
from interop_client.errors import ServerRefusal

KEPT_ENTRIES = 500
"""Of each kind, for a page that opens."""
BATCH_ENTRIES = 100
"""Of each kind, in a batch."""
BATCH_SECONDS = 0.25
MAX_WATCHERS = 16
_PAUSE_SECONDS = 1.0

Entries = AsyncGenerator[tuple[str, int, dict[str, Any]], None]
"""A resume token, how many entries before it were missed, and the entry."""


class TooManyWatchers(Exception):
    """So many pages watch that no more may."""


@dataclass(slots=True)
class Batch:
    """What has happened since the batch before."""

    people: set[str] = field(default_factory=set)
    """Names of those whose phones have changed."""
    journal: "deque[dict[str, Any]]" = field(default_factory=lambda: deque(maxlen=BATCH_ENTRIES))
    wire: "deque[dict[str, Any]]" = field(default_factory=lambda: deque(maxlen=BATCH_ENTRIES))
    left_out: dict[str, int] = field(default_factory=lambda: {"journal": 0, "wire": 0})

    def add(self, kind: str, entry: dict[str, Any], missed: int = 0) -> None:
        """Adds an entry, in place of the oldest when there are too many.

        Args:
            kind: `journal` or `wire`.
            entry: The entry.
            missed: How many before it this process did not get.
        """
        entries = self.journal if kind == "journal" else self.wire
        self.left_out[kind] += missed + (len(entries) == BATCH_ENTRIES)
        entries.append(entry)

    def as_json(self) -> str:
        """Returns the batch as an object in JSON."""
        return json.dumps(
            {
                "people": sorted(self.people),
                "journal": list(self.journal),
                "wire": list(self.wire),
                "left_out": self.left_out,
            }
        )


class Feed:
    """Reads what happens, and hands it to those who watch.

    Args:
        admin: The simulator.
    """

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._watchers: list[tuple[Batch, asyncio.Event]] = []
        self._kept: dict[str, deque[dict[str, Any]]] = {
            "journal": deque(maxlen=KEPT_ENTRIES),
            "wire": deque(maxlen=KEPT_ENTRIES),
        }
        self._readers: list[asyncio.Task[None]] = []

    def tell_changed(self, name: str) -> None:
        """Notes that a person's phone has changed."""
        for batch, came in self._watchers:
            batch.people.add(name)
            came.set()

    async def watch(self) -> AsyncGenerator[str, None]:
        """Yields batches in JSON, the first with what is known already; ends when it is closed.

        Raises:
            TooManyWatchers: Others watch already.
        """
        if len(self._watchers) >= MAX_WATCHERS:
            raise TooManyWatchers
        known = self._known().as_json()
        watcher = (Batch(), asyncio.Event())
        self._watchers.append(watcher)
        self._begin()
        try:
            yield known
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(15):
                        await watcher[1].wait()
                batch = watcher[0]
                watcher = self._renewed(watcher)
                yield batch.as_json()
                await asyncio.sleep(BATCH_SECONDS)
        finally:
            self._watchers.remove(watcher)
            if not self._watchers:
                await self.close()

    async def close(self) -> None:
        """Stops reading."""
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    def _known(self) -> Batch:
        batch = Batch()
        batch.journal = deque(self._kept["journal"])
        batch.wire = deque(self._kept["wire"])
        return batch

    def _renewed(self, watcher: tuple[Batch, asyncio.Event]) -> tuple[Batch, asyncio.Event]:
        fresh = (Batch(), asyncio.Event())
        self._watchers[self._watchers.index(watcher)] = fresh
        return fresh

    def _begin(self) -> None:
        if not self._readers:
            self._readers = [
                asyncio.ensure_future(self._read("journal", self._read_journal)),
                asyncio.ensure_future(self._read("wire", self._read_wire)),
            ]

    async def _read(self, kind: str, read: Callable[[str], Entries]) -> None:
        token = next((str(entry["resume_token"]) for entry in reversed(self._kept[kind])), "")
        while True:
            try:
                async with contextlib.aclosing(read(token)) as entries:
                    async for token, missed, entry in entries:  # noqa: B007 - it goes on from there after a break
                        self._add(kind, entry, missed)
            except ServerRefusal:  # out of reach for a moment, or a token of the world before
                token = ""
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _read_journal(self, token: str) -> Entries:
        async for response in self._admin.read_journal(follow=True, resume_token=token):
            if response.HasField("entry"):
                yield response.entry.resume_token, response.missed, journal_entry(response.entry)

    async def _read_wire(self, token: str) -> Entries:
        async for response in self._admin.read_trace(follow=True, resume_token=token):
            if response.HasField("entry"):
                yield response.entry.resume_token, response.missed, wire_entry(response.entry)

    def _add(self, kind: str, entry: dict[str, Any], missed: int) -> None:
        self._kept[kind].append(entry)
        for batch, came in self._watchers:
            batch.add(kind, entry, missed)
            came.set()


def as_event(batch: str) -> bytes:
    """Returns a batch as a server-sent event."""
    return f"data: {batch}\n\n".encode()
