"""T8: somebody wants to reach people who do not want to be reached, or as many as possible."""

import pytest

from interop_client.events import ReceiptReceived, TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message
from tests.threats.report import Attack

pytestmark = [
    pytest.mark.threat("T8"),
    pytest.mark.requirement("SIM-06", "OPT-01", "OPT-02", "OPT-06", "MSG-06", "ABU-02"),
]

NOT_REACHABLE = "RECIPIENT_NOT_REACHABLE"


async def test_who_has_not_chosen_the_messenger_is_out_of_reach(world: World, attack: Attack) -> None:
    """Never opted in, turned off, opted out, or chose another one: no message, no keys, no chat."""
    mallory = await world.third_party("mallory", QUIET)
    victims = [await world.whatsapp(opted_in=False)] + [await world.whatsapp() for _ in range(2)]
    await victims[1].set_third_party_chats(False)
    await victims[2].opt_out([world.integrator])
    attack.tries("Writing to and taking keys of people who have third-party chats off, or off for this messenger")
    for victim in victims:
        spam = sealed_message(victim.jid, "spam").message
        assert await refused(mallory.send_encrypted(spam)) == NOT_REACHABLE
        assert await refused(mallory.take_prekey_bundle(victim.jid)) == NOT_REACHABLE
        assert await refused(mallory.resolve(f"+{victim.jid.partition('@')[0]}")) == NOT_REACHABLE
        assert [chat async for chat in victim.list_chats()] == []
        await victim.close()
        async with Wire(victim.transport) as wire:
            assert (wire.preview.messages, wire.preview.receipts) == (0, 0)
    attack.holds("RECIPIENT_NOT_REACHABLE for everything: off by default, and off again from the next message on")


async def test_who_has_blocked_the_sender_hears_no_more(world: World, attack: Attack) -> None:
    """A block at WhatsApp's side ends messages, receipts and look-ups at once, and does not show."""
    alice, mallory = await world.whatsapp(), await world.third_party("mallory")
    await mallory.send_text(alice.jid, "buy!")
    await alice.wait_for(TextReceived)
    await mallory.wait_for(ReceiptReceived)
    await alice.block(mallory.jid)
    await alice.close()
    attack.tries("Going on to write after being blocked, under new ids and old ones")
    for number in range(20):
        assert (await mallory.send_text(alice.jid, f"buy {number}!")).timestamp_ms > 0
    async with Wire(alice.transport) as wire:
        assert wire.preview.messages == 0
    attack.holds("Every message is acknowledged and goes nowhere; nothing of it is stored")
