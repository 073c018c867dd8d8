"""A dishonest server: who is said to have sent a message."""

from collections.abc import Iterable

from interop_conformance.attack import attack, must_warn, score, settle, to_bob, warnings
from interop_conformance.check import Level, Score
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

NONSENSE = (
    "",
    "@",
    "nobody",
    "a@b@c",
    "\u202e@s.whatsapp.net",
    "4915100000000:7@s.whatsapp.net",
    "0-0@interop",
    "../../state",
    "9" * 320,
)
"""What is no JID."""
_SENDER = "A session is one with a certain sender: what it opens is from nobody else."


@attack(
    "MSG-01.dishonest-known-sender",
    Level.MUST,
    "A message is not shown as that of another peer, whom the server names as its sender.",
    forced_by=_SENDER,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def known_sender(stage: Stage) -> Score:
    """Bob talks with both."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    for person in (alice, carol):
        await stage.talk(person, bob)
    before = warnings(bob)
    await to_bob(stage, bob, "forged", forge={"from_jid": carol.jid})
    await alice.send(bob.jid, "I am Carol")
    for person in (alice, carol):
        await settle(stage, person, bob)
    stage.expect("I am Carol" not in _texts_of(bob, carol.jid), "it is not shown as Carol's", "it is")
    return score(bob, before)


@attack(
    "MSG-01.dishonest-first-message-of-a-known-sender",
    Level.MUST,
    "The first message of somebody new is not shown as that of a peer without a warning.",
    forced_by=_SENDER,
    milestone=4,
    after=(SENDS, SHOWS),
)
async def first_message_of_a_known_sender(stage: Stage) -> Score:
    """It begins a session in the name of Carol, with whom Bob has one, under another identity key."""
    alice, bob = await stage.pair()
    carol, dave = await stage.alice(), await stage.alice()
    await stage.talk(carol, bob)
    before = warnings(bob)
    await to_bob(stage, bob, "forged", forge={"from_jid": carol.jid})
    await dave.send(bob.jid, "I am Carol")
    await settle(stage, alice, bob)
    is_silent = "I am Carol" in _texts_of(bob, carol.jid) and warnings(bob) == before
    stage.expect(not is_silent, "a warning that Carol's identity key is another one", "the text, and no warning")
    return score(bob, before)


@attack(
    "MSG-01.dishonest-first-message-of-a-stranger",
    Level.MUST,
    "When the first message of a stranger was somebody else's, the client warns of the stranger's own identity key.",
    forced_by=_SENDER,
    milestone=4,
    after=(SHOWS,),
)
async def first_message_of_a_stranger(stage: Stage) -> Score:
    """Nobody can notice it at the first message. It comes out when the stranger writes."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    await to_bob(stage, bob, "forged", forge={"from_jid": carol.jid})
    await alice.send(bob.jid, "I am Carol")
    await settle(stage, alice, bob)
    if "I am Carol" not in _texts_of(bob, carol.jid):
        return score(bob)
    return await must_warn(stage, carol, bob, warnings(bob))


async def _attributed(stage: Stage, alice: Person, bob: Device, senders: Iterable[str]) -> Score:
    """Names other senders of Alice's messages: nothing is shown as theirs."""
    for number, sender in enumerate(senders):
        await to_bob(stage, bob, f"forged{number}", forge={"from_jid": sender})
    for _ in senders:
        await alice.send(bob.jid, "I am not Alice")
    await settle(stage, alice, bob)
    others = {each.sender_jid for each in bob.shown("text_shown")} - {alice.jid}
    stage.expect(not others, "no text of anybody but Alice", f"texts of {', '.join(others)}")
    return score(bob)


@attack(
    "MSG-01.dishonest-strange-sender",
    Level.MUST,
    "A message in a peer's session is not shown as that of somebody whom the client does not know.",
    forced_by=_SENDER,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def strange_sender(stage: Stage) -> Score:
    """A WhatsApp user, a user of another messenger, one of the same, and the user themselves."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    others = ("99-10000000000001@interop", f"{stage.integrator}-10000000000001@interop")
    return await _attributed(stage, alice, bob, ("4915199999999@s.whatsapp.net", *others, bob.jid))


@attack(
    "MSG-01.dishonest-nonsense-sender",
    Level.SHOULD,
    "A sender that is no JID does no harm, and nothing is shown as theirs.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def nonsense_sender(stage: Stage) -> Score:
    """Whatever the server says in its place."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    return await _attributed(stage, alice, bob, NONSENSE)


@attack(
    "MSG-13.dishonest-typing",
    Level.SHOULD,
    "That somebody types who does not, or is nobody, ends nothing.",
    features=("typing",),
    milestone=4,
    after=(SENDS, SHOWS),
)
async def typing(stage: Stage) -> Score:
    """Nothing proves who types."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    for number, sender in enumerate(NONSENSE):
        await to_bob(stage, bob, f"forged{number}", "typing", forge={"from_jid": sender})
        await alice.client.send_typing(bob.jid)
    await settle(stage, alice, bob)
    return score(bob)


def _texts_of(bob: Device, sender: str) -> list[str]:
    return [each.text for each in bob.shown("text_shown", lambda each: each.sender_jid == sender)]
