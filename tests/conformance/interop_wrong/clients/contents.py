"""Defects of what people do with messages."""

from typing import Any
from weakref import WeakKeyDictionary

from google.protobuf.unknown_fields import UnknownFieldSet

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.e2ee.v1 import content_pb2
from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.messaging import inbox
from interop_client.messaging.changes import Changes
from interop_client.messaging.contents import message_event
from interop_client.messaging.events import (
    DeletionReceived,
    EditReceived,
    Event,
    Incoming,
    Message,
    ReactionReceived,
    TextReceived,
    Typing,
    Unsupported,
)
from interop_client.messaging.outgoing import SentMessage
from interop_client.signal.content import content_fields, parse_message
from interop_driver import screen
from interop_driver.device import Device
from interop_wrong.register import wrong_client
from interop_wrong.replace import replace


@wrong_client("MSG-12.reply-out")
def answers_with_a_plain_text() -> None:
    """Sends a reply without saying what it answers."""
    send = InteropClient.send_text

    async def send_plain(self: InteropClient, to: str, text: str, reply_to: Incoming | None = None) -> SentMessage:
        return await send(self, to, text)

    replace(InteropClient, "send_text", send_plain)


@wrong_client("MSG-12.reply-in")
def shows_replies_as_plain_texts() -> None:
    """Shows the text of a reply, and not what it answers."""

    def show(event: TextReceived) -> dict[str, Any]:
        return {"text_shown": pb.TextShown(sender_jid=event.sender, message_id=event.id, text=event.text)}

    _shows(TextReceived, show)


@wrong_client("MSG-12.reply-to-something-unknown")
def loses_replies_to_unknown_messages() -> None:
    """Looks up what a reply answers, and shows nothing when it does not find it."""
    deliver = Device._deliver

    async def deliver_known(self: Device, event: Event) -> None:
        if isinstance(event, TextReceived) and event.reply_to is not None:
            sent = self.client._outgoing._sent.get(event.sender, event.reply_to)
            if sent is None and (event.sender, event.reply_to) not in self._received:
                return
        await deliver(self, event)

    replace(Device, "_deliver", deliver_known)


@wrong_client("MSG-12.reaction-out")
def reacts_with_one_character() -> None:
    """Sends only the first code point of an emoji."""
    send = InteropClient.send_reaction

    async def send_first(self: InteropClient, to: str, message_id: str, emoji: str, **more: bool) -> SentMessage:
        return await send(self, to, message_id, emoji[:1], **more)

    replace(InteropClient, "send_reaction", send_first)


@wrong_client("MSG-12.reaction-in")
def shows_one_character_of_a_reaction() -> None:
    """Shows only the first code point of an emoji."""

    def show(event: ReactionReceived) -> dict[str, Any]:
        facts = {"sender_jid": event.sender, "target_id": event.target_id, "emoji": event.emoji[:1]}
        return {"reaction_shown": pb.ReactionShown(**facts)}

    _shows(ReactionReceived, show)


@wrong_client("MSG-12.reaction-says-whose-message")
def takes_all_messages_for_the_peers() -> None:
    """Says of every message that it reacts to that the peer has sent it."""
    send = InteropClient.send_reaction

    async def send_to_peer(
        self: InteropClient, to: str, message_id: str, emoji: str, *, is_own_message: bool = False
    ) -> SentMessage:
        return await send(self, to, message_id, emoji)

    replace(InteropClient, "send_reaction", send_to_peer)


@wrong_client("MSG-12.reaction-removal-out")
def removes_a_reaction_with_a_blank() -> None:
    """Sends a space in place of a removed reaction."""
    send = InteropClient.send_reaction

    async def send_blank(self: InteropClient, to: str, message_id: str, emoji: str, **more: bool) -> SentMessage:
        return await send(self, to, message_id, emoji or " ", **more)

    replace(InteropClient, "send_reaction", send_blank)


@wrong_client("MSG-12.reaction-removal-in")
def ignores_removed_reactions() -> None:
    """Takes an empty reaction for none, and leaves the old one."""
    show = screen._SHOWN[ReactionReceived]
    _shows(ReactionReceived, lambda event: show(event) if event.emoji else {})


@wrong_client("MSG-12.edit-out")
def edits_its_last_edit() -> None:
    """Names in a second edit the message of the first, and not the one that was edited."""
    send, last = InteropClient.send_edit, WeakKeyDictionary[InteropClient, dict[str, str]]()

    async def send_chained(self: InteropClient, to: str, message_id: str, text: str) -> SentMessage:
        edits = last.setdefault(self, {})
        sent = await send(self, to, edits.get(message_id, message_id), text)
        edits[message_id] = sent.id
        return sent

    replace(InteropClient, "send_edit", send_chained)


@wrong_client("MSG-12.deletion-out", also=("RCP-03.deleted-is-not-sent-again",))
def deletes_on_its_own_side_only() -> None:
    """Does not tell the peer that a message was deleted."""

    async def send_nothing(self: InteropClient, to: str, message_id: str) -> SentMessage:
        return SentMessage(self.state.take_message_id(), 0)

    replace(InteropClient, "send_deletion", send_nothing)


@wrong_client("MSG-12.deletion-in")
def keeps_deleted_messages() -> None:
    """Does nothing when a peer deletes a message."""
    _shows(DeletionReceived, lambda _: {})


@wrong_client("MSG-12.edit-in")
def shows_edits_as_texts() -> None:
    """Shows the text of an edit as a new message."""

    def show(event: EditReceived) -> dict[str, Any]:
        return {"text_shown": pb.TextShown(sender_jid=event.sender, message_id=event.id, text=event.text)}

    _shows(EditReceived, show)


@wrong_client("MSG-12.edit-before-its-text")
def drops_a_text_whose_edit_came_first() -> None:
    """Notes the id that an edit names as seen, and takes the text for a repetition."""
    settle, edited = Changes.settle, WeakKeyDictionary[Changes, set[str]]()

    def settle_once(self: Changes, event: Message, *rest: Any, is_here: bool) -> tuple[Message, ...]:
        seen = edited.setdefault(self, set())
        if isinstance(event, EditReceived) and not is_here:
            seen.add(event.target_id)
        return () if event.id in seen else settle(self, event, *rest, is_here=is_here)

    replace(Changes, "settle", settle_once)


@wrong_client("MSG-12.nobody-edits-for-another")
def lets_anybody_edit() -> None:
    """Changes whatever message an edit names, whoever has sent it."""
    settle = Changes.settle

    def parse_as_own(plaintext: bytes) -> content_pb2.Message:
        content = parse_message(plaintext)
        if content.HasField("protocol_message"):
            content.protocol_message.key.from_me = True
        return content

    def settle_any(self: Changes, event: Message, *rest: Any, is_here: bool) -> tuple[Message, ...]:
        return (event,) if isinstance(event, EditReceived) else settle(self, event, *rest, is_here=is_here)

    replace(inbox, "parse_message", parse_as_own)
    replace(Changes, "settle", settle_any)


@wrong_client("MSG-12.change-without-a-type")
def takes_an_absent_type_for_a_deletion() -> None:
    """Reads a change whose type is absent as 0, which is a deletion."""

    def parse_with_type(plaintext: bytes) -> content_pb2.Message:
        content = parse_message(plaintext)
        if content.HasField("protocol_message"):
            content.protocol_message.type = content.protocol_message.type
        return content

    replace(inbox, "parse_message", parse_with_type)


@wrong_client("MSG-12.typing-out")
def types_in_secret() -> None:
    """Tells nobody that its user types."""

    async def send_nothing(self: InteropClient, to: str, state: int = 0) -> None:
        pass

    replace(InteropClient, "send_typing", send_nothing)


@wrong_client("MSG-12.typing-in")
def shows_no_typing() -> None:
    """Does not show that a peer begins to type."""
    show = screen._SHOWN[Typing]
    _shows(Typing, lambda event: {} if event.state == "COMPOSING" else show(event))


@wrong_client("MSG-12.typing-ends-in")
def shows_typing_without_an_end() -> None:
    """Shows again that a peer types when they have stopped."""

    def show(event: Typing) -> dict[str, Any]:
        activity = pb.TYPING_ACTIVITY_COMPOSING
        return {"typing_shown": pb.TypingShown(sender_jid=event.sender, activity=activity)}

    _shows(Typing, show)


@wrong_client("MSG-12.typing-ends-out")
def never_stops_typing() -> None:
    """Tells the peer when its user begins to type, and not when they stop."""
    send = InteropClient.send_typing

    async def send_beginning(
        self: InteropClient, to: str, state: stanza_pb2.TypingState.ValueType = stanza_pb2.TYPING_STATE_COMPOSING
    ) -> None:
        if state != stanza_pb2.TYPING_STATE_PAUSED:
            await send(self, to, state)

    replace(InteropClient, "send_typing", send_beginning)


@wrong_client("MSG-12.sticker-is-marked", "MSG-12.newer-content-is-marked", also=("MSG-12.unknown-kind",))
def shows_unknown_contents_as_texts() -> None:
    """Shows an empty text for a content that it does not know."""
    _shows(Unsupported, lambda event: {"text_shown": pb.TextShown(sender_jid=event.sender, message_id=event.id)})


@wrong_client("MSG-12.newer-field-beside-a-text", also=("MSG-12.unknown-field",))
def refuses_what_has_newer_fields() -> None:
    """Does not show a text beside which stands a field that it does not know."""

    def make_strictly(content: content_pb2.Message, envelope: Incoming) -> Message:
        event = message_event(content, envelope)
        if content_fields(content) and len(UnknownFieldSet(content)) > 0:
            return Unsupported(event.sender, event.id, event.timestamp_ms, "", "", event.offline, kind="FIELD")
        return event

    replace(inbox, "message_event", make_strictly)


def _shows(kind: type, show: Any) -> None:
    replace(screen, "_SHOWN", {**screen._SHOWN, kind: show})
