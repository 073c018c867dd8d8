"""What people do with messages: replies, reactions, edits, deletions, typing."""

from collections.abc import Callable
from typing import Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.messaging.contents import edit_content
from interop_client.messaging.events import (
    DeletionReceived,
    EditReceived,
    Incoming,
    ReactionReceived,
    Typing,
)
from interop_conformance.check import Level, check
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device
from interop_conformance.people import Person
from interop_conformance.stage import Stage

REPLY_IN = "MSG-12.reply-in"
REPLY_OUT = "MSG-12.reply-out"
REACTION_IN = "MSG-12.reaction-in"
REACTION_OUT = "MSG-12.reaction-out"
EDIT_IN = "MSG-12.edit-in"
DELETION_IN = "MSG-12.deletion-in"
TYPING_IN = "MSG-12.typing-in"
TYPING_OUT = "MSG-12.typing-out"
UNKNOWN_ID = "3EB0000000000000000000"
"""Of a message that nobody has sent."""
STICKER_FIELD = 26
"""Of `Message`; not in content.proto, since third-party chats have no stickers."""
NEWER_FIELD = 777
"""Of `Message` as no release has it yet."""


@check(
    REPLY_OUT,
    Level.MUST,
    "A reply names the message that it answers.",
    milestone=4,
    features=("replies",),
    after=(SENDS, SHOWS),
)
async def reply_out(stage: Stage) -> None:
    """The WhatsApp user has written two messages, and the first is answered."""
    alice, bob = await stage.pair()
    first, _ = await alice.send(bob.jid, "Shall we?"), await alice.send(bob.jid, "Or not?")
    await bob.shows_text("Or not?")
    await bob.send(alice.jid, "Yes", reply_to=first.id)
    answered = (await alice.reads("Yes")).reply_to
    stage.expect(answered == first.id, f"a reply to {first.id}", answered or "a text that answers nothing")


@check(
    REPLY_IN,
    Level.MUST,
    "A reply is shown as one to the right message.",
    milestone=4,
    features=("replies",),
    after=(SENDS, SHOWS),
)
async def reply_in(stage: Stage) -> None:
    """The subject has sent two messages, and the first is answered."""
    alice, bob = await stage.pair()
    first, _ = await bob.send(alice.jid, "Shall we?"), await bob.send(alice.jid, "Or not?")
    question = await alice.reads("Shall we?")
    await alice.does("reply", alice.client.send_text(bob.jid, "Yes", question))
    shown = await bob.shows_text("Yes")
    stage.expect(shown.reply_to == first, f"a reply to {first}", shown.reply_to or "a text that answers nothing")


@check(
    "MSG-12.reply-to-something-unknown",
    Level.SHOULD,
    "A reply to a message that the client does not know is shown all the same.",
    milestone=4,
    features=("replies",),
    after=(REPLY_IN,),
)
async def reply_to_something_unknown(stage: Stage) -> None:
    """Its text must not be lost: the message may be from before the client was installed."""
    alice, bob = await stage.pair()
    unknown = Incoming(bob.jid, UNKNOWN_ID, 0, "", "", False)
    await alice.does("reply", alice.client.send_text(bob.jid, "As I said", unknown))
    await bob.shows_text("As I said")


@check(
    REACTION_OUT,
    Level.MUST,
    "A reaction names its message, and is what the user chose.",
    milestone=4,
    features=("reactions",),
    after=(SENDS, SHOWS),
)
async def reaction_out(stage: Stage) -> None:
    """To a message of the peer, and to one of the user's own."""
    alice, bob = await stage.pair()
    theirs = await alice.send(bob.jid, "Good news")
    await bob.shows_text("Good news")
    own = await bob.send(alice.jid, "Indeed")
    for target, emoji, is_own in ((theirs.id, "👍🏽", False), (own, "👩‍👩‍👧", True)):
        await _react(bob, alice, target, emoji, is_own=is_own)
        got = await alice.receives(ReactionReceived)
        stage.expect(
            (got.target_id, got.emoji) == (target, emoji), f"{emoji} to {target}", f"{got.emoji} to {got.target_id}"
        )


@check(
    "MSG-12.reaction-says-whose-message",
    Level.SHOULD,
    "A reaction says whether its message is the user's own: an id alone does not name a message.",
    milestone=4,
    features=("reactions", "reporting_tokens"),
    after=(REACTION_OUT,),
)
async def reaction_says_whose_message(stage: Stage) -> None:
    """Read in the content that the peer has decrypted."""
    alice, bob = await stage.pair()
    theirs = await alice.send(bob.jid, "Good news")
    await bob.shows_text("Good news")
    own = await bob.send(alice.jid, "Indeed")
    for target, is_own in ((theirs.id, False), (own, True)):
        await _react(bob, alice, target, "👍", is_own=is_own)
        got = await alice.receives(ReactionReceived)
        if got.evidence is not None:  # otherwise there is nothing to read it in
            content = content_pb2.Message.FromString(got.evidence.plaintext)
            says = content.reaction_message.key.from_me
            stage.expect(says == is_own, f"from_me is {str(is_own).lower()}", str(says).lower())


@check(
    "MSG-12.reaction-removal-out",
    Level.MUST,
    "Removing a reaction reaches the peer as that.",
    milestone=4,
    features=("reactions",),
    after=(REACTION_OUT,),
)
async def reaction_removal_out(stage: Stage) -> None:
    """The peer gets a reaction that is empty."""
    alice, bob = await stage.pair()
    theirs = await alice.send(bob.jid, "Good news")
    await bob.shows_text("Good news")
    for emoji in ("👍", ""):
        await _react(bob, alice, theirs.id, emoji)
        got = await alice.receives(ReactionReceived)
        stage.expect(
            (got.target_id, got.emoji) == (theirs.id, emoji),
            f"{emoji!r} to {theirs.id}",
            f"{got.emoji!r} to {got.target_id}",
        )


@check(
    REACTION_IN,
    Level.MUST,
    "A reaction is shown at the right message, and not as a text.",
    milestone=4,
    features=("reactions",),
    after=(SENDS, SHOWS),
)
async def reaction_in(stage: Stage) -> None:
    """To a message of the user, and to one of the peer's own."""
    alice, bob = await stage.pair()
    own = await bob.send(alice.jid, "Good news")
    await alice.reads("Good news")
    theirs = await alice.send(bob.jid, "Indeed")
    for target, emoji, is_own in ((own, "👩‍👩‍👧", False), (theirs.id, "👍🏽", True)):
        await _react_to(bob, alice, target, emoji, is_own=is_own)
        await bob.shows("reaction_shown", _of(alice, target, emoji), f"{emoji} to {target}")
    stage.expect(bob.texts() == ["Indeed"], "no other texts than the one that was sent", bob.texts())


@check(
    "MSG-12.reaction-removal-in",
    Level.MUST,
    "That a peer removes a reaction is shown.",
    milestone=4,
    features=("reactions",),
    after=(REACTION_IN,),
)
async def reaction_removal_in(stage: Stage) -> None:
    """First the reaction, then its end."""
    alice, bob = await stage.pair()
    own = await bob.send(alice.jid, "Good news")
    await alice.reads("Good news")
    for emoji in ("👍", ""):
        await _react_to(bob, alice, own, emoji)
        await bob.shows("reaction_shown", _of(alice, own, emoji), f"{emoji or 'no reaction'} to {own}")


@check(
    "MSG-12.edit-out",
    Level.SHOULD,
    "An edit reaches the peer as one of the right message.",
    milestone=4,
    features=("edits",),
    after=(SENDS,),
)
async def edit_out(stage: Stage) -> None:
    """Twice, so that the peer has the newest text in the end."""
    alice, bob = await stage.pair()
    target = await bob.send(alice.jid, "Se you")
    await alice.reads("Se you")
    for text in ("See yu", "See you"):
        await bob.do(send_edit=pb.SendEditCommand(to_jid=alice.jid, message_id=target, text=text))
        got = await alice.receives(EditReceived)
        stage.expect(
            (got.target_id, got.text) == (target, text), f"{text!r} for {target}", f"{got.text!r} for {got.target_id}"
        )


@check(
    EDIT_IN,
    Level.SHOULD,
    "An edit is shown at the right message, and not as a text of its own.",
    milestone=4,
    features=("edits",),
    after=(SHOWS,),
)
async def edit_in(stage: Stage) -> None:
    """Twice."""
    alice, bob = await stage.pair()
    sent = await alice.send(bob.jid, "Se you")
    await bob.shows_text("Se you")
    for text in ("See yu", "See you"):
        await alice.does("edit", alice.client.send_edit(bob.jid, sent.id, text))
        await bob.shows("edit_shown", _edit_of(alice, sent.id, text), f"the edit of {sent.id} to {text!r}")
    stage.expect(bob.texts() == ["Se you"], "the text once", bob.texts())


@check(
    "MSG-12.edit-before-its-text",
    Level.SHOULD,
    "A text whose edit came first is not lost.",
    milestone=4,
    features=("edits",),
    after=(EDIT_IN,),
)
async def edit_before_its_text(stage: Stage) -> None:
    """The edit overtakes its text, as it does when the text has to be sent again."""
    alice, bob = await stage.pair()
    text = await alice.seal(bob.jid, "Se you")
    await alice.does("edit", alice.client.send_edit(bob.jid, text.id, "See you"))
    await alice.send_sealed(text)
    await bob.shows("text_shown", lambda each: each.message_id == text.id, "the text that was edited")


@check(
    "MSG-12.deletion-out",
    Level.SHOULD,
    "A deletion reaches the peer, and names the right message.",
    milestone=4,
    features=("deletions",),
    after=(SENDS,),
)
async def deletion_out(stage: Stage) -> None:
    """The older of two messages is deleted."""
    alice, bob = await stage.pair()
    target, _ = await bob.send(alice.jid, "Not for you"), await bob.send(alice.jid, "For you")
    await alice.reads("Not for you")
    await bob.do(send_deletion=pb.SendDeletionCommand(to_jid=alice.jid, message_id=target))
    got = await alice.receives(DeletionReceived)
    stage.expect(got.target_id == target, f"the deletion of {target}", got.target_id)


@check(
    DELETION_IN,
    Level.SHOULD,
    "A deletion is shown at the right message.",
    milestone=4,
    features=("deletions",),
    after=(SHOWS,),
)
async def deletion_in(stage: Stage) -> None:
    """The older of two messages is deleted."""
    alice, bob = await stage.pair()
    target, _ = await alice.send(bob.jid, "Not for you"), await alice.send(bob.jid, "For you")
    await bob.shows_text("For you")
    await alice.does("delete", alice.client.send_deletion(bob.jid, target.id))
    shown = await bob.shows("deletion_shown")
    stage.expect((shown.sender_jid, shown.target_id) == (alice.jid, target.id), f"the deletion of {target.id}", shown)


@check(
    "MSG-12.nobody-edits-for-another",
    Level.SHOULD,
    "An edit of a message that its sender has not sent is not shown.",
    milestone=4,
    features=("edits",),
    after=(SENDS, EDIT_IN),
)
async def nobody_edits_for_another(stage: Stage) -> None:
    """The peer edits a text of the user's, and says so."""
    alice, bob = await stage.pair()
    own = await bob.send(alice.jid, "I owe you 10")
    await alice.reads("I owe you 10")
    forged = edit_content(bob.jid, own, "I owe you 1000", 1)
    forged.protocol_message.key.from_me = False
    await alice.does("edit", alice.client.send_message(bob.jid, forged))
    await stage.marker(alice, bob)
    stage.expect(not bob.shown("edit_shown"), "no edit", "the user's own text was edited")


@check(
    "MSG-12.change-without-a-type",
    Level.SHOULD,
    "A change that does not say what it changes deletes nothing: an absent type is not 0, which is a deletion.",
    milestone=4,
    features=("deletions",),
    after=(DELETION_IN,),
)
async def change_without_a_type(stage: Stage) -> None:
    """The message that it names is still there."""
    alice, bob = await stage.pair()
    sent = await alice.send(bob.jid, "Still there")
    await bob.shows_text("Still there")
    key = content_pb2.MessageKey(remote_jid=bob.jid, from_me=True, id=sent.id)
    content = content_pb2.Message(protocol_message=content_pb2.ProtocolMessage(key=key))
    await alice.send_sealed(await alice.seal_bytes(bob.jid, content.SerializeToString()))
    await stage.marker(alice, bob)
    stage.expect(not bob.shown("deletion_shown"), "no deletion", "a message was deleted")


@check(
    TYPING_OUT, Level.MUST, "That the user types reaches the peer.", milestone=4, features=("typing",), after=(SENDS,)
)
async def typing_out(stage: Stage) -> None:
    """While both are there."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await _type(bob, alice, pb.TYPING_ACTIVITY_COMPOSING)
    await alice.receives(Typing, lambda each: (each.sender, each.state) == (bob.jid, "COMPOSING"), "that Bob types")


@check(
    "MSG-12.typing-ends-out",
    Level.SHOULD,
    "That the user no longer types reaches the peer.",
    milestone=4,
    features=("typing",),
    after=(TYPING_OUT,),
)
async def typing_ends_out(stage: Stage) -> None:
    """After they have typed."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await _type(bob, alice, pb.TYPING_ACTIVITY_COMPOSING)
    await _type(bob, alice, pb.TYPING_ACTIVITY_PAUSED)
    await alice.receives(Typing, lambda each: (each.sender, each.state) == (bob.jid, "PAUSED"), "that Bob has stopped")


@check(TYPING_IN, Level.MUST, "That a peer types is shown.", milestone=4, features=("typing",), after=(SENDS, SHOWS))
async def typing_in(stage: Stage) -> None:
    """While both are there."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.client.send_typing(bob.jid)
    await bob.shows("typing_shown", _typing_of(alice, pb.TYPING_ACTIVITY_COMPOSING), "that the peer types")


@check(
    "MSG-12.typing-ends-in",
    Level.SHOULD,
    "That a peer no longer types is shown.",
    milestone=4,
    features=("typing",),
    after=(TYPING_IN,),
)
async def typing_ends_in(stage: Stage) -> None:
    """After they have typed."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.client.send_typing(bob.jid)
    await alice.client.send_typing(bob.jid, stanza_pb2.TYPING_STATE_PAUSED)
    await bob.shows("typing_shown", _typing_of(alice, pb.TYPING_ACTIVITY_PAUSED), "that the peer has stopped")


@check(
    "MSG-12.sticker-is-marked",
    Level.SHOULD,
    "Of a sticker, which third-party chats do not have, the user is told that it cannot be shown.",
    milestone=4,
    after=(SHOWS,),
)
async def sticker_is_marked(stage: Stage) -> None:
    """It is not shown as a text, and what follows comes."""
    await _is_marked(stage, _field(STICKER_FIELD, b"\x0a\x04webp"))


@check(
    "MSG-12.newer-content-is-marked",
    Level.SHOULD,
    "Of a content that is newer than the client the user is told that it cannot be shown.",
    milestone=4,
    after=(SHOWS,),
)
async def newer_content_is_marked(stage: Stage) -> None:
    """It is not shown as a text, and what follows comes."""
    await _is_marked(stage, _field(NEWER_FIELD, b"a poll, perhaps"))


@check(
    "MSG-12.newer-field-beside-a-text",
    Level.SHOULD,
    "A text is shown although something stands beside it that is newer than the client.",
    milestone=4,
    after=(SHOWS,),
)
async def newer_field_beside_a_text(stage: Stage) -> None:
    """Unknown fields are ignored."""
    alice, bob = await stage.pair()
    text = content_pb2.Message(conversation="Hello from tomorrow").SerializeToString()
    await alice.send_sealed(await alice.seal_bytes(bob.jid, text + _field(NEWER_FIELD, b"something more")))
    await bob.shows_text("Hello from tomorrow")


async def _is_marked(stage: Stage, plaintext: bytes) -> None:
    alice, bob = await stage.pair()
    message = await alice.seal_bytes(bob.jid, plaintext)
    await alice.send_sealed(message)
    await stage.marker(alice, bob)
    others = [each.text for each in bob.shown("text_shown") if each.message_id == message.id]
    stage.expect(not others, "it is not shown as a text", f"it is shown as {others}")
    await bob.shows("unknown_content_shown", lambda each: each.message_id == message.id, "that it cannot be shown")


def _field(number: int, body: bytes) -> bytes:
    """Returns a field of bytes as protobuf writes it: for numbers over 15 and under 2,048, and short bodies."""
    tag = number << 3 | 2
    return bytes((tag & 0x7F | 0x80, tag >> 7, len(body))) + body


async def _react(bob: Device, alice: Person, target: str, emoji: str, *, is_own: bool = False) -> None:
    command = pb.SendReactionCommand(to_jid=alice.jid, message_id=target, emoji=emoji, is_own_message=is_own)
    await bob.do(send_reaction=command)


async def _react_to(bob: Device, alice: Person, target: str, emoji: str, *, is_own: bool = False) -> None:
    await alice.does("react", alice.client.send_reaction(bob.jid, target, emoji, is_own_message=is_own))


async def _type(bob: Device, alice: Person, activity: pb.TypingActivity.ValueType) -> None:
    await bob.do(show_typing=pb.ShowTypingCommand(to_jid=alice.jid, activity=activity))


def _of(alice: Person, target: str, emoji: str) -> Callable[[Any], bool]:
    return lambda each: (each.sender_jid, each.target_id, each.emoji) == (alice.jid, target, emoji)


def _edit_of(alice: Person, target: str, text: str) -> Callable[[Any], bool]:
    return lambda each: (each.sender_jid, each.target_id, each.text) == (alice.jid, target, text)


def _typing_of(alice: Person, activity: pb.TypingActivity.ValueType) -> Callable[[Any], bool]:
    return lambda each: (each.sender_jid, each.activity) == (alice.jid, activity)
