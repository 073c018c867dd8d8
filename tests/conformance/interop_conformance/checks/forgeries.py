"""Signal sessions: what a peer sees when ciphertexts are forged, damaged, or come a second time."""

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance.check import Level, check
from interop_conformance.checks.sessions import BOTH, conversation, expect_once
from interop_conformance.ciphertexts import (
    DOUBLE_RATCHET,
    PREKEY_MESSAGE,
    seal_altered,
    with_ciphertext,
    with_wrong_mac,
)
from interop_conformance.device import Device
from interop_conformance.stage import Stage

ONCE = "The key of a message is deleted when it has been used."
BOUND = "The MAC covers the message and the identity keys of both ends."


def expect_never(stage: Stage, bob: Device, text: str) -> None:
    """Raises NotSo if a text was shown."""
    stage.expect(text not in bob.texts(), "the user is not shown what cannot be authentic", f"shown: {text!r}")


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
    seconds=60.0,
)
async def old_keys_are_gone(stage: Stage) -> None:
    """It comes again under another id, five turns later and after a restart."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "said long ago")
    await alice.send_sealed(letter)
    await bob.shows_text("said long ago")
    await stage.talk(alice, bob, turns=5)
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await alice.send_sealed(with_ciphertext(alice, letter, letter.enc[0].ciphertext))
    await stage.marker(alice, bob)
    expect_once(stage, bob, "said long ago")


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
    await alice.send_sealed(with_wrong_mac(alice, await alice.seal(bob.jid, "not by Alice")))
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
        await alice.send_sealed(with_wrong_mac(alice, letter), letter)
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
    """Other bytes, and the beginning of a message, under both types; and one that is emptied on its way."""
    alice, bob = await conversation(stage)
    letter = await alice.seal(bob.jid, "in pieces")
    body = letter.enc[0].ciphertext
    for piece in (bytes(range(200)), b"\x33" + bytes(60), body[:-20], body[:9], body[:1], body + b"\0"):
        for kind in (DOUBLE_RATCHET, PREKEY_MESSAGE):
            await alice.send_sealed(with_ciphertext(alice, letter, piece, kind))
    match = {"stanza": "message", "direction": "FAULT_DIRECTION_TO_CLIENT", "actor": bob.jid}
    await stage.add_fault("empty", match, 1, truncate={"keep_bytes": 0})
    await alice.send_sealed(letter)
    await stage.marker(alice, bob)
    expect_never(stage, bob, "in pieces")
    await bob.send(alice.jid, "going on")
    await alice.reads("going on")


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
