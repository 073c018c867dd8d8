"""T18: people report somebody for what they did not write, or did not write to them, to have them banned."""

import asyncio
from dataclasses import replace

import pytest

from interop_api.v1 import integrity_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import Evidence, Incoming, TextReceived
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T18"), pytest.mark.requirement("SIM-06")]

LIARS = 12
"""More than it takes to be banned for good."""


async def message_from(sender: InteropClient, recipient: InteropClient, text: str) -> TextReceived:
    """What arrives of a text."""
    await sender.send_text(recipient.jid, text)
    return await recipient.wait_for(TextReceived)


async def points(world: World, client: InteropClient) -> int:
    """What reports weigh against somebody."""
    return (await world.admin.get_standing(client.jid)).points["reports"]


async def check_unharmed(world: World, victim: InteropClient) -> None:
    """Asserts that nothing is held against somebody, and that they go on."""
    assert await points(world, victim) == 0
    assert not (await world.admin.get_standing(victim.jid)).sanctions
    await victim.ping()


def accused(message: Incoming, plaintext: bytes, secret: bytes | None = None) -> Incoming:
    """The message, with other words or another secret than were sent."""
    assert message.evidence is not None
    return replace(message, evidence=Evidence(plaintext, secret or message.evidence.message_secret))


@pytest.mark.requirement("ABU-04")
async def test_strangers_cannot_report_somebody_away(world: World, attack: Attack) -> None:
    """A crowd whom Bob never wrote to, with made-up ids, and with the id of a message to somebody else."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    real = await message_from(bob, alice, "Hello Alice")
    liars = [await world.whatsapp(options=QUIET) for _ in range(LIARS)]
    attack.tries(f"{LIARS} people report somebody who never wrote to them: made-up ids, and ids of messages to others")
    made_up = replace(real, id="no-such-message", evidence=None)
    answers = await asyncio.gather(*(liar.report(bob.jid, [message]) for liar in liars for message in (made_up, real)))
    assert all(len(answer) == 16 for answer in answers)
    await check_unharmed(world, bob)
    attack.holds("Each gets a report id like anybody, and none counts: nothing was delivered between the two")


@pytest.mark.requirement("ABU-04")
async def test_nobody_is_accused_of_what_they_did_not_write(world: World, attack: Attack) -> None:
    """Alice got a message, and makes it say something else: other words, another secret, another message's proof."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    carol = await world.third_party("carol")
    message, other = await message_from(bob, alice, "Hello Alice"), await message_from(bob, alice, "Bye Alice")
    foreign = await message_from(carol, alice, "I will find you")
    assert message.evidence and other.evidence and foreign.evidence
    words = message.evidence.plaintext
    attack.tries("Reporting a real message with other words, another secret, or the proof of another message or sender")
    for lie in (
        accused(message, words.replace(b"Hello", b"Hands")),
        accused(message, words + b"\0"),
        accused(message, words[:-1]),
        accused(message, words, bytes(32)),
        accused(message, other.evidence.plaintext, other.evidence.message_secret),
        accused(message, foreign.evidence.plaintext, foreign.evidence.message_secret),
    ):
        assert len(await alice.report(bob.jid, [lie], reveal=True)) == 16
        await check_unharmed(world, bob)
    await alice.report(bob.jid, [message], reveal=True)
    assert await points(world, bob) > 0
    attack.holds("None counts: the message's token commits to sender, recipient, id and words. The truth does count")


@pytest.mark.requirement("ABU-04")
async def test_one_accuser_counts_once(world: World, attack: Attack) -> None:
    """Alice has many messages of Bob's, and reports them one by one, at once, and from every place in the app."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    messages = [await message_from(bob, alice, f"number {number}") for number in range(LIARS)]
    attack.tries("Reporting one sender again and again: every message, at once, and by every way there is")
    await asyncio.gather(*(alice.report(bob.jid, [message], reveal=True) for message in messages))
    once = await points(world, bob)
    for flow in integrity_pb2.SpamFlow.values()[1:]:
        await alice.report(bob.jid, messages, spam_flow=flow)
    assert await points(world, bob) == once > 0
    assert not (await world.admin.get_standing(bob.jid)).sanctions
    attack.holds("They weigh as one, and lead to no sanction")


@pytest.mark.requirement("ABU-03")
async def test_reports_are_limited_and_reach_no_further_than_their_target(world: World, attack: Attack) -> None:
    """Who reports without a pause is stopped; who is not concerned by a report is not touched by it."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    attack.tries("Reporting a hundred times without a pause, oneself, nobody, and people of one's own side")
    real = replace(await message_from(bob, await world.whatsapp(), "Hello"), evidence=None)
    reasons = [await refused(alice.report(bob.jid, [real])) for _ in range(100)]
    assert set(reasons) == {"", "RATE_LIMITED"}
    carol = await world.whatsapp(options=QUIET)
    for jid in (carol.jid, alice.jid, f"{world.integrator}-99999999999999@interop"):
        assert await refused(carol.report(jid, [real])) == ""
    for person in (alice, bob, carol):
        await check_unharmed(world, person)
    attack.holds(f"RATE_LIMITED after {reasons.index('RATE_LIMITED')}; the others get an id, and nothing counts")
