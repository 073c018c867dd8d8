"""Milestone 2: the chat channel, and the keys of a WhatsApp user."""

import pytest

from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("SIM-05")


@pytest.mark.feature("channel")
async def test_a_channel_is_opened_and_a_ping_answered(world: World) -> None:
    """The handshake proves both ends: the server by its certificate, the client by the key that it enlisted."""
    bob = await world.third_party("bob")
    await bob.ping()
    await bob.connect()
    await bob.ping()


@pytest.mark.feature("key fetch")
async def test_a_bundle_is_fetched_and_verifies(world: World) -> None:
    """Identity, signed prekey with its signature, and a one-time prekey."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    bundle = await bob.take_prekey_bundle(alice.jid)
    bundle.verify()
    assert bundle.identity_key == alice.state.signal.identity.public_key
    assert bundle.one_time_prekey is not None
