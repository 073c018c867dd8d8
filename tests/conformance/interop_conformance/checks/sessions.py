"""Signal sessions: what a peer sees of them."""

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.options import ClientOptions
from interop_conformance.check import Level, check
from interop_conformance.checks.messages import IDS, SENDS, SHOWS
from interop_conformance.ciphertexts import keys_used, lose, types_of
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

BOTH = (SENDS, SHOWS)
LATE = "Each message names its chain and its number, so that it can be opened whenever it comes."


async def conversation(stage: Stage) -> tuple[Person, Device]:
    """Makes two people each of whom has written to the other."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    return alice, bob


def expect_once(stage: Stage, bob: Device, *texts: str) -> None:
    """Raises NotSo unless each of the texts was shown once so far."""
    counts = {text: bob.texts().count(text) for text in texts}
    stage.expect(set(counts.values()) == {1}, "each text once", counts)


@check(
    "MSG-03.prekey-messages-until-answered",
    Level.MUST,
    "Until the recipient has answered, every text is a prekey message that they can open.",
    milestone=3,
    after=(SENDS,),
    forced_by="The recipient may get any of them first, and only a prekey message lets them begin the session.",
)
async def prekey_messages_until_answered(stage: Stage) -> None:
    """Three texts without an answer."""
    alice, bob = await stage.pair()
    for text in ("one", "two", "three"):
        await bob.send(alice.jid, text)
        await alice.reads(text)
    types = types_of(alice.messages)
    stage.expect(types == ["PREKEY_MESSAGE"] * 3, "three prekey messages", types)


@check(
    "MSG-03.no-prekey-message-after-the-answer",
    Level.SHOULD,
    "After the recipient's answer, texts are no prekey messages any more.",
    milestone=3,
    after=BOTH,
)
async def no_prekey_message_after_the_answer(stage: Stage) -> None:
    """One text after one answer."""
    alice, bob = await conversation(stage)
    await bob.send(alice.jid, "after the answer")
    await alice.reads("after the answer")
    types = types_of(alice.messages)[-1:]
    stage.expect(types == ["DOUBLE_RATCHET"], "DOUBLE_RATCHET", types)


@check(
    "MSG-03.one-ciphertext",
    Level.SHOULD,
    "A message has one ciphertext for each device of the WhatsApp user, of which there is one here.",
    milestone=3,
    after=BOTH,
)
async def one_ciphertext(stage: Stage) -> None:
    """As the server saw the messages; where they name the device's registration id, it is the right one."""
    alice, bob = await conversation(stage)
    own = alice.client.state.signal.registration_id
    for message in stage.sent(bob.jid, "message"):
        enc = message.fields.get("enc", [])
        stage.expect(len(enc) == 1, "one ciphertext", f"{len(enc)}")
        named = enc[0].get("registration_id", own)
        stage.expect(named == own, f"the registration id {own}, or none", named)


@check(
    "MSG-03.both-begin-at-once",
    Level.MUST,
    "When both begin a session at the same time, all that is said is shown, and the conversation goes on.",
    milestone=3,
    after=BOTH,
    forced_by="Neither end can know that the other begins, too: two sessions are there at once.",
)
async def both_begin_at_once(stage: Stage) -> None:
    """Alice's first text is sealed before Bob's comes, and is sent after it."""
    alice, bob = await stage.pair()
    letter = await alice.seal(bob.jid, "Alice begins")
    await bob.send(alice.jid, "Bob begins")
    await alice.send_sealed(letter)
    await alice.reads("Bob begins")
    await bob.shows_text("Alice begins")
    texts = await stage.talk(alice, bob, turns=2)
    expect_once(stage, bob, "Alice begins", *texts)


async def _in_reverse(alice: Person, bob: Device, count: int) -> list[str]:
    """Has Alice send texts, the last one first, and waits until all were shown; returns the texts."""
    texts = [f"letter {number}" for number in range(count)]
    letters = [await alice.seal(bob.jid, text) for text in texts]
    await alice.send_sealed(*reversed(letters))
    for text in texts:
        await bob.shows_text(text)
    return texts


@check(
    "MSG-03.out-of-order",
    Level.MUST,
    "Texts that come out of order are all shown, each once.",
    milestone=3,
    after=BOTH,
    forced_by=LATE,
)
async def out_of_order(stage: Stage) -> None:
    """Five texts in reverse order."""
    alice, bob = await conversation(stage)
    texts = await _in_reverse(alice, bob, 5)
    await stage.marker(alice, bob)
    expect_once(stage, bob, *texts)


@check(
    "MSG-03.first-texts-out-of-order",
    Level.MUST,
    "The first texts of a session can come in any order.",
    milestone=3,
    after=BOTH,
    forced_by="Each of them is a prekey message, and names the keys from which the session is built.",
)
async def first_texts_out_of_order(stage: Stage) -> None:
    """Three prekey messages in reverse order."""
    alice, bob = await stage.pair()
    texts = await _in_reverse(alice, bob, 3)
    await stage.talk(alice, bob)
    expect_once(stage, bob, *texts)


@check(
    "MSG-03.thousand-are-lost",
    Level.SHOULD,
    "After a thousand texts that never come, the next one is shown; so is one of them that comes late.",
    milestone=3,
    after=BOTH,
)
async def thousand_are_lost(stage: Stage) -> None:
    """The keys of a thousand messages of one chain are used up."""
    alice, bob = await conversation(stage)
    lose(alice, bob.jid, 500)
    late = await alice.seal(bob.jid, "late")
    lose(alice, bob.jid, 499)
    await alice.send_sealed(await alice.seal(bob.jid, "after a thousand"))
    await bob.shows_text("after a thousand")
    await alice.send_sealed(late)
    await bob.shows_text("late")


@check(
    "MSG-03.crossing",
    Level.MUST,
    "A text that comes after the next turn of the conversation has begun is shown.",
    milestone=3,
    after=BOTH,
    forced_by=LATE,
)
async def crossing(stage: Stage) -> None:
    """The second of two texts is overtaken by Bob's answer and by what Alice says to that."""
    alice, bob = await conversation(stage)
    first, second = [await alice.seal(bob.jid, text) for text in ("first", "second")]
    await alice.send_sealed(first)
    await bob.shows_text("first")
    await stage.talk(alice, bob)
    await alice.send_sealed(second)
    await bob.shows_text("second")
    await stage.talk(alice, bob)
    expect_once(stage, bob, "first", "second")


@check(
    "MSG-03.very-late",
    Level.SHOULD,
    "A text that comes three turns late is shown.",
    milestone=3,
    after=BOTH,
)
async def very_late(stage: Stage) -> None:
    """Keys of older chains are kept for a while."""
    alice, bob = await conversation(stage)
    first, second = [await alice.seal(bob.jid, text) for text in ("first", "second")]
    await alice.send_sealed(first)
    await bob.shows_text("first")
    await stage.talk(alice, bob, turns=3)
    await alice.send_sealed(second)
    await bob.shows_text("second")


@check(
    "MSG-03.heals-with-each-turn",
    Level.MUST,
    "Each answer begins a chain with a new ratchet key: a stolen key opens no later turn.",
    milestone=3,
    after=BOTH,
    forced_by="The Double Ratchet answers each new ratchet key of the other end with a new one.",
)
async def heals_with_each_turn(stage: Stage) -> None:
    """Four turns, four keys."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob, turns=4)
    keys = [ratchet_key for ratchet_key, _ in keys_used(alice.messages)]
    stage.expect(len(set(keys)) == len(keys), f"{len(keys)} turns, as many ratchet keys", f"{len(set(keys))}")


@check(
    "MSG-03.no-key-twice",
    Level.MUST,
    "No two messages are encrypted by the same key, also when the client crashes between them.",
    milestone=3,
    after=(*BOTH, IDS),
    forced_by="A key opens one message, so its use is saved before the message is sent.",
)
async def no_key_twice(stage: Stage) -> None:
    """It crashes when it has said that a text is sent; nothing else has come that would make it save."""
    alice, bob = await stage.alice(options=ClientOptions(sends_delivered_receipts=False)), await stage.bob()
    for text in ("one", "two"):
        await bob.send(alice.jid, text)
    await stage.talk(alice, bob)
    await stage.marker(alice, bob)
    await bob.send(alice.jid, "before the crash")
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await bob.send(alice.jid, "after the crash")
    await alice.reads("after the crash")
    used = keys_used(alice.messages)
    stage.expect(len(set(used)) == len(used), f"{len(used)} messages, as many keys", f"{len(set(used))}")


@check(
    "MSG-03.sessions-survive-a-restart",
    Level.MUST,
    "After a restart the conversation goes on in the session that there is.",
    milestone=3,
    after=(*BOTH, IDS),
    forced_by="Who forgets a session cannot open what was sealed in it.",
)
async def sessions_survive_a_restart(stage: Stage) -> None:
    """What was sealed before is shown, and both write on."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "sealed before")
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await alice.send_sealed(letter)
    await bob.shows_text("sealed before")
    await stage.talk(alice, bob)


@check(
    "MSG-03.session-anew",
    Level.MUST,
    "When a peer begins a new session, what it says there is shown, and answered there.",
    milestone=3,
    after=BOTH,
    forced_by="A peer that has lost its session cannot open anything else.",
)
async def session_anew(stage: Stage) -> None:
    """Alice has lost her sessions, and has the same identity key."""
    alice, bob = await conversation(stage)
    alice.client.state.signal.delete_session(bob.jid)
    await alice.send(bob.jid, "a new beginning")
    await bob.shows_text("a new beginning")
    await bob.send(alice.jid, "fine")
    await alice.reads("fine")
    await stage.talk(alice, bob)


@check(
    "MSG-03.session-before",
    Level.SHOULD,
    "A text that was sealed in the session before is shown when it comes after the new session has begun.",
    milestone=3,
    after=("MSG-03.session-anew",),
)
async def session_before(stage: Stage) -> None:
    """It was under way when Alice lost her sessions."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "sealed before")
    alice.client.state.signal.delete_session(bob.jid)
    await alice.send(bob.jid, "a new beginning")
    await bob.shows_text("a new beginning")
    await alice.send_sealed(letter)
    await bob.shows_text("sealed before")
