"""Signal sessions: what a peer sees of them."""

from interop_conformance.check import Level, check
from interop_conformance.checks.messages import IDS, SENDS, SHOWS
from interop_conformance.ciphertexts import (
    DOUBLE_RATCHET,
    PREKEY_MESSAGE,
    keys_used,
    lose,
    seal_altered,
    types_of,
    with_ciphertext,
)
from interop_conformance.people import Person
from interop_conformance.stage import Device, Stage

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.options import ClientOptions

BOTH = (SENDS, SHOWS)
LATE = "Each message names its chain and its number, so that it can be opened whenever it comes."
ONCE = "The key of a message is deleted when it has been used."
BOUND = "The MAC covers the message and the identity keys of both ends."


async def conversation(stage: Stage) -> tuple[Person, Device]:
    """Makes two people each of whom has written to the other."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    return alice, bob


def expect_once(stage: Stage, bob: Device, *texts: str) -> None:
    """Raises NotSo unless each of the texts was shown once so far."""
    counts = {text: bob.texts().count(text) for text in texts}
    stage.expect(set(counts.values()) == {1}, "each text once", counts)


def expect_never(stage: Stage, bob: Device, text: str) -> None:
    """Raises NotSo if a text was shown."""
    stage.expect(text not in bob.texts(), "the user is not shown what cannot be authentic", f"shown: {text!r}")


@check(
    "MSG-03.first-text-is-a-prekey-message",
    Level.MUST,
    "The first text to somebody is a prekey message that they can open.",
    milestone=3,
    after=(SENDS,),
    forced_by="The recipient has no session, and only a prekey message lets them begin one.",
)
async def first_text_is_a_prekey_message(stage: Stage) -> None:
    """Its type says so, and the WhatsApp side opens it."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello")
    await alice.reads("Hello")
    types = types_of(alice.messages)
    stage.expect(types == ["PREKEY_MESSAGE"], "PREKEY_MESSAGE", types)


@check(
    "MSG-03.prekey-messages-until-answered",
    Level.MUST,
    "Until the recipient has answered, every text is a prekey message.",
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
    await stage.talk(alice, bob, turns=2)
    expect_once(stage, bob, "Alice begins", "Alice's turn 0", "Alice's turn 1")


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
    texts = [f"letter {number}" for number in range(5)]
    letters = [await alice.seal(bob.jid, text) for text in texts]
    await alice.send_sealed(*reversed(letters))
    for text in texts:
        await bob.shows_text(text)
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
    texts = [f"letter {number}" for number in range(3)]
    letters = [await alice.seal(bob.jid, text) for text in texts]
    await alice.send_sealed(*reversed(letters))
    for text in texts:
        await bob.shows_text(text)
    await stage.talk(alice, bob)
    expect_once(stage, bob, *texts)


@check(
    "MSG-03.one-is-lost",
    Level.MUST,
    "When a text is lost, those after it are shown all the same.",
    milestone=3,
    after=BOTH,
    forced_by=LATE,
)
async def one_is_lost(stage: Stage) -> None:
    """The second of three is never sent."""
    alice, bob = await conversation(stage)
    first, _, third = [await alice.seal(bob.jid, text) for text in ("first", "lost", "third")]
    await alice.send_sealed(first, third)
    await bob.shows_text("first")
    await bob.shows_text("third")


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
    "MSG-03.same-ciphertext-once",
    Level.MUST,
    "The same ciphertext is not shown again under another id.",
    milestone=3,
    after=BOTH,
    forced_by=ONCE,
)
async def same_ciphertext_once(stage: Stage) -> None:
    """Right after the first one, and again after it."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "said once")
    body = letter.enc[0].ciphertext
    await alice.send_sealed(letter, with_ciphertext(alice, letter, body), with_ciphertext(alice, letter, body))
    await bob.shows_text("said once")
    await stage.marker(alice, bob)
    expect_once(stage, bob, "said once")


@check(
    "MSG-03.first-text-once",
    Level.MUST,
    "The prekey message that began a session is not shown again under another id.",
    milestone=3,
    after=BOTH,
    forced_by="A one-time prekey is deleted when it has been used, and a message key likewise.",
)
async def first_text_once(stage: Stage) -> None:
    """At once, and after the session has been used both ways."""
    alice, bob = await stage.pair()
    letter = await alice.seal(bob.jid, "I begin")
    body = letter.enc[0].ciphertext
    await alice.send_sealed(letter, with_ciphertext(alice, letter, body))
    await bob.shows_text("I begin")
    await stage.talk(alice, bob)
    await alice.send_sealed(with_ciphertext(alice, letter, body))
    await stage.marker(alice, bob)
    expect_once(stage, bob, "I begin")


@check(
    "MSG-03.old-keys-are-gone",
    Level.MUST,
    "A ciphertext of long ago opens nothing any more: keys that were used are deleted.",
    milestone=3,
    after=BOTH,
    forced_by=ONCE,
)
async def old_keys_are_gone(stage: Stage) -> None:
    """It comes again under another id, six turns later and after a restart."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "said long ago")
    await alice.send_sealed(letter)
    await bob.shows_text("said long ago")
    await stage.talk(alice, bob, turns=6)
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await alice.send_sealed(with_ciphertext(alice, letter, letter.enc[0].ciphertext))
    await stage.marker(alice, bob)
    expect_once(stage, bob, "said long ago")


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
    "No two messages are encrypted by the same key.",
    milestone=3,
    after=BOTH,
    forced_by="A key opens one message: the recipient takes a second one for a repetition.",
)
async def no_key_twice(stage: Stage) -> None:
    """Several texts before and after an answer, and on another connection."""
    alice, bob = await stage.pair()
    for _ in range(2):
        for number in range(4):
            await bob.send(alice.jid, f"text {number}")
            await alice.reads(f"text {number}")
        await stage.talk(alice, bob)
        await bob.connect()
    used = keys_used(alice.messages)
    stage.expect(len(set(used)) == len(used), f"{len(used)} messages, as many keys", f"{len(set(used))}")


@check(
    "MSG-03.no-key-twice-after-a-crash",
    Level.MUST,
    "A client that was ended by a crash uses none of the keys again that it has used before.",
    milestone=3,
    after=(*BOTH, IDS),
    forced_by="A key opens one message, so its use is saved before the message is sent.",
)
async def no_key_twice_after_a_crash(stage: Stage) -> None:
    """It crashes when it has said that a text is sent; nothing else has come that would make it save."""
    alice, bob = await stage.alice(options=ClientOptions(sends_delivered_receipts=False)), await stage.bob()
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


@check(
    "MSG-03.wrong-mac",
    Level.MUST,
    "A message whose MAC does not verify is not shown, and what comes next is.",
    milestone=3,
    after=BOTH,
    forced_by=BOUND,
)
async def wrong_mac(stage: Stage) -> None:
    """The last bit of the MAC is turned over."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "not by Alice")
    body = letter.enc[0].ciphertext
    await alice.send_sealed(with_ciphertext(alice, letter, body[:-1] + bytes((body[-1] ^ 1,))))
    await stage.marker(alice, bob)
    expect_never(stage, bob, "not by Alice")


@check(
    "MSG-03.wrong-mac-changes-nothing",
    Level.MUST,
    "A message that does not authenticate uses up no key: the right one is shown when it comes.",
    milestone=3,
    after=("MSG-03.wrong-mac",),
    forced_by=BOUND,
)
async def wrong_mac_changes_nothing(stage: Stage) -> None:
    """A forgery comes before each of two texts, the first of which begins a chain."""
    alice, bob = await conversation(stage)
    await bob.send(alice.jid, "what comes now begins a chain")
    await alice.reads("what comes now begins a chain")
    for text in ("by Alice", "by Alice, too"):
        letter = await alice.seal(bob.jid, text)
        body = letter.enc[0].ciphertext
        await alice.send_sealed(with_ciphertext(alice, letter, body[:-1] + bytes((body[-1] ^ 1,))), letter)
        await bob.shows_text(text)


@check(
    "MSG-03.wrong-version",
    Level.SHOULD,
    "A message of an unknown session version is not shown, and what comes next is.",
    milestone=3,
    after=BOTH,
)
async def wrong_version(stage: Stage) -> None:
    """The MAC is right."""
    alice, bob = await conversation(stage)
    letter = await seal_altered(alice, bob.jid, "of version 9", lambda covered: b"\x93" + covered[1:])
    await alice.send_sealed(letter)
    await stage.marker(alice, bob)
    expect_never(stage, bob, "of version 9")


@check(
    "MSG-03.newer-sender",
    Level.SHOULD,
    "A message of session version 3 is shown although its sender knows newer versions.",
    milestone=3,
    after=BOTH,
)
async def newer_sender(stage: Stage) -> None:
    """The version byte is 0x34, as newer libsignal writes it."""
    alice, bob = await conversation(stage)
    letter = await seal_altered(alice, bob.jid, "of version 3", lambda covered: b"\x34" + covered[1:])
    await alice.send_sealed(letter)
    await bob.shows_text("of version 3")


@check(
    "MSG-03.unknown-field-in-the-header",
    Level.SHOULD,
    "A message with a field that the client does not know is shown: the MAC covers the bytes as received.",
    milestone=3,
    after=BOTH,
)
async def unknown_field_in_the_header(stage: Stage) -> None:
    """Field 15 of the header, which nobody has defined."""
    alice, bob = await conversation(stage)
    letter = await seal_altered(alice, bob.jid, "with a new field", lambda covered: covered + b"\x7a\x03new")
    await alice.send_sealed(letter)
    await bob.shows_text("with a new field")


@check(
    "MSG-03.garbage",
    Level.MUST,
    "What is no ciphertext at all shows nothing and ends nothing.",
    milestone=3,
    after=BOTH,
    forced_by="Anybody can send any bytes.",
)
async def garbage(stage: Stage) -> None:
    """Other bytes, and the beginning of a message, under both types."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "in pieces")
    body = letter.enc[0].ciphertext
    for piece in (bytes(range(200)), b"\x33" + bytes(60), body[:-20], body[:9], body[:1], body + b"\0"):
        for kind in (DOUBLE_RATCHET, PREKEY_MESSAGE):
            await alice.send_sealed(with_ciphertext(alice, letter, piece, kind))
    await stage.marker(alice, bob)
    expect_never(stage, bob, "in pieces")
    await bob.send(alice.jid, "going on")
    await alice.reads("going on")


@check(
    "MSG-03.empty-ciphertext",
    Level.MUST,
    "An empty ciphertext shows nothing and ends nothing.",
    milestone=3,
    after=BOTH,
    forced_by="Anybody can send any bytes.",
)
async def empty_ciphertext(stage: Stage) -> None:
    """It is emptied on its way to the client."""
    alice, bob = await conversation(stage)
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    fault = await stage.add_fault("empty", match, 1, truncate={"keep_bytes": 0})
    await alice.send_sealed(await alice.seal(bob.jid, "emptied"))
    await stage.marker(alice, bob)
    expect_never(stage, bob, "emptied")
    stage.expect(await stage.fired(fault) == 1, "a message was emptied", "none was")


@check(
    "MSG-03.ciphertext-of-somebody-else",
    Level.MUST,
    "A ciphertext of one person is not shown as a message of another.",
    milestone=3,
    after=BOTH,
    forced_by=BOUND,
)
async def ciphertext_of_somebody_else(stage: Stage) -> None:
    """What Carol has sealed for Bob comes from Alice."""
    alice, bob = await conversation(stage)
    carol = await stage.alice()
    await stage.talk(carol, bob)
    letter = await carol.seal(bob.jid, "by Carol")
    await alice.send_sealed(with_ciphertext(alice, letter, letter.enc[0].ciphertext))
    await stage.marker(alice, bob)
    expect_never(stage, bob, "by Carol")
    await carol.send_sealed(letter)
    await bob.shows("text_shown", lambda each: (each.sender_jid, each.text) == (carol.jid, "by Carol"), "Carol's text")


@check(
    "MSG-03.both-write-at-once",
    Level.MUST,
    "When both write at the same time, without waiting for each other, all is shown, each text once.",
    milestone=3,
    after=BOTH,
    forced_by=LATE,
)
async def both_write_at_once(stage: Stage) -> None:
    """Six times Alice seals before she has what Bob says meanwhile."""
    alice, bob = await conversation(stage)
    texts = [f"letter {number}" for number in range(6)]
    for text in texts:
        letter = await alice.seal(bob.jid, text)
        await bob.send(alice.jid, f"answer to {text}")
        await alice.reads(f"answer to {text}")
        await alice.send_sealed(letter)
    for text in texts:
        await bob.shows_text(text)
    await stage.marker(alice, bob)
    expect_once(stage, bob, *texts)
