"""Answers that are long to make are made once for all who asked before: no account has its list read side by side."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import integrity_pb2, interop_pb2, prekeys_pb2
from interop_server.core.journal import Journal, Origin
from interop_server.core.keys.prekeys import KeyDigest
from interop_server.core.limits import Limits
from interop_server.core.model import Account, KemPreKeyIds, Partner, PublishedKeys, SignedPreKey
from interop_server.core.operator.world import World
from interop_server.core.troubles import Troubles
from interop_server.http.metrics import Metrics, Sources
from interop_server.rpc.admin import AdminServicer, Itself
from interop_server.rpc.calls import Call
from interop_server.rpc.integrity import IntegrityServicer
from interop_server.rpc.interop import InteropServicer
from interop_server.rpc.prekeys import PreKeyServicer
from interop_server.runtime.rng import SeededRng
from interop_server.shared_answers import SharedAnswers
from tests.manual_clock import ManualClock
from tests.unit.rpc.contexts import METHODS, FromGrpc

pytestmark = pytest.mark.requirement("SIM-06")


class Maker:
    """Makes numbered answers, each when it is let."""

    def __init__(self) -> None:
        self.shared = SharedAnswers[int]()
        self.begun = 0
        self.under_way = 0
        self.most_under_way = 0
        self._let = asyncio.Semaphore(0)

    def let(self, count: int = 1) -> None:
        """Lets so many answers be made."""
        for _ in range(count):
            self._let.release()

    async def make(self) -> int:
        self.begun += 1
        number = self.begun
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._let.acquire()
        finally:
            self.under_way -= 1
        return number

    async def ask(self, count: int, holder: int = 1) -> list["asyncio.Task[int]"]:
        """Asks, and returns once all of them wait."""
        asked = [asyncio.create_task(self.shared.get(holder, self.make)) for _ in range(count)]
        await asyncio.sleep(0)
        return asked


async def test_all_who_asked_before_it_was_begun_get_one_answer() -> None:
    """The first is under way when the others come, who must not get what was read before they asked."""
    maker = Maker()
    asked = await maker.ask(100)
    maker.let(100)
    assert await asyncio.gather(*asked) == [1, *[2] * 99]
    assert maker.most_under_way == 1


async def test_an_answer_tells_of_what_was_done_before_it_was_asked_for() -> None:
    """One that comes while the second is made waits for the third; one that comes later has its own."""
    maker = Maker()
    asked = await maker.ask(2)
    maker.let()
    assert await asked[0] == 1
    assert maker.begun == 2
    asked += await maker.ask(2)
    maker.let(3)
    assert await asyncio.gather(*asked) == [1, 2, 3, 3]
    assert await maker.shared.get(1, maker.make) == 4


async def test_holders_do_not_wait_for_each_other() -> None:
    """Nor share anything."""
    maker = Maker()
    asked = [*await maker.ask(1, holder=1), *await maker.ask(1, holder=2)]
    assert maker.under_way == 2
    maker.let(2)
    assert await asyncio.gather(*asked) == [1, 2]


async def test_who_breaks_off_leaves_it_to_the_next() -> None:
    """Whether it was making the answer, or waited for it."""
    maker = Maker()
    asked = await maker.ask(4)
    for given_up in (asked[0], asked[2]):
        given_up.cancel()
    maker.let(2)
    assert [await each for each in (asked[1], asked[3])] == [2, 2]


async def test_a_failure_is_its_own_alone() -> None:
    """Who waits tries again, and is told what comes of that; nothing is remembered then of anybody."""
    maker, failures = Maker(), iter([True, False])
    maker.let(1)

    async def fail_first() -> int:
        await asyncio.sleep(0)
        if next(failures):
            raise ZeroDivisionError
        return await maker.make()

    asked = [maker.shared.get(1, fail_first) for _ in range(3)]
    assert [repr(each) for each in await asyncio.gather(*asked, return_exceptions=True)] == [
        "ZeroDivisionError()", "1", "1",
    ]  # fmt: skip
    assert not maker.shared._makings


@dataclass
class LongLists:
    """Rules about lists that take several rounds of the event loop to read."""

    reads: int = 0

    async def digest(self, _account: Account) -> KeyDigest:
        await self._read()
        keys = PublishedKeys(1, bytes(32), SignedPreKey(1, bytes(32), bytes(64)))
        return KeyDigest(keys, [1, 2], bytes(20), KemPreKeyIds(None, []))

    async def blocked(self, _account: Account) -> tuple[list[str], bytes]:
        await self._read()
        return ["1-2@interop"], bytes(32)

    async def list_partners(self, _account: Account) -> list[tuple[Partner, bool]]:
        await self._read()
        return []

    async def block(self, _account: Account, _jid: str) -> None:
        await asyncio.sleep(0)

    async def _read(self) -> None:
        self.reads += 1
        for _ in range(3):
            await asyncio.sleep(0)


JOURNAL = Journal(ManualClock(0), SeededRng(1), origin=Origin(run="00ff00ff"))


def call(method: str) -> Any:
    context: Any = FromGrpc()
    made = Call(context, METHODS[method], JOURNAL)
    made.account = Account(1, "49151@s.whatsapp.net", 0, "49151", b"", None)
    return made


@pytest.mark.requirement("KEY-10", "ABU-02", "OPT-07")
async def test_whole_lists_are_read_for_all_who_ask_together() -> None:
    """The partners, the key digest and the blocklist, also for the hash that each change of it is answered with."""
    rules: Any = LongLists()
    prekeys = PreKeyServicer(rules, JOURNAL)
    integrity = IntegrityServicer(rules, rules, rules, Limits())
    interop = InteropServicer(rules, rules, rules, JOURNAL)
    block = integrity_pb2.UpdateBlocklistRequest(action=integrity_pb2.BLOCK_ACTION_BLOCK, jid="1-2@interop")
    calls = (
        lambda: interop.ListPartners(interop_pb2.ListPartnersRequest(), call("InteropService.ListPartners")),
        lambda: prekeys.GetKeyDigest(prekeys_pb2.GetKeyDigestRequest(), call("PreKeyService.GetKeyDigest")),
        lambda: integrity.GetBlocklist(integrity_pb2.GetBlocklistRequest(), call("IntegrityService.GetBlocklist")),
        lambda: integrity.UpdateBlocklist(block, call("IntegrityService.UpdateBlocklist")),
    )
    for make in calls:
        rules.reads = 0
        answers = await asyncio.gather(*(make() for _ in range(50)))
        assert rules.reads == 2, "by the first, and for all that came meanwhile"
        assert all(answer == answers[0] for answer in answers)


class FilledStore:
    """A store in which there is much to count."""

    def __init__(self) -> None:
        self.counts = 0

    async def count_rows(self) -> dict[str, int]:
        self.counts += 1
        await asyncio.sleep(0)
        return {"mailbox": self.counts}


@pytest.mark.requirement("SIM-06")
async def test_rows_are_counted_for_all_who_ask_together() -> None:
    """All of the store is read for it: by an operator's page, say, and by whoever reaches the port for metrics."""
    store, troubles = FilledStore(), Troubles()
    registry: Any = SimpleNamespace(connected=list, is_draining=False)
    itself = Itself(dict, troubles, registry, lambda: 1)
    admin = AdminServicer(cast("Any", None), store.count_rows, itself, World(1, lambda: None))
    asked = admin_pb2.GetStatisticsRequest()
    answers = await asyncio.gather(*(admin.GetStatistics(asked, cast("Any", None)) for _ in range(50)))
    assert [answer.stored["mailbox"] for answer in answers] == [1, *[2] * 49]
    metrics = Metrics(JOURNAL, Sources("node-1", store.count_rows, dict, lambda: 0, lambda: troubles.present))
    request = make_mocked_request("GET", "/metrics")
    pages = await asyncio.gather(*(metrics._serve(request) for _ in range(50)))
    assert [b'table="mailbox"} 3.0' in bytes(cast("bytes", page.body)) for page in pages] == [True, *[False] * 49]
    assert store.counts == 4
    await metrics.close()
