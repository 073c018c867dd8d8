"""Milestone 6: being noticed by somebody who has not opted in."""

import pytest

from interop_client.messaging.events import ReachabilityPing, TextReceived
from tests.e2e.conftest import World
from tests.e2e.raw import refused

pytestmark = pytest.mark.requirement("SIM-05")


@pytest.mark.feature("reachability")
async def test_a_ping_is_noticed_and_leads_to_a_chat(world: World) -> None:
    """Before: not reachable. The ping brings a name and no chat; once she has opted in, messages get through."""
    alice = await world.whatsapp(opted_in=False)
    bob = await world.third_party("bob")
    number = f"+{alice.jid.partition('@')[0]}"
    with refused("RECIPIENT_NOT_REACHABLE"):
        await bob.resolve(number)
    await bob.send_reachability_ping(number, "Bob")
    ping = await alice.wait_for(ReachabilityPing)
    assert (ping.integrator, ping.display_name) == (world.integrator, "Bob")
    assert [chat async for chat in alice.list_chats()] == []
    await alice.accept_terms()
    await alice.opt_in([ping.integrator])
    assert await bob.resolve(number) == alice.jid
    await bob.send_text(alice.jid, "Glad that I can write")
    assert (await alice.wait_for(TextReceived)).request_state == "REQUESTED"
