"""What a person sees on their phone, as their own client has told it; knows no client and no network.

Everything here comes from outside, so everything is bounded: chats, messages in a chat, and the length of texts.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

MAX_CHATS = 200
MAX_MESSAGES = 500
"""In a chat."""
MAX_NOTICES = 50
MAX_SHOWN_CHARACTERS = 4_096
"""Of a text, as it is shown."""

TICKS = ("pending", "sent", "delivered", "read")
"""How far a message of one's own has come. `failed` is none of them: nothing follows it."""


@dataclass(slots=True)
class ShownFile:
    """A file in a chat."""

    name: str
    """Its name, or the caption of a picture; may be empty."""
    mimetype: str
    """As its sender says."""
    length: int
    """Bytes."""
    state: str = "loading"
    """`loading`, `ready`, `too long`, `gone` or `broken`."""
    is_picture: bool = False
    """Whether it is a picture that a page may show."""


@dataclass(slots=True)
class ShownMessage:
    """A message in a chat."""

    id: str
    is_own: bool
    text: str
    at_ms: int
    """When the server accepted it: milliseconds since the UNIX epoch."""
    kind: str = "text"
    """`text`, `file`, `unsupported`, `awaited`, `held` or `lost`."""
    tick: str = ""
    """Of one's own message: one of `TICKS`, or `failed`; otherwise empty."""
    reply_to: str = ""
    """Id of the message that it answers; may be empty."""
    reactions: dict[str, str] = field(default_factory=dict)
    """`me` and `them` → emoji."""
    is_edited: bool = False
    is_deleted: bool = False
    is_read: bool = False
    """Whether this person has read it."""
    file: ShownFile | None = None


@dataclass(slots=True)
class Chat:
    """A chat with a third-party user."""

    peer: str
    """JID."""
    title: str
    """The name by which the person knows them."""
    integrator: int = 0
    partner: str = ""
    """Name of the messenger."""
    request_state: str = ""
    """`requested` while it is a message request, then `accepted` or `declined` (OPT-14)."""
    is_read_only: bool = False
    """Whether the person has turned third-party chats off for the messenger (OPT-06)."""
    is_blocked: bool = False
    typing: str = ""
    """`composing` or `recording`, while the peer does."""
    warning: str = ""
    """What the person should know about the peer's keys; may be empty (KEY-17)."""
    messages: "OrderedDict[tuple[bool, str], ShownMessage]" = field(default_factory=OrderedDict)
    """By whose it is and its id, oldest first."""
    is_forgotten: bool = False
    """Whether older messages are no longer shown."""

    def show(self, message: ShownMessage) -> ShownMessage:
        """Shows a message, in place of one with the same id of the same sender."""
        message.text = message.text[:MAX_SHOWN_CHARACTERS]
        self.messages[message.is_own, message.id] = message
        while len(self.messages) > MAX_MESSAGES:
            self.messages.popitem(last=False)
            self.is_forgotten = True
        return message

    def find(self, message_id: str, *, is_own: bool) -> ShownMessage | None:
        """Returns a message that is shown."""
        return self.messages.get((is_own, message_id))

    def unread(self) -> list[ShownMessage]:
        """Returns the peer's messages that the person has not read, oldest first."""
        return [message for message in self.messages.values() if not message.is_own and not message.is_read]

    def tick(self, message_ids: Iterable[str], tick: str) -> None:
        """Notes how far messages of one's own have come. What comes late takes nothing back."""
        for message_id in message_ids:
            message = self.find(message_id, is_own=True)
            if message is not None and (message.tick not in TICKS or TICKS.index(message.tick) < TICKS.index(tick)):
                message.tick = tick


@dataclass(slots=True)
class Notice:
    """Something that the phone tells its owner outside of a chat."""

    kind: str
    """`ping`, `connection` or `keys`."""
    text: str
    at_ms: int = 0
    """Milliseconds since the UNIX epoch; 0 when the server has not said."""


@dataclass(slots=True)
class Phone:
    """A person's phone."""

    name: str
    phone_number: str
    habit: str
    jid: str = ""
    is_online: bool = False
    has_accepted_terms: bool = False
    is_enabled: bool = False
    """Whether third-party chats are turned on as a whole (OPT-02)."""
    integrators: tuple[int, ...] = ()
    """The chosen messengers."""
    inbox: str = "separate"
    """How third-party chats are shown: `separate` or `combined` (OPT-05)."""
    chats: dict[str, Chat] = field(default_factory=dict)
    """By the peer's JID, the one with the newest message last."""
    notices: list[Notice] = field(default_factory=list)
    """The newest, oldest first."""

    def chat(self, peer: str) -> Chat:
        """Returns the chat with a peer, and begins one when there is none."""
        if peer not in self.chats:
            while len(self.chats) >= MAX_CHATS:
                del self.chats[next(iter(self.chats))]
            self.chats[peer] = Chat(peer, peer)
        return self.chats[peer]

    def show(self, peer: str, message: ShownMessage) -> ShownMessage:
        """Shows a message in the chat with a peer, which comes first in the list then."""
        chat = self.chat(peer)
        self.chats[peer] = self.chats.pop(peer)
        if not message.is_own:
            chat.typing = ""
        return chat.show(message)

    def notice(self, kind: str, text: str, at_ms: int = 0) -> None:
        """Tells the owner something."""
        self.notices = [*self.notices, Notice(kind, text[:MAX_SHOWN_CHARACTERS], at_ms)][-MAX_NOTICES:]

    def as_json(self, open_peer: str | None = None) -> dict[str, Any]:
        """Returns what the phone shows: the fields, with chats and their messages as lists, the newest chat first.

        Args:
            open_peer: The only chat of which more than the newest message is wanted; None for all of all.
        """
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "integrators": list(self.integrators),
            "chats": [
                _chat_as_json(chat, is_whole=open_peer in (None, chat.peer)) for chat in reversed(self.chats.values())
            ],
            "notices": [asdict(notice) for notice in self.notices],
        }


_PLAIN = ("name", "phone_number", "habit", "jid", "is_online", "has_accepted_terms", "is_enabled", "inbox")


def _chat_as_json(chat: Chat, *, is_whole: bool) -> dict[str, Any]:
    messages = chat.messages.values() if is_whole else islice(reversed(chat.messages.values()), 1)
    shown = {
        name: getattr(chat, name)
        for name in (
            "peer",
            "title",
            "integrator",
            "partner",
            "request_state",
            "is_read_only",
            "is_blocked",
            "typing",
            "warning",
            "is_forgotten",
        )
    }
    return {
        **shown,
        "unread": len(chat.unread()),
        "messages": [asdict(message) for message in messages],
    }
