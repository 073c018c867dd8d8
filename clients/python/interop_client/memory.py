"""A client's memory of deliveries, besides keys and sessions; knows no key and no wire.

All of it is bounded and saved with the state: without it, a client would show a message twice, ask for one for ever, or
accept an edit of an old text.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self, TypeVar

from interop_protocol.json_text import plain_text, whole_number

MAX_ASKED = 1_000
"""How many messages that this client asked for again it remembers; it forgets the oldest."""

EDIT_WINDOW_MS = 1_200_000
"""How long after a text its sender may edit it: twenty minutes, by the server's time; observed."""
MAX_TEXTS = 256
"""How many texts that senders may still edit the client remembers; it forgets the oldest."""

MAX_FINISHED = 10_000
"""How many finished deliveries the client remembers at most; it needs as many as the server may have in flight."""
MAX_OPENED = 64
"""How many opened deliveries the client keeps until they are finished: one at a time, and some that never come."""
MAX_WAITING_CHANGES = 64
"""How many messages that have not come a change can wait for; one more is refused."""
MAX_WAITING_BYTES = 256 * 1024
"""How long all waiting changes may be together."""
MAX_WAIT_MS = 30 * 24 * 3_600_000
"""How long a change waits: no message waits longer on the server."""

KEY_BYTES = 8
"""Length of a delivery's key."""

MessageName = tuple[str, str]
"""JID of the sender, and id of the message."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class WaitingChange:
    """An edit or a deletion of a message that has not come yet."""

    message_id: str
    """Id of the change itself."""
    timestamp_ms: int
    """When the server accepted it."""
    plaintext: bytes = field(repr=False)
    """The decrypted change, without padding."""
    is_proved: bool
    """Whether its reporting token was right."""


@dataclass(slots=True)
class Asked:
    """This client's requests to send a message again."""

    count: int = 0
    """How often it asked."""
    prekey_ids: list[int] = field(default_factory=list)
    """One-time prekeys that it gave to the sender alone, and never published."""


@dataclass(slots=True)
class TextTimes:
    """When a text came, and how new its last edit is."""

    came_ms: int
    """When the server accepted the text."""
    edited_ms: int = 0
    """When its sender made the newest edit that came, on their clock; 0 before the first."""


@dataclass(slots=True)
class DeliveryMemory:
    """A client's memory of deliveries."""

    finished: dict[bytes, None] = field(default_factory=dict)
    """Keys of the deliveries that the application has finished, oldest first: what comes again is acked, not shown."""
    opened: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    """Plaintexts of the messages that the application is at work on, by their deliveries' keys: their message keys are
    used up, so a delivery that comes again after a crash can be opened only with this."""
    asked: dict[MessageName, Asked] = field(default_factory=dict)
    """Messages that this client asked for again, oldest first."""

    texts: dict[MessageName, TextTimes] = field(default_factory=dict)
    """Texts that senders may still edit, oldest first."""
    changes: dict[MessageName, WaitingChange] = field(default_factory=dict)
    """The newest change of each message that has not come yet, oldest first."""

    def finish(self, key: bytes, bound: int = MAX_FINISHED) -> None:
        """Remembers that the application has finished a delivery, and forgets the oldest beyond the bound."""
        self.opened.pop(key, None)
        self.finished.pop(key, None)
        self.finished[key] = None
        _forget_oldest(self.finished, min(bound, MAX_FINISHED))

    def keep_opened(self, key: bytes, plaintext: bytes) -> None:
        """Keeps the plaintext of a message until the application has finished its delivery."""
        self.opened[key] = plaintext
        _forget_oldest(self.opened, MAX_OPENED)

    def wait(self, target: MessageName, change: WaitingChange) -> bool:
        """Keeps a change until its message comes, instead of an earlier one; says whether there was room."""
        kept = {
            name: other
            for name, other in self.changes.items()
            if name != target and change.timestamp_ms - other.timestamp_ms <= MAX_WAIT_MS
        }
        length = sum(len(other.plaintext) for other in kept.values()) + len(change.plaintext)
        if len(kept) >= MAX_WAITING_CHANGES or length > MAX_WAITING_BYTES:
            return False
        self.changes = kept | {target: change}
        return True

    def text_came(self, name: MessageName, timestamp_ms: int) -> None:
        """Remembers a text, and forgets those that their senders may no longer edit."""
        self.texts.setdefault(name, TextTimes(timestamp_ms))
        for other in [other for other, times in self.texts.items() if timestamp_ms - times.came_ms > EDIT_WINDOW_MS]:
            del self.texts[other]
        _forget_oldest(self.texts, MAX_TEXTS)

    def may_edit(self, name: MessageName, timestamp_ms: int) -> bool:
        """Says whether an edit that the server accepted at that time may change a text."""
        times = self.texts.get(name)
        return times is not None and timestamp_ms - times.came_ms <= EDIT_WINDOW_MS

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

    def private_prekeys(self) -> list[int]:
        """Returns the ids of the prekeys that were given to single senders, and that none of them has used."""
        return [key_id for asked in self.asked.values() for key_id in asked.prekey_ids]

    def forget_oldest_asked(self) -> list[int]:
        """Forgets the oldest requests beyond the bound, and returns the ids of the prekeys given to the senders."""
        beyond = list(islice(self.asked, max(0, len(self.asked) - MAX_ASKED)))
        return [key_id for name in beyond for key_id in self.forget_asked(name)]

    def to_json(self) -> dict[str, Any]:
        """Returns the memory as a value that JSON can hold."""
        return {
            "finished": _text(b"".join(self.finished)),
            "opened": [[_text(key), _text(plaintext)] for key, plaintext in self.opened.items()],
            "asked": [[*name, asked.count, asked.prekey_ids] for name, asked in self.asked.items()],
            "texts": [[*name, times.came_ms, times.edited_ms] for name, times in self.texts.items()],
            "changes": [
                [*name, change.message_id, change.timestamp_ms, _text(change.plaintext), change.is_proved]
                for name, change in self.changes.items()
            ],
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """Restores the memory from a value of `to_json`, also of a release that knew no finished deliveries.

        Raises:
            ValueError, KeyError, TypeError: The value is not one of `to_json`.
        """
        keys = _bytes(saved.get("finished", ""))
        if len(keys) % KEY_BYTES:
            raise ValueError("the keys of deliveries are cut off")
        return cls(
            finished={keys[at : at + KEY_BYTES]: None for at in range(0, len(keys), KEY_BYTES)},
            opened={_bytes(key): _bytes(plaintext) for key, plaintext in saved.get("opened", ())},
            asked={
                _name(sender, message_id): Asked(whole_number(count), [whole_number(key_id) for key_id in ids])
                for sender, message_id, count, ids in saved["asked"]
            },
            texts={
                _name(sender, message_id): TextTimes(*map(whole_number, times))
                for sender, message_id, *times in saved["texts"]
            },
            changes={
                _name(sender, target_id): WaitingChange(
                    plain_text(message_id), whole_number(timestamp_ms), _bytes(plaintext), is_proved is True
                )
                for sender, target_id, message_id, timestamp_ms, plaintext, is_proved in saved.get("changes", ())
            },
        )


def _name(sender: Any, message_id: Any) -> MessageName:
    return plain_text(sender), plain_text(message_id)


def _forget_oldest(memory: dict[K, V], bound: int) -> None:
    for oldest in list(islice(memory, max(0, len(memory) - bound))):
        del memory[oldest]


def _text(value: bytes) -> str:
    return b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)
