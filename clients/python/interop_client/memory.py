"""A client's memory of deliveries, besides keys and sessions; knows no key and no wire.

All of it is bounded and saved with the state: without it, a client would show a message twice, ask for one for ever, or
accept an edit of an old text.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self, TypeVar

MAX_ASKED = 1_000
"""How many messages that this client asked for again it remembers; it forgets the oldest."""

EDIT_WINDOW_MS = 1_200_000
"""How long after a text its sender may edit it: twenty minutes, by the server's time; observed."""
MAX_TEXTS = 256
"""How many texts that senders may still edit the client remembers; it forgets the oldest."""

MessageName = tuple[str, str]
"""JID of the sender, and id of the message."""

V = TypeVar("V")


@dataclass(slots=True)
class Asked:
    """This client's requests to send a message again."""

    count: int = 0
    """How often it asked."""
    prekey_ids: list[int] = field(default_factory=list)
    """One-time prekeys that it gave to the sender alone, and never published."""


@dataclass(slots=True)
class DeliveryMemory:
    """A client's memory of deliveries."""

    last_delivery_id: int = 0
    """The newest delivery that was opened. Ids rise: a later delivery with this id or a lower one is a repetition."""
    asked: dict[MessageName, Asked] = field(default_factory=dict)
    """Messages that this client asked for again, oldest first."""

    texts: dict[MessageName, int] = field(default_factory=dict)
    """Texts that senders may still edit, oldest first, with the time at which the server accepted each."""

    def text_came(self, name: MessageName, timestamp_ms: int) -> None:
        """Remembers a text, and forgets those that their senders may no longer edit."""
        self.texts.setdefault(name, timestamp_ms)
        late = [other for other, at_ms in self.texts.items() if timestamp_ms - at_ms > EDIT_WINDOW_MS]
        for other in late or list(islice(self.texts, max(0, len(self.texts) - MAX_TEXTS))):
            del self.texts[other]

    def may_edit(self, name: MessageName, timestamp_ms: int) -> bool:
        """Says whether an edit that the server accepted at that time may change a text."""
        came_ms = self.texts.get(name)
        return came_ms is not None and timestamp_ms - came_ms <= EDIT_WINDOW_MS

    def opened(self, delivery_id: int) -> None:
        """Remembers that a delivery was opened."""
        self.last_delivery_id = max(self.last_delivery_id, delivery_id)

    def ask_again(self, name: MessageName, came_with: int) -> Asked:
        """Counts another request for a message, and returns the requests for it.

        Args:
            name: The message.
            came_with: `retry_count` of the copy that came: a client that has forgotten its requests counts on from it.
        """
        asked = self.asked.pop(name, Asked())
        self.asked[name] = asked  # the newest
        asked.count = max(asked.count, came_with) + 1
        return asked

    def forget_asked(self, name: MessageName) -> list[int]:
        """Forgets the requests for a message, and returns the ids of the prekeys given to its sender."""
        asked = self.asked.pop(name, None)
        return asked.prekey_ids if asked is not None else []

    def forget_oldest_asked(self) -> list[int]:
        """Forgets the oldest requests beyond the bound, and returns the ids of the prekeys given to the senders."""
        beyond = list(islice(self.asked, max(0, len(self.asked) - MAX_ASKED)))
        return [key_id for name in beyond for key_id in self.forget_asked(name)]

    def to_json(self) -> dict[str, Any]:
        """Returns the memory as a value that JSON can hold."""
        return {
            "last_delivery_id": self.last_delivery_id,
            "asked": [[*name, asked.count, asked.prekey_ids] for name, asked in self.asked.items()],
            "texts": [[*name, timestamp_ms] for name, timestamp_ms in self.texts.items()],
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """Restores the memory from a value of `to_json`.

        Raises:
            ValueError, KeyError, TypeError: The value is not one of `to_json`.
        """
        asked = {(sender, message_id): Asked(count, ids) for sender, message_id, count, ids in saved["asked"]}
        texts = {(sender, message_id): timestamp_ms for sender, message_id, timestamp_ms in saved["texts"]}
        return cls(saved["last_delivery_id"], asked, texts)
