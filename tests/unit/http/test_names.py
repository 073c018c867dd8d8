"""The names of partners' servers are looked up beside everything else, each once however many wait for it."""

import asyncio
import errno
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.http.names import MOST_LOOK_UPS, NameResolver
from interop_server.http.own_places import OwnPlaces
from interop_server.http.partner_media import HttpPartnerMediaSource

DEADLINE_SECONDS = 20.0
MEDIA = "http://slow.example"


class NameServers:
    """Those of `slow` names do not answer until they are told to; those of others do at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Queue[str]()

    def getaddrinfo(self, host: str, *arguments: Any, **named: Any) -> list[Any]:
        self.asked.append(host)
        self._loop.call_soon_threadsafe(self._came.put_nowait, host)
        if host.startswith("slow"):
            assert self.answer.wait(DEADLINE_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 0))]

    async def are_asked(self, times: int) -> None:
        """Waits until they were asked so many times more."""
        for _ in range(times):
            await self._came.get()


@pytest_asyncio.fixture
async def servers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServers]:
    servers = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", servers.getaddrinfo)
    yield servers
    servers.answer.set()


@pytest.mark.requirement("MED-03", "SIM-06")
async def test_names_that_nobody_answers_for_hold_up_no_blob(servers: NameServers) -> None:
    """Downloads through the media proxy need no login; blobs are read on the event loop's own threads."""
    source = HttpPartnerMediaSource(Limits(), None, OwnPlaces())

    async def fetch() -> Reason:
        try:
            async with source.fetch(MEDIA, "reference", 0, None):
                raise AssertionError("there is nothing to fetch")
        except Refusal as refusal:
            return refusal.reason

    fetches = [asyncio.create_task(fetch()) for _ in range(Limits().address_partner_media)]
    async with asyncio.timeout(DEADLINE_SECONDS):
        await servers.are_asked(1)
        assert await asyncio.to_thread(lambda: "read") == "read"
        [other] = await NameResolver().resolve("quick.example", 443)
    assert (other["host"], other["port"]) == ("127.0.0.9", 443)
    servers.answer.set()
    assert set(await asyncio.gather(*fetches)) == {Reason.PARTNER_MEDIA_UNAVAILABLE}
    assert servers.asked == ["slow.example", "quick.example"]


async def test_who_no_longer_waits_takes_the_name_from_nobody(servers: NameServers) -> None:
    """The look-up goes on for all others; once it is over, the name is looked up anew."""
    first, second = (asyncio.create_task(NameResolver().resolve("slow.example")) for _ in range(2))
    await servers.are_asked(1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    servers.answer.set()
    with pytest.raises(socket.gaierror):
        await second
    with pytest.raises(socket.gaierror):
        await NameResolver().resolve("slow.example")
    assert servers.asked == ["slow.example"] * 2


async def test_no_more_names_are_looked_up_than_there_may_be_threads(servers: NameServers) -> None:
    """Another one is refused at once, as one that has no address."""
    waiting = [asyncio.create_task(NameResolver().resolve(f"slow{number}.example")) for number in range(MOST_LOOK_UPS)]
    await servers.are_asked(MOST_LOOK_UPS)
    with pytest.raises(OSError, match="temporarily unavailable"):
        await NameResolver().resolve("one.example")
    servers.answer.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert len(await NameResolver().resolve("one.example")) == 1


async def test_a_system_without_threads_is_a_failure_like_others(
    monkeypatch: pytest.MonkeyPatch, servers: NameServers
) -> None:
    """And nothing is left of it that the next one would wait for."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError) as refused:
            await NameResolver().resolve("one.example")
    assert refused.value.errno == errno.EAGAIN
    assert len(await NameResolver().resolve("one.example")) == 1


async def test_an_address_of_one_network_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address says nothing without the network."""
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 0, 0, 2))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    [address] = await NameResolver().resolve("here.example", 80, socket.AF_INET6)
    assert (address["host"], address["port"]) == ("fe80::1%2", 80)
