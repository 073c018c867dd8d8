"""What becomes of items that are put into mailboxes together, whatever keeps them; knows no database."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from interop_server.core.messages import Delivery, MailboxItem, RequestAnswer, SentMessage, StanzaKind, Stored
from interop_server.core.model import InboxMode, MessageRequestState

Key = tuple[int, str]
"""What a message is known by: its sender and its id."""


@dataclass(slots=True)
class End:
    """An account that an item comes from or goes to."""

    newest_id: int
    """Of what waits for it; 0 when nothing does."""
    inbox_mode: InboxMode


def named_in(items: Iterable[MailboxItem]) -> set[int]:
    """Returns the accounts that some items come from or go to."""
    pairs = {(item.recipient_id, item.sender_id) for item in items}  # of most batches one or a few
    return {account_id for pair in pairs for account_id in pair if account_id}


def message_keys(items: Iterable[MailboxItem]) -> list[Key]:
    """Returns what the messages among some items are known by."""
    message = StanzaKind.MESSAGE
    return [(item.sender_id, item.stanza_id) for item in items if item.kind is message]


def answers_in(messages: Iterable[MailboxItem]) -> list[RequestAnswer]:
    """Returns what some messages answer by being stored."""
    entries = {id(message.chat): message.chat for message in messages}  # of most batches one or a few
    return [entry.answer for entry in entries.values() if entry is not None and entry.answer is not None]


class Arrivals:
    """Items in their order, messages once per (sender, id) unless a retry receipt allows a resend.

    Args:
        items: All of them.
        named: `named_in` them.
        keys: `message_keys` of them.
        before: What is remembered of their messages; is changed for those that are sent again.
        ends: The accounts that exist, of those that are named.
    """

    def __init__(
        self,
        items: Sequence[MailboxItem],
        named: Set[int],
        keys: Sequence[Key],
        before: dict[Key, SentMessage],
        ends: Mapping[int, End],
    ) -> None:
        self._items = items
        self._ends = ends
        self.sent_again: list[MailboxItem] = []
        """Messages that a retry receipt allowed: what is remembered of them changes."""
        # Most batches repeat nothing, and all accounts exist: then nothing is asked of each item.
        is_new = not before and len(set(keys)) == len(keys)
        self._stored: list[Stored | None] = [None] * len(items) if is_new else self._repetitions(before)
        """What its sender hears of each item that goes into no mailbox."""
        fresh = items if is_new else [item for item, known in zip(items, self._stored, strict=True) if known is None]
        # An account can end while its messages are on the way: these vanish, like its mailbox (LIF-05).
        gone = named - ends.keys()
        if gone:
            fresh = [item for item in fresh if item.recipient_id not in gone and item.sender_id not in gone]
        message = StanzaKind.MESSAGE
        self.messages = [item for item in fresh if item.kind is message]
        """Those that are not repetitions: each touches its chat."""
        self.first_sent = (
            self.messages
            if is_new
            else [item for item in self.messages if (item.sender_id, item.stanza_id) not in before]
        )
        """Messages of which nothing is remembered yet."""
        self.waiting = [item for item in fresh if not item.is_dropped]
        """What goes into mailboxes."""
        if len(self.waiting) < len(items):
            self._stored = [
                Stored(item.timestamp_ms, False)
                if known is None and (item.is_dropped or item.recipient_id in gone or item.sender_id in gone)
                else known
                for item, known in zip(items, self._stored, strict=True)
            ]

    def _repetitions(self, before: dict[Key, SentMessage]) -> list[Stored | None]:
        """Returns for each item what was stored in its place, if it repeats one."""
        sent: dict[Key, MailboxItem] = {}
        found: list[Stored | None] = []
        for item in self._items:
            first: MailboxItem | SentMessage | None = None
            if item.kind is StanzaKind.MESSAGE:
                key = (item.sender_id, item.stanza_id)
                known = before.get(key)
                if known is None:
                    first = sent.get(key)
                    sent.setdefault(key, item)
                elif known.allows_resend(item.recipient_id, item.retry_count):
                    before[key] = known._replace(retry_count=item.retry_count)
                    self.sent_again.append(item)
                else:
                    first = known
            found.append(first and Stored(first.timestamp_ms, True, first.recipient_id != item.recipient_id))
        return found

    def stored(self, ids: Iterable[int], states: Mapping[tuple[int, int], MessageRequestState | None]) -> list[Stored]:
        """Returns what their senders hear of them, in their order.

        Args:
            ids: Of the deliveries of `waiting`, in its order; more are left over.
            states: Of the chats of `messages`, by recipient and sender.
        """
        found: list[Stored] = []
        given, message, receipt = iter(ids), StanzaKind.MESSAGE, StanzaKind.RECEIPT
        for item, known in zip(self._items, self._stored, strict=True):
            if known is not None:
                found.append(known)
                continue
            recipient_id, sender_id, _, kind, _, _, _, timestamp_ms, _, _, _, _, _ = item
            end, delivery_id = self._ends[recipient_id], next(given)
            if kind is message or kind is receipt:
                state = states.get((recipient_id, sender_id)) if kind is message else None
                delivery = Delivery(delivery_id, item, end.inbox_mode, state)
                found.append(Stored(timestamp_ms, False, False, delivery, end.newest_id))
            else:  # notifications may be left out, or wait for a capability: they are looked for
                found.append(Stored(timestamp_ms, False))
            end.newest_id = delivery_id
        return found
