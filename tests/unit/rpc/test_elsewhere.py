"""Two nodes that remember answers: a repetition waits for the one at work, and two never wait for each other."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from interop_api.v1 import integrity_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.rpc.calls import Call
from interop_server.rpc.others import Answering, Others, Recorded, Silent
from interop_server.rpc.repeats import Repeats
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock

from .contexts import METHODS, FromGrpc

pytestmark = pytest.mark.requirement("SIM-01")


class Line(Others):
    """What joins two nodes of one process."""

    def __init__(self, own_name: str) -> None:
        self._own_name = own_name
        self._answers: dict[str, Answering] = {}
        self.peer: Line | None = None
        self.is_cut = False

    @property
    def own_name(self) -> str:
        return self._own_name

    def names(self) -> Sequence[str]:
        return [] if self.peer is None else [self.peer.own_name]

    def talkative(self) -> Sequence[str]:
        return self.names()

    async def ask(self, node: str, method: str, request: bytes) -> bytes:
        await asyncio.sleep(0)
        if self.is_cut or self.peer is None:
            raise Silent
        return await self.peer._answers[method](request)

    def answer_with(self, method: str, answer: Answering) -> None:
        self._answers[method] = answer

    def share(self, recorded: Recorded) -> None:
        raise NotImplementedError

    def read(self, recorded: Recorded, request: Any) -> AsyncGenerator[Any, None]:
        raise NotImplementedError


class Place:
    """One node, and how often it has done something."""

    def __init__(self, name: str) -> None:
        self.clock = ManualClock(1_000)
        self.journal = Journal(self.clock, SeededRng(1))
        self.line = Line(name)
        self.repeats = Repeats(self.clock, Limits(repeat_seconds=10), self.line)
        self.done = 0
        self.has_begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def ask(self, request: bytes = b"the bytes", *, refused: bool = False) -> str:
        context: Any = FromGrpc()
        call = Call(context, METHODS["IntegrityService.Report"], self.journal)
        call.actor = "100-1@interop"

        async def report() -> integrity_pb2.ReportResponse:
            self.done += 1
            self.has_begun.set()
            await self.may_go_on.wait()
            if refused:
                raise Refusal(Reason.REQUEST_MALFORMED, "no", 7, field="jid", requirement="ABU-03")
            return integrity_pb2.ReportResponse(report_id=f"{self.line.own_name}{self.done}")

        return str((await self.repeats.answer(call, "once", request, report)).report_id)


@pytest.fixture
def places() -> tuple[Place, Place]:
    here, there = Place("here"), Place("there")
    here.line.peer, there.line.peer = there.line, here.line
    return here, there


async def test_a_repetition_waits_for_the_node_that_is_at_work(places: tuple[Place, Place]) -> None:
    """And is answered as soon as that is; also once more from what it remembers then itself."""
    here, there = places
    here.may_go_on.clear()
    first = asyncio.create_task(here.ask())
    await here.has_begun.wait()
    second = asyncio.create_task(there.ask())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    here.may_go_on.set()
    assert await first == await second == "here1"
    there.line.is_cut = True
    assert await there.ask() == "here1" and (here.done, there.done) == (1, 0)


async def test_two_that_begin_at_once_do_not_wait_for_each_other(places: tuple[Place, Place]) -> None:
    """Both do it: neither has an answer."""
    here, there = places
    async with asyncio.timeout(20):
        assert await asyncio.gather(here.ask(), there.ask()) == ["here1", "there1"]


async def test_a_refusal_comes_with_all_that_it_says(places: tuple[Place, Place]) -> None:
    """But for what only the operator of the one node may know; other bytes are refused wherever they come."""
    here, there = places
    refusals = []
    for place in (here, there):
        with pytest.raises(Refusal) as caught:
            await place.ask(refused=True)
        refusals.append(caught.value)
    first, second = refusals
    for name in ("reason", "detail", "retry_after_ms", "requirement", "violations", "code"):
        assert getattr(first, name) == getattr(second, name), name
    assert (here.done, there.done) == (1, 0)
    with pytest.raises(Refusal, match="another request"):
        await there.ask(b"other bytes")


async def test_what_is_too_old_is_not_known(places: tuple[Place, Place]) -> None:
    """It is a new call then, as it is where the other node cannot be asked."""
    here, there = places
    assert await here.ask() == "here1"
    here.clock.advance(10_000)
    assert await there.ask() == "there1"
    there.clock.advance(10_000)
    there.line.is_cut = True
    assert await there.ask() == "there2"
