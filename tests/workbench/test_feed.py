"""What a page is told: batches of the newest, with the rest counted, however much happens."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import journal_pb2, trace_pb2
from interop_client.errors import ServerRefusal
from interop_workbench.feed import BATCH_ENTRIES, KEPT_ENTRIES, MAX_WATCHERS, Batch, Feed, TooManyWatchers


class Busy(AdminClient):
    """A simulator in which much has happened: entries from 1 on, of which a reader misses some."""

    def __init__(self, entries: int, missed: int = 0) -> None:
        super().__init__("127.0.0.1:1")
        self.entries = entries
        self.missed = missed
        self.tokens: list[str] = []

    async def read_journal(self, **wanted: Any) -> AsyncGenerator[journal_pb2.ReadJournalResponse, None]:
        self.tokens.append(wanted["resume_token"])
        for number in range(1, self.entries + 1):
            entry = journal_pb2.JournalEntry(number=number, action="stanza.message", resume_token=f"after {number}")
            yield journal_pb2.ReadJournalResponse(entry=entry, missed=self.missed if number == 1 else 0)
        raise ServerRefusal("UNAVAILABLE", "gone")

    async def read_trace(self, **wanted: Any) -> AsyncGenerator[trace_pb2.ReadTraceResponse, None]:
        yield trace_pb2.ReadTraceResponse(is_kept=True)
        entry = trace_pb2.TraceEntry(number=1, kind="message", content_json='{"message": {}}', resume_token="after 1")
        yield trace_pb2.ReadTraceResponse(entry=entry)
        raise ServerRefusal("UNAVAILABLE", "gone")


async def take(feed: Feed, batches: int) -> list[dict[str, Any]]:
    """The first batches of somebody who watches."""
    taken: list[dict[str, Any]] = []
    async with aclosing(feed.watch()) as watch:
        async for batch in watch:
            taken.append(json.loads(batch))
            if len(taken) == batches:
                break
    return taken


async def test_a_batch_has_the_newest_and_counts_the_others() -> None:
    """Of 5,000 entries at once the page gets the newest, and the number of those in between."""
    feed = Feed(Busy(5_000, missed=7))
    first, second = await take(feed, 2)
    assert first == {"people": [], "journal": [], "wire": [], "left_out": {"journal": 0, "wire": 0}}
    numbers = [entry["number"] for entry in second["journal"]]
    assert numbers == list(range(5_000 - BATCH_ENTRIES + 1, 5_001))
    assert second["left_out"] == {"journal": 5_000 - BATCH_ENTRIES + 7, "wire": 0}
    assert [entry["kind"] for entry in second["wire"]] == ["message"]


async def test_who_comes_later_gets_what_is_known() -> None:
    """The first batch of a page that opens is bounded, and reading goes on after the last entry."""
    admin = Busy(2 * KEPT_ENTRIES)
    feed = Feed(admin)
    await take(feed, 2)
    (known,) = await take(feed, 1)
    assert [entry["number"] for entry in known["journal"]] == list(range(KEPT_ENTRIES + 1, 2 * KEPT_ENTRIES + 1))
    await take(feed, 2)
    assert admin.tokens[:1] == [""] and f"after {2 * KEPT_ENTRIES}" in admin.tokens


async def test_nothing_is_lost_between_the_first_batch_and_the_next() -> None:
    """What happens while the first batch is on its way is in the second."""
    feed = Feed(Busy(0))
    async with aclosing(feed.watch()) as watch:
        await anext(watch)
        feed.tell_changed("Ada")
        feed.tell_changed("Ada")
        feed.tell_changed("Echo")
        assert json.loads(await anext(watch))["people"] == ["Ada", "Echo"]


async def test_only_so_many_watch() -> None:
    """One more is told so; when one goes, there is room."""
    feed = Feed(Busy(0))
    watchers = [feed.watch() for _ in range(MAX_WATCHERS)]
    for watcher in watchers:
        await anext(watcher)
    with pytest.raises(TooManyWatchers):
        await anext(feed.watch())
    await watchers.pop().aclose()
    async with aclosing(feed.watch()) as another:
        await anext(another)
    for watcher in watchers:
        await watcher.aclose()


def test_a_batch_is_bounded_for_a_page_that_does_not_read() -> None:
    """However long a page takes, its next batch holds no more than any."""
    batch = Batch()
    for number in range(10_000):
        batch.add("journal", {"number": number})
        batch.add("wire", {"number": number})
    assert len(batch.journal) == len(batch.wire) == BATCH_ENTRIES
    assert batch.left_out == {"journal": 10_000 - BATCH_ENTRIES, "wire": 10_000 - BATCH_ENTRIES}
