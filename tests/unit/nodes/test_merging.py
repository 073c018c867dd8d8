"""What several nodes have recorded is one stream in the order of time, whoever of them is slow, silent or ahead."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from interop_api.admin.v1alpha1 import journal_pb2 as pb
from interop_server.core.journal import Journal, JournalEntry
from interop_server.core.newest import Origin
from interop_server.nodes import merging
from interop_server.nodes.merging import GetPage, Page, merged, page_from, page_of
from interop_server.rpc.others import Recorded, Silent
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

pytestmark = pytest.mark.requirement("SIM-07")

NOW_MS = 1_700_000_000_000


class Place:
    """One node: its clock, its journal, and whether it answers."""

    def __init__(self, name: str, capacity: int = 1_000) -> None:
        self.name = name
        self.clock = ManualClock(NOW_MS)
        self.journal = Journal(self.clock, SeededRng(1), capacity, Origin(name, "01020304"))
        self.is_silent = False
        self.asked = 0
        self._again = asyncio.Event()
        self.recorded = Recorded(
            "JournalService.ReadJournal",
            self.journal,
            pb.ReadJournalRequest,
            pb.ReadJournalResponse,
            lambda entry, request: request.actor in ("", entry.actor),
            self._response,
        )

    def _response(self, entry: JournalEntry, missed: int) -> pb.ReadJournalResponse:
        token = self.journal.resume_token(entry.number)
        shown = pb.JournalEntry(number=entry.number, at_ms=entry.at_ms, node=self.name, resume_token=token)
        return pb.ReadJournalResponse(entry=shown, missed=missed)

    async def was_asked(self, times: int) -> None:
        """Returns when it was asked so often."""
        while self.asked < times:
            self._again.clear()
            await self._again.wait()

    def record(self, count: int = 1, actor: str = "ada") -> None:
        for _ in range(count):
            self.journal.record(actor, "test", "done")

    async def page(self, token: str, request: pb.ReadJournalRequest) -> Page:
        """As it comes over the bus."""
        self.asked += 1
        self._again.set()
        if self.is_silent:
            raise Silent
        page = await page_of(self.recorded, self.clock, request, token)
        return page_from(page.to_bytes(), pb.ReadJournalResponse)


def read(places: list[Place], **wanted: Any) -> AsyncGenerator[Any, None]:
    request = pb.ReadJournalRequest(**wanted)

    def nodes() -> Mapping[str, GetPage]:
        return {place.name: lambda token, place=place: place.page(token, request) for place in places}

    return merged(nodes, request.resume_token, pb.ReadJournalResponse, is_followed=request.follow)


async def entries_of(places: list[Place], **wanted: Any) -> list[tuple[str, int]]:
    return [(each.entry.node, each.entry.number) async for each in read(places, **wanted) if each.HasField("entry")]


@pytest.fixture
def places() -> list[Place]:
    return [Place("a"), Place("b"), Place("c")]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are asked again at once."""
    monkeypatch.setattr(merging, "_LOOK_SECONDS", 0)


async def test_entries_come_in_the_order_of_time(places: list[Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are spread, in small parts or large; from any entry on the rest comes, each once."""
    monkeypatch.setattr(merging, "_MOST_BYTES", 300)
    choose = random.Random(3)
    for _ in range(300):
        choose.choice(places).record(choose.randint(0, 3))
        step_ms = choose.randint(0, 2)
        for place in places:
            place.clock.advance(step_ms)
    responses = [each async for each in read(places)]
    found = [each.entry for each in responses]
    assert len(found) == sum(place.journal._number for place in places) > 200
    assert [entry.at_ms for entry in found] == sorted(entry.at_ms for entry in found)
    keys = [(entry.node, entry.number) for entry in found]
    assert len(set(keys)) == len(keys)
    for at in choose.sample(range(len(found)), 20):
        assert await entries_of(places, resume_token=found[at].resume_token) == keys[at + 1 :]


async def test_a_filter_and_what_is_forgotten_hold_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part without a match is not the end; whoever comes too late is told how many he missed, in all."""
    monkeypatch.setattr(merging, "_PAGE", 4)
    monkeypatch.setattr(merging, "_MOST_LOOKED", 8)
    places = [Place("a"), Place("b", capacity=50)]
    places[0].record(40, "eve")
    places[0].record()
    places[1].record(70, "eve")
    places[1].record()
    assert await entries_of(places, actor="ada") == [("a", 41), ("b", 71)]
    assert [each.missed async for each in read(places, actor="ada")] == [0, 21]


async def test_a_silent_node_is_named_and_not_waited_for(places: list[Place]) -> None:
    """It is asked once; the others' entries come."""
    for place in places:
        place.record()
    places[1].is_silent = True
    responses = [each async for each in read(places)]
    assert responses[0].has_silence_changed and list(responses[0].silent_nodes) == ["b"]
    assert [each.entry.node for each in responses[1:]] == ["a", "c"]
    assert places[1].asked == 1


async def test_a_follower_waits_for_whoever_may_be_earlier(places: list[Place]) -> None:
    """A node that is behind holds back what is later than its time; where time stands, nobody is waited for."""
    ahead, behind = places[:2]
    ahead.clock.advance(500)
    ahead.record()
    behind.record()
    async with aclosing(read([ahead, behind], follow=True)) as responses:
        assert (await anext(responses)).entry.node == "b"
        later = asyncio.ensure_future(anext(responses))
        asked = behind.asked
        async with asyncio.timeout(20):
            await behind.was_asked(asked + 3)
        assert not later.done()
        behind.clock.advance(499)
        behind.record()
        assert (await later).entry.node == "b"
        behind.clock.advance(1)
        assert (await anext(responses)).entry.node == "a"
        behind.record()
        assert (await anext(responses)).entry.number == 3


async def test_a_follower_gets_what_a_silent_node_has_recorded(
    places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it answers again, from where it was; it is asked now and then, and not at each turn."""
    monkeypatch.setattr(merging, "_RESTS", 5)
    there, here = places[:2]
    there.record(2)
    async with aclosing(read([there, here], follow=True)) as responses:
        assert [(await anext(responses)).entry.number for _ in range(2)] == [1, 2]
        there.is_silent = True
        there.record()
        assert list((await anext(responses)).silent_nodes) == ["a"]
        here.record()
        assert (await anext(responses)).entry.node == "b"
        there.is_silent, asked = False, there.asked
        back = await anext(responses)
        assert back.has_silence_changed and not back.silent_nodes
        assert (await anext(responses)).entry.number == 3
        assert there.asked == asked + 1


async def test_nodes_come_and_go(places: list[Place]) -> None:
    """One that joins is heard; one that is taken for dead is not asked, and not named any more."""
    first, second = places[:2]
    known = [first]
    first.record()
    async with aclosing(read(known, follow=True)) as responses:
        assert (await anext(responses)).entry.node == "a"
        second.record()
        known.append(second)
        assert (await anext(responses)).entry.node == "b"
        second.is_silent = True
        assert list((await anext(responses)).silent_nodes) == ["b"]
        known.remove(second)
        gone = await anext(responses)
        assert gone.has_silence_changed and not gone.silent_nodes
