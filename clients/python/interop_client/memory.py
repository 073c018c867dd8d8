"""What a client remembers of deliveries, beside keys and sessions; knows no key and no wire.

All of it is bounded and saved with the state: a client that forgot it would show a message twice, ask for one for ever,
or let an old text be changed.
"""

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self, TypeVar

MAX_ASKED = 1_000
"""Messages that were asked for again and are remembered, the newest."""

EDIT_WINDOW_MS = 1_200_000
"""How long after a text its sender may change it: twenty minutes, by the server's time; observed."""
MAX_TEXTS = 256
"""Texts that can be changed and are remembered, the newest."""

MessageName = tuple[str, str]
"""JID of the sender, and id of the message."""

V = TypeVar("V")


@dataclass(slots=True)
class Asked:
    """How a message was asked for again."""

    count: int = 0
    """How often."""
    prekey_ids: list[int] = field(default_factory=list)
    """One-time prekeys that were given to its sender alone, and never published."""


@dataclass(slots=True)
class DeliveryMemory:
    """What is remembered of deliveries."""

    last_delivery_id: int = 0
    """The newest delivery that was opened. Ids rise: what comes later with this id or a lower one was there before."""
    asked: dict[MessageName, Asked] = field(default_factory=dict)
    """Messages that were asked for again, oldest first."""

    texts: dict[MessageName, int] = field(default_factory=dict)
    """When the server took the texts that can still be changed, oldest first."""

    def text_came(self, name: MessageName, timestamp_ms: int) -> None:
        """Notes a text, and forgets those that cannot be changed any more."""
        self.texts.setdefault(name, timestamp_ms)
        late = [other for other, at_ms in self.texts.items() if timestamp_ms - at_ms > EDIT_WINDOW_MS]
        for other in late or list(islice(self.texts, max(0, len(self.texts) - MAX_TEXTS))):
            del self.texts[other]

    def may_edit(self, name: MessageName, timestamp_ms: int) -> bool:
        """Says whether a text may be changed by what the server took at that time."""
        came_ms = self.texts.get(name)
        return came_ms is not None and timestamp_ms - came_ms <= EDIT_WINDOW_MS

    def opened(self, delivery_id: int) -> None:
        """Notes that a delivery was opened."""
        self.last_delivery_id = max(self.last_delivery_id, delivery_id)

    def ask_again(self, name: MessageName, came_with: int) -> Asked:
        """Counts a message as asked for once more, and returns how often that was.

        Args:
            name: The message.
            came_with: `retry_count` of the copy that came: whoever forgot how often they asked counts on from it.
        """
        asked = self.asked.pop(name, Asked())
        self.asked[name] = asked  # the newest
        asked.count = max(asked.count, came_with) + 1
        return asked

    def forget_asked(self, name: MessageName) -> list[int]:
        """Forgets a message that need not be asked for any more, and returns the ids of the prekeys it was given."""
        asked = self.asked.pop(name, None)
        return asked.prekey_ids if asked is not None else []

    def forget_oldest_asked(self) -> list[int]:
        """Forgets what is beyond the bound, and returns the ids of the prekeys that it was given."""
        beyond = list(islice(self.asked, max(0, len(self.asked) - MAX_ASKED)))
        return [key_id for name in beyond for key_id in self.forget_asked(name)]

    def to_json(self) -> dict[str, Any]:
        """Returns it in a form that JSON can hold."""
        return {
            "last_delivery_id": self.last_delivery_id,
            "asked": [[*name, asked.count, asked.prekey_ids] for name, asked in self.asked.items()],
            "texts": [[*name, timestamp_ms] for name, timestamp_ms in self.texts.items()],
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """Restores it from what `to_json` returned.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        asked = {(sender, message_id): Asked(count, ids) for sender, message_id, count, ids in saved["asked"]}
        texts = {(sender, message_id): timestamp_ms for sender, message_id, timestamp_ms in saved["texts"]}
        return cls(saved["last_delivery_id"], asked, texts)
