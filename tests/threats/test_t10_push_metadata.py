"""T10: whoever sees pushes (the messenger, its push service, a network) wants to learn who writes, and how much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from interop_client.messaging.contents import reaction_content
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, WAIT_SECONDS
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T10"), pytest.mark.requirement("SIM-06", "LIF-01", "LIF-02")]

CANARY = "canary-4b1d in plaintext"


@dataclass
class Eavesdropper:
    """A messenger's push endpoint that keeps every request as it came, but for the token, which is new each time."""

    requests: list[tuple[str, str, frozenset[tuple[str, str]], bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        headers = {
            (name.lower(), "" if name.lower() == "authorization" else value) for name, value in request.headers.items()
        }
        body = await request.read()
        async with self.arrived:
            self.requests.append((request.method, request.path_qs, frozenset(headers), body))
            self.arrived.notify_all()
        return web.Response()

    async def wait_for(self, count: int) -> None:
        """Waits until that many pushes have come."""
        async with asyncio.timeout(WAIT_SECONDS), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)


@asynccontextmanager
async def eavesdropper(world: World) -> AsyncIterator[Eavesdropper]:
    """Registers an eavesdropping push endpoint for the world's messenger."""
    spy = Eavesdropper()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", spy.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await world.register(push_url=f"http://127.0.0.1:{runner.addresses[0][1]}/push")
        yield spy
    finally:
        await runner.cleanup()


async def test_all_pushes_are_alike(world: World, attack: Attack) -> None:
    """One message or many, short or long, text or reaction, from Alice or from Carol: the same request."""
    alice, carol = await world.whatsapp(), await world.whatsapp()
    bob = await world.third_party("bob", QUIET)
    sent = await alice.send_text(bob.jid, "while you are here")
    await bob.close()
    attack.tries("Comparing the pushes for texts of all lengths, a reaction and many messages at once, of two senders")
    async with eavesdropper(world) as spy:
        await alice.send_text(bob.jid, CANARY)
        await spy.wait_for(1)
        await carol.send_text(bob.jid, CANARY * 500)
        await spy.wait_for(2)
        await carol.send_message(bob.jid, reaction_content(bob.jid, sent.id, "👍", is_own_message=False))
        await spy.wait_for(3)
        for number in range(40):
            await alice.send_text(bob.jid, f"{number}")
        await spy.wait_for(4)
    assert len(set(spy.requests)) == 1, spy.requests
    method, path, headers, body = spy.requests[0]
    assert (method, path, body) == ("POST", "/push", b'{"to": "bob"}')
    told = f"{headers}".lower()
    for secret in (alice.jid, alice.jid.partition("@")[0], carol.jid, bob.jid, CANARY):
        assert secret.lower() not in told
    attack.holds('Every push is the same request, byte for byte, token aside: {"to": …} with the user\'s own name')
