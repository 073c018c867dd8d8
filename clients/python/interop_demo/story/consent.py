"""Steps: a WhatsApp user chooses which third-party users may write to them; knows no media and no proxy."""

from interop_demo.people import Person
from interop_demo.stage import ALICE_NUMBER, INTEGRATOR, MESSENGER, Stage, expect

_SENT = "sent_message"
"""The kind of record by which the server remembers the ids of accepted messages."""


async def refuse_uninvited(stage: Stage) -> str:
    """Lets Bob try to reach Alice, who has not opted in."""
    alice, bob = stage.alice, stage.bob
    before = await stage.settle()
    refused = await stage.expect_refusal("RECIPIENT_NOT_REACHABLE", bob, "resolve", external_id=ALICE_NUMBER)
    stage.timeline.tell(bob, f"looks up {ALICE_NUMBER}")
    stage.timeline.decide(str(refused))
    await stage.expect_refusal("RECIPIENT_NOT_REACHABLE", bob, "take_bundle", jid=alice.jid)
    stage.timeline.tell(bob, "asks for Alice's prekey bundle, without which he cannot encrypt to her: the same refusal")
    await stage.expect_refusal("RECIPIENT_NOT_REACHABLE", bob, "send_garbage", to=alice.jid)
    stage.timeline.tell(bob, "sends a message stanza to her JID all the same: the same refusal")
    expect((await alice.ask("take_texts"))["texts"] == [], "something reached Alice")
    after = await stage.settle()
    expect(after == before, f"the server stored something: {_difference(before, after)}")
    return "look-up, bundle and message refused with RECIPIENT_NOT_REACHABLE; stored rows before and after are equal"


async def opt_in(stage: Stage) -> str:
    """Lets Alice accept the terms, and choose Bob's messenger and the separate inbox."""
    alice, tell = stage.alice, stage.timeline.tell
    await stage.expect_refusal("TERMS_NOT_ACCEPTED", alice, "opt_in", integrators=[INTEGRATOR])
    stage.timeline.decide("no third-party chats before the terms are accepted")
    await alice.ask("see_terms")
    await alice.ask("accept_terms")
    tell(alice, "is shown the terms, then accepts them")
    partners = (await alice.ask("list_partners"))["partners"]
    expect({"integrator": INTEGRATOR, "name": MESSENGER} in partners, f"{MESSENGER} is not among the choices")
    await alice.ask("opt_in", integrators=[INTEGRATOR])
    tell(alice, f"turns on third-party chats with {MESSENGER}")
    await alice.ask("choose_separate_inbox")
    tell(alice, "wants them in an inbox of their own")
    settings = await alice.ask("get_settings")
    expect(settings["enabled"] and settings["terms_accepted"], "third-party chats are not on")
    expect(settings["integrators"] == [INTEGRATOR], f"chosen are {settings['integrators']}")
    expect(settings["inbox_mode"] == "SEPARATE", f"the inbox mode is {settings['inbox_mode']}")
    return f"terms shown and accepted; opted in for {MESSENGER} only; separate inbox"


async def block_and_opt_out(stage: Stage) -> str:
    """Lets Alice block Carol, then opt out of the messenger."""
    await _block(stage)
    await _opt_out(stage)
    return "Carol is not told, her message is gone; both directions refused after the opt-out; the chats are read-only"


async def _block(stage: Stage) -> None:
    alice, bob, carol = stage.alice, stage.bob, stage.carol
    blocked = (await alice.ask("block", jid=carol.jid))["blocked"]
    expect(blocked == [carol.jid], f"the blocklist is {blocked}")
    stage.timeline.tell(alice, "blocks Carol")
    before = await stage.settle()
    await carol.ask("send_text", to=alice.jid, text=stage.keep_secret("Carol's blocked text", "Why no answer, Alice?"))
    after = await stage.settle()
    before[_SENT] += 1  # only the id, so that a repetition is acked with the same time, as for any sender
    expect(after == before, f"the server stored something other than the id: {_difference(before, after)}")
    stage.timeline.tell(carol, "writes to Alice: acked, so that the block does not show, but neither kept nor sent")
    text = stage.keep_secret("Bob's text after the block", "Are you still there, Alice? This is Bob.")
    await bob.ask("send_text", to=alice.jid, text=text)
    received = await alice.ask("wait_for_text")
    expect((received["sender"], received["text"]) == (bob.jid, text), "the next text that reached Alice is not Bob's")
    expect((await alice.ask("take_texts"))["texts"] == [], "Carol's text reached Alice")
    await stage.settle()
    stage.timeline.tell(bob, "writes after that: Alice has his message, and never gets Carol's")
    await _try_text(stage, alice, carol, "RECIPIENT_BLOCKED_BY_SENDER")


async def _opt_out(stage: Stage) -> None:
    alice, bob, carol = stage.alice, stage.bob, stage.carol
    await stage.settle()
    await alice.ask("opt_out", integrators=[INTEGRATOR])
    stage.timeline.tell(alice, f"turns off third-party chats with {MESSENGER}")
    await _try_text(stage, alice, bob, "SENDER_NOT_OPTED_IN")
    await _try_text(stage, bob, alice, "RECIPIENT_NOT_REACHABLE")
    chats = {chat["peer"]: chat["read_only"] for chat in (await alice.ask("list_chats"))["chats"]}
    expect(chats == {bob.jid: True, carol.jid: True}, "the chats with Bob and Carol are not listed as read-only")
    stage.timeline.tell(alice, "still sees both chats, read-only")


async def _try_text(stage: Stage, sender: Person, recipient: Person, reason: str) -> None:
    text = stage.keep_secret(f"{sender.name}'s refused text", f"{recipient.name}, can you read this? {sender.name}.")
    refused = await stage.expect_refusal(reason, sender, "send_text", to=recipient.jid, text=text)
    stage.timeline.tell(sender, f"tries to write to {recipient.name}")
    stage.timeline.decide(str(refused))


def _difference(before: dict[str, int], after: dict[str, int]) -> str:
    names = sorted(name for name in before | after if before.get(name) != after.get(name))
    return ", ".join(f"{name} {before.get(name)} → {after.get(name)}" for name in names)
