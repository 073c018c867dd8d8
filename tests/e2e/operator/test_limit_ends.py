"""A simulator works when all of its limits are as large as they can be."""

from pathlib import Path

import pytest

from interop_client.messaging.events import TextReceived
from interop_server.core.limits import conflicts
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_downloads import download
from tests.e2e.media.test_refusals_uploads import CONTENT, Uploader, chunk
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET
from tests.largest_limits import largest

pytestmark = pytest.mark.requirement("SIM-07")


async def talk(world: World) -> None:
    """What uses most of the limits: enlisting, keys, messages, typing, media, look-ups, blocks."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.send_text(alice.jid, "Hello")
    assert (await alice.wait_for(TextReceived)).text == "Hello"
    await alice.send_typing(bob.jid)
    uploader = Uploader(alice)
    await uploader.grant()
    assert await download(bob, await uploader.upload(uploader.start(), chunk(CONTENT))) == CONTENT
    assert await alice.resolve("bob", world.integrator) == bob.jid
    await alice.block(bob.jid)


async def test_everything_as_large_as_it_can_be(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """No number is too large for what it is told to, on the wire or below (SIM-07)."""
    limits = largest()
    assert conflicts(limits) == []
    async with own_world(tmp_path, signing_keys, limits) as (world, _):
        await talk(world)
