"""Shows on a phone what happens: each event of the client, and what the server lists; knows no client."""

from collections import OrderedDict
from functools import singledispatchmethod

from interop_api.v1 import interop_pb2, stanza_pb2
from interop_client.messaging.events import (
    ChangeRefused,
    ConnectionLost,
    DeletionReceived,
    EditReceived,
    Event,
    IdentityChanged,
    Incoming,
    MediaReceived,
    MessageAwaited,
    MessageHeld,
    ReachabilityPing,
    ReactionReceived,
    ReceiptReceived,
    TextReceived,
    Typing,
    Undecryptable,
    Unsupported,
)
from interop_workbench.phone import Phone, ShownFile, ShownMessage

MAX_EARLY = 100
"""How many receipts may wait for the answer to the message that they are about."""

_STATES = {
    stanza_pb2.MESSAGE_REQUEST_STATE_REQUESTED: "requested",
    stanza_pb2.MESSAGE_REQUEST_STATE_ACCEPTED: "accepted",
    stanza_pb2.MESSAGE_REQUEST_STATE_DECLINED: "declined",
}
NEW_KEY = "Their security code has changed: this may be a new phone, or somebody else."


class Screen:
    """Changes what a phone shows.

    Args:
        phone: The phone.
    """

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._early: OrderedDict[tuple[str, str], str] = OrderedDict()

    def is_new(self, message: Incoming) -> bool:
        """Says whether the server should be asked about the chat of a message: it is new, or stands otherwise now."""
        chat = self._phone.chats.get(message.sender)
        return chat is None or chat.title == chat.peer

    def show_chat(self, listed: interop_pb2.ThirdPartyChat, partner: str) -> None:
        """Shows a chat as the server lists it.

        Args:
            listed: The chat.
            partner: Name of its messenger; empty when the person cannot choose it any more.
        """
        chat = self._phone.chat(listed.peer_jid)
        chat.title = listed.external_id or listed.peer_jid
        chat.integrator, chat.partner = listed.integrator, partner or chat.partner
        chat.is_read_only = listed.read_only
        chat.request_state = _STATES.get(listed.request_state, "")

    def catch_up(self, peer: str, message_id: str) -> None:
        """Shows how far a message has come, if its receipts were quicker than the answer to it."""
        tick = self._early.pop((peer, message_id), "")
        if tick:
            self._phone.chat(peer).tick([message_id], tick)

    @singledispatchmethod
    def show(self, event: Event) -> None:
        """Shows an event; what the owner of a phone does not see changes nothing."""

    @show.register
    def _text(self, event: TextReceived) -> None:
        self._show(event, event.text, reply_to=event.reply_to or "")

    @show.register
    def _file(self, event: MediaReceived) -> None:
        media = event.media
        shown = self._show(event, "", "file")
        shown.file = ShownFile(media.name, media.mimetype, media.encrypted.plaintext_length)

    @show.register
    def _unsupported(self, event: Unsupported) -> None:
        self._show(event, "This message cannot be shown here.", "unsupported")

    @show.register
    def _reaction(self, event: ReactionReceived) -> None:
        chat = self._phone.chat(event.sender)
        shown = chat.find(event.target_id, is_own=True) or chat.find(event.target_id, is_own=False)
        if shown is None:
            return
        shown.reactions.pop("them", None)
        if event.emoji:
            shown.reactions["them"] = event.emoji[:16]

    @show.register
    def _edit(self, event: EditReceived) -> None:
        shown = self._phone.chat(event.sender).find(event.target_id, is_own=False)
        if shown is not None and not shown.is_deleted:
            shown.text, shown.is_edited = event.text, True

    @show.register
    def _deletion(self, event: DeletionReceived) -> None:
        shown = self._phone.chat(event.sender).find(event.target_id, is_own=False)
        if shown is not None:
            shown.text, shown.file, shown.is_deleted = "", None, True

    @show.register
    def _refused_change(self, event: ChangeRefused) -> None:
        """Leaves the message as it is."""

    @show.register
    def _awaited(self, event: MessageAwaited) -> None:
        self._show_without(event.sender, event.id, "Waiting for this message.", "awaited")

    @show.register
    def _held(self, event: MessageHeld) -> None:
        self._phone.chat(event.sender).warning = NEW_KEY
        self._show_without(event.sender, event.id, "This message waits for your decision about their new key.", "held")

    @show.register
    def _lost(self, event: Undecryptable) -> None:
        self._show_without(event.sender, event.id, "This message cannot be read.", "lost")

    @show.register
    def _receipt(self, event: ReceiptReceived) -> None:
        tick = "read" if event.is_read else "delivered"
        chat = self._phone.chat(event.sender)
        for message_id in event.message_ids:
            if chat.find(message_id, is_own=True) is None:
                self._early[event.sender, message_id] = tick
        while len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)
        chat.tick(event.message_ids, tick)

    @show.register
    def _typing(self, event: Typing) -> None:
        self._phone.chat(event.sender).typing = "" if event.state == "PAUSED" else event.state.lower()

    @show.register
    def _identity(self, event: IdentityChanged) -> None:
        self._phone.chat(event.jid).warning = NEW_KEY

    @show.register
    def _ping(self, event: ReachabilityPing) -> None:
        words = f"{event.display_name} on {event.partner_name} would like to write to you."
        self._phone.notice("ping", words, event.timestamp_ms)

    @show.register
    def _end(self, event: ConnectionLost) -> None:
        self._phone.notice("connection", f"{event.reason}: {event.advice}")

    def _show(self, event: Incoming, text: str, kind: str = "text", reply_to: str = "") -> ShownMessage:
        chat = self._phone.chat(event.sender)
        if event.request_state:
            chat.request_state = event.request_state.lower()
        shown = ShownMessage(event.id, False, text, event.timestamp_ms, kind, reply_to=reply_to)
        return self._phone.show(event.sender, shown)

    def _show_without(self, peer: str, message_id: str, text: str, kind: str) -> None:
        self._phone.show(peer, ShownMessage(message_id, False, text, 0, kind))
