"""What a messenger may no longer do ends at once: its users' connections, or those by proxy, and their sessions."""

import pytest

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import ConnectionLost, TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import ended, refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire


async def change(world: World, **changes: object) -> None:
    """Registers the messenger anew, with fields changed."""
    entry = await world.register()
    for name, value in changes.items():
        setattr(entry, name, value)
    await world.admin.put_partner(entry)


async def lost(client: InteropClient) -> str:
    event = await client.wait_for(ConnectionLost)
    assert event.advice
    return event.reason


async def talk(sender: InteropClient, recipient: InteropClient, text: str) -> None:
    await sender.send_text(recipient.jid, text)
    assert (await recipient.wait_for(TextReceived)).text == text


@pytest.mark.requirement("ENL-01", "CHN-01")
@pytest.mark.parametrize("status", ["ONBOARDING", "SUSPENDED", "REMOVED"])
async def test_a_messenger_that_is_not_active_has_no_connections(
    world: World, second_world: World, status: str
) -> None:
    """Direct or by proxy; its sessions are dead when the operator's call returns, and others' users notice nothing.

    1. Bob connects directly, Carol by proxy, Eve with another messenger.
    2. The operator sets the state of the first messenger: Bob and Carol are told why their connection ends.
    3. They come back when it is active again, and not before.
    """
    alice = await world.whatsapp(options=QUIET)
    await alice.opt_in([world.integrator, second_world.integrator])
    bob, carol = await world.third_party("bob", QUIET), await world.third_party_by_proxy("carol", QUIET)
    eve = await second_world.third_party("eve", QUIET)
    await change(world, status=interop_pb2.PartnerStatus.Value(f"PARTNER_STATUS_{status}"))
    assert await refused(bob.count_prekeys()) == "SESSION_DEAD"
    assert await refused(carol.count_prekeys()) == "SESSION_DEAD"
    assert [await lost(client) for client in (bob, carol)] == ["PARTNER_NOT_ACTIVE"] * 2
    assert {connection.jid for connection in await world.admin.list_connections()} >= {alice.jid, eve.jid}
    assert [await refused(client.connect()) for client in (bob, carol)] == ["PARTNER_NOT_ACTIVE"] * 2
    await talk(alice, eve, "Still here?")
    assert await refused(alice.send_text(bob.jid, "?")) == "RECIPIENT_NOT_REACHABLE"

    await change(world)
    for client in (bob, carol):
        await client.connect()
        await talk(alice, client, "Welcome back")


@pytest.mark.requirement("PRX-01", "ENL-01", "CHN-01")
async def test_a_withdrawn_permission_ends_the_connections_by_proxy(world: World) -> None:
    """And those alone: Bob, who connects directly, stays; so does everybody when it is withdrawn once more."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    carol = await world.third_party_by_proxy("carol", QUIET)
    await change(world, proxy_allowed=False)
    assert await refused(carol.count_prekeys()) == "SESSION_DEAD"
    assert await lost(carol) == "PROXY_NOT_ALLOWED"
    assert await refused(carol.connect()) == "PROXY_NOT_ALLOWED"
    await change(world, proxy_allowed=False)
    await talk(alice, bob, "You are still here")
    await change(world)
    await carol.connect()
    await talk(alice, carol, "And so are you")


@pytest.mark.requirement("LIF-01")
async def test_what_waits_for_users_of_a_suspended_messenger_is_not_pushed(world: World) -> None:
    """It gets nothing done; the message waits until it may (LIF-01, ENL-01)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    async with Wire(bob.transport) as wire:
        await alice.send_text(bob.jid, "Hello")
        await wire.take_until("message")
        await change(world, status=interop_pb2.PARTNER_STATUS_SUSPENDED)
        assert await ended(wire.take_until("stream_error")) == "PARTNER_NOT_ACTIVE"
    await change(world)
    eve = await world.third_party("eve", QUIET)
    await eve.close()
    await alice.send_text(eve.jid, "Hello Eve")
    push = await world.partner.wait_for_push("eve", 10)
    assert push.number == 1, "something was pushed before"
    async with Wire(bob.transport) as wire:
        assert wire.preview.messages == 1


@pytest.mark.requirement("ENL-02")
async def test_the_states_are_those_that_exist(world: World) -> None:
    """No state can be set that this test leaves out."""
    known = {"UNSPECIFIED", "ACTIVE", "ONBOARDING", "SUSPENDED", "REMOVED"}
    assert {name.removeprefix("PARTNER_STATUS_") for name in interop_pb2.PartnerStatus.keys()} == known  # noqa: SIM118
    assert admin_pb2.Partner().status == interop_pb2.PARTNER_STATUS_UNSPECIFIED
