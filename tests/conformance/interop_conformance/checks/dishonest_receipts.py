"""A dishonest server: receipts, requests to send again, and notices."""

from interop_api.v1 import stanza_pb2
from interop_conformance.attack import attack, grows_to, score, settle, to_bob, warnings
from interop_conformance.check import Level, Score
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

MAX_RESENDS = 5
"""How often a message is sent again, as RCP-04 has it."""
_FOR_ONE = "A message is encrypted for one person: what goes out again to another one is read by them."


@attack(
    "RCP-01.dishonest-receipts",
    Level.SHOULD,
    "Receipts that nobody has sent end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def receipts(stage: Stage) -> Score:
    """Read, says the server of each message, before its recipient has it. Nobody can notice that."""
    alice, bob = await stage.pair()
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_SERVER", "actor": bob.jid}
    for kind in ("READ", "DELIVERED"):
        await stage.add_fault(f"liar-{kind}", match, 2, forge_receipt={"type": f"RECEIPT_TYPE_{kind}"})
    for number in range(4):
        await bob.send(alice.jid, f"number {number}")
        await alice.reads(f"number {number}")
    await settle(stage, alice, bob)
    return score(bob)


@attack(
    "RCP-05.dishonest-receipt-for-nothing",
    Level.SHOULD,
    "Receipts for messages that the client never sent end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def receipt_for_nothing(stage: Stage) -> Score:
    """The ids are made up, or those of messages of the other's."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    theirs = bob.shown("text_shown")[0].message_id
    for number, message_id in enumerate(("never-sent", "", "x" * 320, theirs)):
        await to_bob(stage, bob, f"forged{number}", "receipt", forge={"message_id": message_id})
        await bob.send(alice.jid, f"number {number}")
        await alice.reads(f"number {number}")
    await settle(stage, alice, bob)
    return score(bob)


@attack(
    "RCP-05.dishonest-receipt-of-a-third-person",
    Level.SHOULD,
    "Receipts of people who never got the message, or are nobody, end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def receipt_of_a_third_person(stage: Stage) -> Score:
    """Carol has it, says the server of a message to Alice."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    for number, sender in enumerate((carol.jid, "4915199999999@s.whatsapp.net", "nobody", "", bob.jid)):
        await to_bob(stage, bob, f"forged{number}", "receipt", forge={"from_jid": sender})
        await bob.send(alice.jid, f"number {number}")
        await alice.reads(f"number {number}")
    await settle(stage, alice, bob)
    return score(bob)


async def _ask_again(alice: Person, bob: Device, message_id: str, count: int = 1) -> None:
    receipt = stanza_pb2.RetryReceipt(
        to_jid=bob.jid,
        message_id=message_id,
        retry_count=count,
        registration_id=alice.client.state.signal.registration_id,
    )
    await alice.client.transport.send(stanza_pb2.Stanza(retry_receipt=receipt))


def _copies(stage: Stage, bob: Device, message_id: str) -> int:
    return len(stage.sent(bob.jid, "message", lambda each: each.get("id") == message_id))


@attack(
    "RCP-04.dishonest-retry-storm",
    Level.SHOULD,
    "A message is sent again five times at most, however often it is asked for.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def retry_storm(stage: Stage) -> Score:
    """One request comes fifty times."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    message_id = await bob.send(alice.jid, "asked for again and again")
    await to_bob(stage, bob, "storm", "retry_receipt", duplicate={"copies": 49})
    await _ask_again(alice, bob, message_id)
    await settle(stage, alice, bob)
    copies = await grows_to(stage, lambda: _copies(stage, bob, message_id), 1 + MAX_RESENDS)
    stage.expect(copies <= 1 + MAX_RESENDS, f"it is sent again {MAX_RESENDS} times at most", f"{copies - 1} times")
    await settle(stage, alice, bob)
    return score(bob)


@attack(
    "RCP-05.dishonest-retry-for-nothing",
    Level.SHOULD,
    "Requests to send again what the client never sent end nothing.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def retry_for_nothing(stage: Stage) -> Score:
    """The ids are made up, or the one who asks is nobody."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    forgeries = ({"message_id": "never-sent"}, {"message_id": ""}, {"from_jid": "nobody"}, {"from_jid": bob.jid})
    for number, forgery in enumerate(forgeries):
        message_id = await bob.send(alice.jid, f"number {number}")
        await to_bob(stage, bob, f"forged{number}", "retry_receipt", forge=forgery)
        await _ask_again(alice, bob, message_id)
    await settle(stage, alice, bob)
    await bob.send(alice.jid, "the last one")
    await alice.reads("the last one")
    return score(bob)


@attack(
    "RCP-05.dishonest-retry-by-a-third-person",
    Level.MUST,
    "A message is not sent again to somebody else than it was for.",
    forced_by=_FOR_ONE,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def retry_by_a_third_person(stage: Stage) -> Score:
    """Carol, with whom Bob talks, too, asks for what he wrote to Alice, says the server."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    for person in (alice, carol):
        await stage.talk(person, bob)
    message_id = await bob.send(alice.jid, "For you alone")
    await to_bob(stage, bob, "forged", "retry_receipt", forge={"from_jid": carol.jid})
    before = warnings(bob)

    def to_carol() -> int:
        return len(stage.sent(bob.jid, "message", lambda each: (each["id"], each["to_jid"]) == (message_id, carol.jid)))

    await _ask_again(alice, bob, message_id)
    await settle(stage, alice, bob)
    await stage.never(lambda: warnings(bob) > before or to_carol())
    await settle(stage, carol, bob)
    stage.expect(not to_carol(), "it is not sent to Carol", "it is, for her to read")
    return score(bob, before)


@attack(
    "KEY-17.dishonest-notice-about-a-third-person",
    Level.SHOULD,
    "After a false notice that a peer's keys are new, the peer's messages still come to be shown.",
    milestone=4,
    after=(SENDS, SHOWS),
)
async def notice_about_a_third_person(stage: Stage) -> Score:
    """Alice has new keys, and the server says that it is Carol."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    for person in (alice, carol):
        await stage.talk(person, bob)
    await to_bob(stage, bob, "forged", "notification", forge={"from_jid": carol.jid})
    await alice.install_anew()
    await settle(stage, carol, bob)
    await bob.send(carol.jid, "still you")
    await carol.reads("still you")
    return score(bob)


@attack(
    "KEY-17.dishonest-notices",
    Level.SHOULD,
    "Notices of new keys that come over and over, or are about nobody, end nothing.",
    milestone=4,
    after=(SENDS, SHOWS),
)
async def notices(stage: Stage) -> Score:
    """One comes fifty times; others name what is no JID."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    await stage.talk(alice, bob)
    await to_bob(stage, bob, "storm", "notification", duplicate={"copies": 49})
    await alice.install_anew()
    for number, jid in enumerate(("nobody", bob.jid)):
        await to_bob(stage, bob, f"forged{number}", "notification", forge={"from_jid": jid})
        await alice.install_anew()
    await settle(stage, carol, bob)
    return score(bob)
