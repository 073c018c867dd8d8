"""Pushes reach the partner as documented, and never hold up, pile up or give away anything (LIF-01, LIF-02, T10)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Partner, PartnerStatus
from interop_server.http.push import HttpPushGateway, PushPolicy
from interop_server.runtime.jwt import JoserfcTokens, PushSigner, generate_rsa_private_key
from tests.manual_clock import ManualClock

ServePartner = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ServeBytes = Callable[..., Awaitable[str]]
MakePartner = Callable[..., Partner]
NOW_MS = 1_700_000_000_000
SIGNER = PushSigner(generate_rsa_private_key())
ADA, BEA = "ada@bats.example", "bea@bats.example"


async def get_signer() -> PushSigner:
    return SIGNER


class Receiver:
    """A partner's push endpoint: answers with the statuses given, then with 200; keeps what it got."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: asyncio.Queue[tuple[web.Request, Any]] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.put_nowait((request, await request.json()))
        await self.gate.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200, headers={"Location": "/other"})

    async def next_to(self) -> str:
        _, body = await self.requests.get()
        to = body["to"]
        assert isinstance(to, str)
        return to


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@asynccontextmanager
async def running(
    clock: ManualClock, *partners: Partner, policy: PushPolicy | None = None
) -> AsyncIterator[HttpPushGateway]:
    by_integrator = {partner.integrator: partner for partner in partners}

    async def get_partner(integrator: int) -> Partner | None:
        return by_integrator.get(integrator)

    gateway = HttpPushGateway(get_partner, get_signer, clock, policy)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(gateway: HttpPushGateway, name: str, count: int) -> None:
    async with asyncio.timeout(10):
        while gateway.counters()[name] < count:  # noqa: ASYNC110 - counters are read from outside, as metrics are
            await asyncio.sleep(0)


@pytest.mark.requirement("LIF-01")
async def test_a_push_is_what_is_documented(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """The partner verifies the token with the simulator's key set and learns whom to wake, and nothing else."""
    receiver = Receiver()
    base_url = await serve_partner(receiver.answer)
    async with running(clock, partner(base_url)) as gateway:
        gateway.notify(100, ADA)
        request, body = await receiver.requests.get()
        await until(gateway, "push_sent", 1)
    assert (request.method, request.path, request.content_type) == ("POST", "/whatsapp/push", "application/json")
    assert body == {"to": ADA}
    scheme, _, token = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    assert JoserfcTokens().verify(token, json.dumps(SIGNER.public_jwks())) == {
        "iss": "WHATSAPP",
        "aud": base_url,
        "iat": NOW_MS // 1_000,
        "exp": NOW_MS // 1_000 + 3_600,
    }
    assert set(request.headers) <= {
        "Host", "User-Agent", "Accept", "Accept-Encoding", "Authorization", "Content-Type", "Content-Length",
        "Interopsim-Proxied",
    }  # fmt: skip


@pytest.mark.requirement("LIF-02")
async def test_pushes_of_one_user_are_coalesced(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """Ten messages for one user and one for another before anything is sent: two pushes."""
    receiver = Receiver()
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        for _ in range(10):
            gateway.notify(100, ADA)
        gateway.notify(100, BEA)
        await until(gateway, "push_sent", 2)
        assert gateway.counters() == {"push_sent": 2, "push_failed": 0, "push_dropped": 0, "push_coalesced": 9}
    assert {await receiver.next_to(), await receiver.next_to()} == {ADA, BEA}
    assert receiver.requests.empty()


async def test_news_during_a_push_cause_one_more(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """The user may have connected and left again on the first one: what came since is worth another, but only one."""
    receiver = Receiver()
    receiver.gate.clear()
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        gateway.notify(100, ADA)
        await receiver.requests.get()
        for _ in range(5):
            gateway.notify(100, ADA)
        receiver.gate.set()
        await clock.wait_for_sleepers(1)
        clock.advance(1_000)
        await until(gateway, "push_sent", 2)
        assert gateway.counters()["push_coalesced"] == 5
    assert receiver.requests.qsize() == 1


async def push_to_others(gateway: HttpPushGateway, clock: ManualClock, sent: int) -> None:
    """After so many pushes, makes four more to somebody else, each when a second is over."""
    for others in range(4):
        await until(gateway, "push_sent", sent + others)
        await clock.wait_for_sleepers(1)
        clock.advance(1_000)
        gateway.notify(100, BEA)
    await until(gateway, "push_sent", sent + 4)


@pytest.mark.requirement("LIF-02")
@pytest.mark.parametrize("news", [0, 3])
async def test_without_news_no_push_follows(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock, news: int
) -> None:
    """Not when its second is over, and not for as long as others are pushed to: what came meanwhile made one more."""
    receiver = Receiver()
    receiver.gate.clear()
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        gateway.notify(100, ADA)
        to = [await receiver.next_to()]
        for _ in range(news):
            gateway.notify(100, ADA)
        receiver.gate.set()
        await push_to_others(gateway, clock, 1)
        while not receiver.requests.empty():
            to.append(await receiver.next_to())
    assert to.count(ADA) == (2 if news else 1)


@pytest.mark.requirement("LIF-02")
async def test_later_news_are_merged_as_the_first_were(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """When the second after a push is over, ten messages before the next is sent make that one, and no further."""
    receiver, to = Receiver(), []
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        gateway.notify(100, ADA)
        await until(gateway, "push_sent", 1)
        await clock.wait_for_sleepers(1)
        clock.advance(1_000)
        gateway.notify(100, BEA)
        await until(gateway, "push_sent", 2)  # by then it is over
        for _ in range(10):
            gateway.notify(100, ADA)
        await push_to_others(gateway, clock, 3)
        while not receiver.requests.empty():
            to.append(await receiver.next_to())
    assert to.count(ADA) == 2


@pytest.mark.requirement("LIF-02")
async def test_forty_messages_after_one_another_make_two_pushes(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """Each comes when the push before has arrived: one at once, and one for all the others, a second later (LIF-02)."""
    receiver = Receiver()
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        gateway.notify(100, ADA)
        await clock.wait_for_sleepers(1)
        for _ in range(39):
            gateway.notify(100, ADA)
        assert gateway.counters() == {"push_sent": 1, "push_failed": 0, "push_dropped": 0, "push_coalesced": 39}
        clock.advance(1_000)
        await until(gateway, "push_sent", 2)
        await clock.wait_for_sleepers(1)
        clock.advance(1_000)
        await until(gateway, "push_sent", 2)
    assert receiver.requests.qsize() == 2


@pytest.mark.requirement("LIF-02")
@pytest.mark.parametrize("status", [500, 404, 302, 202])
async def test_a_failed_push_is_retried_later_and_later(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock, status: int
) -> None:
    """Two answers other than 200, then 200: three requests, each pause longer, no redirect followed."""
    receiver = Receiver(status, status)
    async with running(clock, partner(await serve_partner(receiver.answer))) as gateway:
        gateway.notify(100, ADA)
        for pause_ms in (200, 1_000):
            request, _ = await receiver.requests.get()
            assert request.path == "/whatsapp/push"
            await clock.wait_for_sleepers(1)
            clock.advance(pause_ms - 1)
            assert clock.sleepers == 1
            gateway.notify(100, ADA)  # while it waits for its retry: the retry says it too
            clock.advance(1)
        await until(gateway, "push_sent", 1)
        assert gateway.counters() == {"push_sent": 1, "push_failed": 0, "push_dropped": 0, "push_coalesced": 2}
    assert receiver.requests.qsize() == 1


async def test_a_push_is_given_up_in_the_end(
    serve_bytes: ServeBytes, partner: MakePartner, clock: ManualClock, closed_port: str
) -> None:
    """One partner hangs up on every request and one is not there: both are counted, and a later push starts anew."""
    partners = partner(await serve_bytes(b"")), partner(closed_port, integrator=200)
    policy = PushPolicy(retry_delays_seconds=(1.0, 2.0))
    async with running(clock, *partners, policy=policy) as gateway:
        for expected in (2, 4):
            gateway.notify(100, ADA)
            gateway.notify(200, ADA)
            for pause_ms in (1_000, 2_000):
                await clock.wait_for_sleepers(2)
                clock.advance(pause_ms)
            await until(gateway, "push_failed", expected)


async def test_a_silent_partner_delays_only_itself(
    serve_partner: ServePartner, serve_bytes: ServeBytes, partner: MakePartner, clock: ManualClock
) -> None:
    """Its requests time out one by one while another partner's pushes go through."""
    receiver = Receiver()
    silent = partner(await serve_bytes(b"", then_hang=True), integrator=200)
    healthy = partner(await serve_partner(receiver.answer))
    policy = PushPolicy(concurrent_per_partner=1, timeout_seconds=0.1, retry_delays_seconds=())
    async with running(clock, silent, healthy, policy=policy) as gateway:
        for name in range(3):
            gateway.notify(200, f"{name}@owls.example")
        gateway.notify(100, ADA)
        assert await receiver.next_to() == ADA
        assert gateway.counters()["push_failed"] < 3
        await until(gateway, "push_failed", 3)
        await until(gateway, "push_sent", 1)


async def test_past_the_bound_pushes_are_dropped_and_counted(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """Room for two users: the third is dropped while the two are under way, and welcome afterwards."""
    receiver = Receiver()
    base_url = await serve_partner(receiver.answer)
    async with running(clock, partner(base_url), policy=PushPolicy(max_waiting=2)) as gateway:
        for name in (ADA, BEA, "cy@bats.example", "cy@bats.example"):
            gateway.notify(100, name)
        await until(gateway, "push_sent", 2)
        gateway.notify(100, "cy@bats.example")
        await until(gateway, "push_sent", 3)
        assert gateway.counters() == {"push_sent": 3, "push_failed": 0, "push_dropped": 2, "push_coalesced": 0}


async def test_a_partner_that_wants_no_pushes_gets_none(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """Without a push URL, removed, or not registered at all; that is no failure."""
    receiver = Receiver()
    base_url = await serve_partner(receiver.answer)
    partners = (
        partner(base_url),
        replace(partner(base_url, integrator=200), push_url=""),
        replace(partner(base_url, integrator=300), status=PartnerStatus.REMOVED),
    )
    async with running(clock, *partners) as gateway:
        for integrator in (200, 300, 400, 100):
            gateway.notify(integrator, ADA)
        await until(gateway, "push_sent", 1)
        assert gateway.counters() == {"push_sent": 1, "push_failed": 0, "push_dropped": 0, "push_coalesced": 0}
    assert receiver.requests.qsize() == 1


class Database:
    """Has one partner, and the key for pushes.

    Args:
        partner: The partner.
        is_away: Whether it is away at each look, one after the other; at all later ones it is there.
    """

    def __init__(self, partner: Partner, *is_away: bool) -> None:
        self._partner = partner
        self._is_away = list(is_away)

    async def get_partner(self, _: int) -> Partner:
        self._look()
        return self._partner

    async def get_signer(self) -> PushSigner:
        self._look()
        return SIGNER

    def _look(self) -> None:
        if self._is_away and self._is_away.pop(0):
            raise Refusal(Reason.STORAGE_UNAVAILABLE)


@asynccontextmanager
async def running_on(database: Database, clock: ManualClock) -> AsyncIterator[HttpPushGateway]:
    policy = PushPolicy(storage_delays_seconds=(1.0, 2.0))
    gateway = HttpPushGateway(database.get_partner, database.get_signer, clock, policy)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.requirement("LIF-02")
@pytest.mark.parametrize("is_away", [(True, True), (False, True, True)], ids=["partner", "key"])
async def test_a_push_waits_for_a_database_that_is_away(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock, is_away: tuple[bool, ...]
) -> None:
    """It is looked again, later and later. What comes for the same user meanwhile is the same push."""
    receiver = Receiver()
    database = Database(partner(await serve_partner(receiver.answer)), *is_away)
    async with running_on(database, clock) as gateway:
        gateway.notify(100, ADA)
        for pause_ms in (1_000, 2_000):
            await clock.wait_for_sleepers(1)
            clock.advance(pause_ms - 1)
            assert clock.sleepers == 1
            gateway.notify(100, ADA)
            clock.advance(1)
        await until(gateway, "push_sent", 1)
        assert gateway.counters() == {"push_sent": 1, "push_failed": 0, "push_dropped": 0, "push_coalesced": 2}
    assert receiver.requests.qsize() == 1


@pytest.mark.requirement("LIF-02")
async def test_a_push_does_not_wait_for_a_database_for_ever(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It fails then, in a sentence, and the next one goes out when the database is back."""
    caplog.set_level("INFO", "interop_server")
    receiver = Receiver()
    database = Database(partner(await serve_partner(receiver.answer)), True, True, True)
    async with running_on(database, clock) as gateway:
        gateway.notify(100, ADA)
        for pause_ms in (1_000, 2_000):
            await clock.wait_for_sleepers(1)
            clock.advance(pause_ms)
        await until(gateway, "push_failed", 1)
        [given_up] = [record for record in caplog.records if "given up" in record.message]
        assert "STORAGE_UNAVAILABLE" in given_up.message and given_up.exc_info is None
        gateway.notify(100, ADA)
        await until(gateway, "push_sent", 1)
    assert receiver.requests.qsize() == 1


def test_the_wait_for_a_database_is_bounded() -> None:
    """It is looked for as long as a restart, or a change to another server, may take: ten minutes."""
    delays_seconds = PushPolicy().storage_delays_seconds
    assert list(delays_seconds) == sorted(delays_seconds)
    assert 600 <= sum(delays_seconds) < 630


async def test_a_fault_ends_one_push_and_not_the_others(
    serve_partner: ServePartner, partner: MakePartner, clock: ManualClock
) -> None:
    """The store fails once; the next push goes through."""
    receiver = Receiver()
    registered = partner(await serve_partner(receiver.answer))
    failures = [RuntimeError("the store is gone")]

    async def get_partner(_: int) -> Partner:
        if failures:
            raise failures.pop()
        return registered

    gateway = HttpPushGateway(get_partner, get_signer, clock)
    gateway.notify(100, ADA)  # before it runs: kept until it does
    task = asyncio.create_task(gateway.run())
    await until(gateway, "push_failed", 1)
    gateway.notify(100, ADA)
    await until(gateway, "push_sent", 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
