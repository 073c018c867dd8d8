"""A simulator works when all of its limits are as large as they can be."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from interop_client.messaging.events import TextReceived
from interop_server.core.limits import Limits, about, conflicts
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_downloads import download
from tests.e2e.media.test_refusals_uploads import CONTENT, Uploader, chunk
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET

pytestmark = pytest.mark.requirement("SIM-07")

LESS = {"keepalive_seconds": 1_000, "silent_seconds": 2_000, "temporary_bans": 0, "min_protocol_version": 1}
"""What would let nobody in at the end of its range, or cannot be there when all others are."""


def largest() -> Limits:
    """All limits that are numbers at the end of their range, as far as they can work together."""
    values: dict[str, Any] = {}
    for each in fields(Limits):
        default = getattr(Limits(), each.name)
        if not isinstance(default, bool) and isinstance(default, int | float):
            values[each.name] = type(default)(about(each.name).most)
    return Limits(**values | LESS)


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
