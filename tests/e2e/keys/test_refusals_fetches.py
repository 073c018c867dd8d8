"""Taking prekey bundles too often: of one user, and of everybody; what it leaves for others and in the books."""

from pathlib import Path

import pytest

from interop_client.client import ClientOptions
from interop_client.messaging.events import TextReceived
from interop_server.core.limits import Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.messaging.test_refusals_addresses import take
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import check_error, refused

pytestmark = pytest.mark.requirement("KEY-14")

ALLOWED = Limits().bundle_target_burst
NO_REFILL = ClientOptions(refill_count=0)


async def test_who_drains_a_users_prekeys_is_stopped(world: World) -> None:
    """Mallory takes bob's bundles over and over.

    1. After six it is refused for bob, with the delay after which one more is there; carol, in the same call, is not.
    2. Bob's other keys are still there, for alice too, who writes to him.
    3. The operator sees in the journal who took how many keys of whom, and in the counters that somebody was stopped.
    """
    mallory, alice = await world.whatsapp(), await world.whatsapp()
    bob, carol = await world.third_party("bob", NO_REFILL), await world.third_party("carol", NO_REFILL)
    left = await bob.count_prekeys()
    before = (await world.admin.get_statistics()).counted
    for _ in range(ALLOWED):
        await mallory.take_prekey_bundle(bob.jid)

    stopped, served = await take(mallory, bob.jid, carol.jid)
    check_error(stopped.error, "RATE_LIMITED")
    assert stopped.error.code == 429
    assert 0 < stopped.error.retry_after_ms <= 100_001
    assert [bundle.HasField("one_time_prekey") for bundle in served.bundles] == [True]
    with refused("RATE_LIMITED"):
        await mallory.send_text(bob.jid, "no session, no bundle")

    assert await bob.count_prekeys() == left - ALLOWED
    await alice.send_text(bob.jid, "Hello")
    assert (await bob.wait_for(TextReceived)).text == "Hello"

    read = [response.entry async for response in world.admin.read_journal(action="prekey.take")]
    assert [(entry.actor, entry.detail) for entry in read if entry.subject == bob.jid] == [
        *((mallory.jid, f"{count} left") for count in range(left - 1, left - ALLOWED - 1, -1)),
        (alice.jid, f"{left - ALLOWED - 1} left"),
    ]
    after = (await world.admin.get_statistics()).counted
    assert after["prekey_fetch_limited"] >= before["prekey_fetch_limited"] + 2
    assert after["prekey_taken"] >= before["prekey_taken"] + ALLOWED + 2


async def test_who_drains_everybodys_prekeys_is_stopped(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """The whole call is refused and takes nothing; in time it is served. More than may be taken at once is too much."""
    clock, limits = AdjustableClock(), Limits(bundle_burst=3, bundle_per_second=0.01)
    async with own_world(tmp_path, signing_keys, limits, clock) as (world, _):
        await clock.freeze()
        mallory = await world.whatsapp()
        people = [await world.third_party(name, NO_REFILL) for name in ("bob", "carol", "dave", "erin")]
        jids = [person.jid for person in people]
        left = await people[0].count_prekeys()
        assert all(result.bundles for result in await take(mallory, jids[1]))
        with refused("RATE_LIMITED"):
            await take(mallory, jids[0], *jids[2:])
        with refused("TOO_MANY_ITEMS"):
            await take(mallory, *jids)
        assert await people[0].count_prekeys() == left
        assert all(result.bundles for result in await take(mallory, jids[0], jids[2]))
        with refused("RATE_LIMITED"):
            await take(mallory, jids[3])
        await clock.advance(100_000)
        [served] = await take(mallory, jids[3])
        assert served.bundles


async def test_a_store_that_is_used_up_shows(world: World) -> None:
    """Bundles without a one-time prekey are counted (KEY-06)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    await bob.publish_prekeys(1)
    before = (await world.admin.get_statistics()).counted["prekey_exhausted"]
    bundles = [await alice.take_prekey_bundle(bob.jid) for _ in range(3)]
    assert [bundle.one_time_prekey is None for bundle in bundles] == [False, True, True]
    assert (await world.admin.get_statistics()).counted["prekey_exhausted"] >= before + 2
