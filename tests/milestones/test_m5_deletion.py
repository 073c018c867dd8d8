"""Milestone 5: leaving."""

import pytest

from interop_client.errors import ServerRefusal
from interop_client.messaging.events import TextReceived
from tests.e2e.conftest import World
from tests.e2e.raw import refused

pytestmark = pytest.mark.requirement("SIM-05")


@pytest.mark.feature("deletion")
async def test_a_user_who_leaves_is_gone_and_comes_back_as_somebody_new(world: World) -> None:
    """Keys, messages and the address go; the old token opens nothing; a new enlistment gives a new address."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.send_text(alice.jid, "Goodbye")
    await alice.wait_for(TextReceived)
    old = bob.jid
    await bob.delete_account()
    with refused("RECIPIENT_NOT_REACHABLE"):
        await alice.send_text(old, "Wait")
    with pytest.raises(ServerRefusal):
        await bob.connect()
    again = await world.third_party("bob")
    assert again.jid != old
