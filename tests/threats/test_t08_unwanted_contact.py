"""T8: somebody wants to reach people who do not want to be reached, or as many as possible."""

from contextlib import suppress

import pytest

from interop_client.errors import ConnectionEnded
from interop_client.messaging.events import ConnectionLost, ReachabilityPing, ReceiptReceived, TextReceived
from tests.bench.lean_client import LeanClient
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message
from tests.threats.crowd import whatsapp_crowd
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T8"), pytest.mark.requirement("SIM-06")]

NOT_REACHABLE = "RECIPIENT_NOT_REACHABLE"


@pytest.mark.requirement("OPT-01", "OPT-02", "MSG-06")
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


@pytest.mark.requirement("ABU-02")
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


@pytest.mark.requirement("OPT-10", "OPT-12")
async def test_a_ping_is_one_knock_and_tells_nothing(world: World, attack: Attack) -> None:
    """Who has not opted in can be told that somebody would like to write; once, and with nothing else in it."""
    alice, mallory = await world.whatsapp(opted_in=False), await world.third_party("mallory", QUIET)
    number = f"+{alice.jid.partition('@')[0]}"
    attack.tries("Pinging one person over and over, with line breaks for a name, and many people without a pause")
    for name in ("Buy", "Buy", "Sell"):
        await mallory.send_reachability_ping(number, name)
    for name in ("", "x" * 65, "a\nb", "\0"):
        assert await refused(mallory.send_reachability_ping(number, name)) == "REQUEST_MALFORMED", name
    numbers = [f"+4915300{block:05}" for block in range(200)]
    reasons = [await refused(mallory.send_reachability_ping(other, "Buy")) for other in numbers]
    assert set(reasons) == {"", "RATE_LIMITED"}
    assert (await alice.wait_for(ReachabilityPing)).display_name == "Buy"
    await alice.close()
    assert not [event async for event in alice.events() if isinstance(event, ReachabilityPing)]
    attack.holds(f"One arrives, with a display name; RATE_LIMITED after {reasons.index('RATE_LIMITED')} people more")


@pytest.mark.requirement("ABU-05")
async def test_new_chats_are_capped_and_going_on_is_banned(world: World, attack: Attack) -> None:
    """Mallory writes first messages to one person after the other, and nobody answers."""
    mallory = await world.third_party("mallory", QUIET)

    async def spam(person: LeanClient, message_id: str) -> str:
        return await refused(mallory.send_encrypted(sealed_message(person.jid, message_id).message))

    attack.tries("Writing first messages to 60 people who do not answer, and going on after being told to stop")
    async with whatsapp_crowd(world, 60) as crowd:
        reasons = [await spam(person, f"m{number}") for number, person in enumerate(crowd)]
        opened = reasons.index("NEW_CHATS_CAPPED")
        assert (set(reasons[:opened]), set(reasons[opened:])) == ({""}, {"NEW_CHATS_CAPPED"})
        assert await spam(crowd[0], "again") == ""
        attempts = 0
        with pytest.raises(ConnectionEnded) as ended:
            for attempts in range(500):
                assert await spam(crowd[-1], f"more{attempts}") == "NEW_CHATS_CAPPED"
    assert ended.value.reason == "TEMPORARILY_BANNED"
    assert await refused(mallory.connect()) == "TEMPORARILY_BANNED"
    attack.holds(f"NEW_CHATS_CAPPED after {opened}; who tries {attempts} times more is disconnected and banned")


@pytest.mark.requirement("ABU-05")
async def test_reports_of_those_who_were_written_to_stop_the_sender(world: World, attack: Attack) -> None:
    """What three people say weighs enough to keep others from hearing the same, and what five say for a ban."""
    mallory = await world.third_party("mallory", QUIET)
    people = [await world.whatsapp(options=QUIET) for _ in range(5)]
    strangers = [await world.whatsapp(options=QUIET) for _ in people]
    attack.tries("Writing to one person after the other while those before report it")
    messages = []
    for person in people:
        await mallory.send_text(person.jid, "buy!")
        messages.append(await person.wait_for(TextReceived))
    outcomes = []
    for person, message, stranger in zip(people, messages, strangers, strict=True):
        await person.report(mallory.jid, [message], reveal=True)
        with suppress(ConnectionEnded):
            spam = sealed_message(stranger.jid, f"m{len(outcomes)}").message
            outcomes.append(await refused(mallory.send_encrypted(spam)))
    assert outcomes[2:4] == ["NEW_CHATS_LOCKED"] * 2
    assert (await mallory.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED"
    attack.holds("NEW_CHATS_LOCKED after three reports that can be proved, a temporary ban after five")
