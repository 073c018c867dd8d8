"""The mailbox against a model: order, dedupe, resends, acks, redelivery, expiry, whatever is done in whatever order."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from interop_server.core.messages import Backlog, Delivery, MailboxItem, RetryOutcome, SentMessage, StanzaKind, Stored
from interop_server.core.model import Account, Platform
from interop_server.core.store import Store
from tests.stores import open_store

TOKEN = bytes(range(16))
MOST_RETRIES = 5

_PEOPLE = ("491", "492", "493")
_people = st.sampled_from(range(len(_PEOPLE)))
_at = st.integers(1, 50)
_ids = st.sampled_from("abcdefgh")
_counts = st.integers(0, 5)
_message = st.tuples(_people, _people, _ids, _at, st.binary(max_size=20), _counts, st.sampled_from([b"", TOKEN]))
_drawn_message = st.tuples(_message, st.sampled_from([False, False, False, True]))
_receipt = st.tuples(_people, _people, st.just(""), _at, st.just(b"a"))


@dataclass
class _Sent:
    """What the model remembers of a message."""

    first: MailboxItem
    retry_count: int
    allowed: int = 0
    forwarded: int = 0


class MailboxMachine(RuleBasedStateMachine):
    """One store, and lists in memory that must say the same."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.waiting: dict[int, list[MailboxItem]] = {}
        self.delivery_ids: dict[int, list[int]] = {}
        self.sent: dict[tuple[int, str], _Sent] = {}
        self.given_ids: set[int] = set()
        self.store = self._open()
        self.people: list[Account] = []
        for digits in _PEOPLE:
            put = self.store.accounts.put_whatsapp_user(f"{digits}@s.whatsapp.net", digits, bytes(32), Platform.WEB, 1)
            self.people.append(self.runner.run(put))
        for person in self.people:
            self.waiting[person.account_id] = []
            self.delivery_ids[person.account_id] = []

    def _open(self) -> Store:
        return self.runner.run(open_store(Path(self.folder.name)))

    def _item(self, kind: StanzaKind, drawn: tuple[Any, ...], is_dropped: bool = False) -> MailboxItem:
        sender, recipient = self.people[drawn[0]], self.people[drawn[1]]
        item = MailboxItem(recipient.account_id, sender.account_id, sender.jid, kind, 1, 0, *drawn[2:])
        return item._replace(is_dropped=is_dropped)

    @rule(calls=st.lists(st.lists(_drawn_message, max_size=6), min_size=1, max_size=4))
    def put_messages(self, calls: list[list[tuple[tuple[Any, ...], bool]]]) -> None:
        """Several calls at once, some resends, some dropped: they count in the order in which they were made."""
        batches = [[self._item(StanzaKind.MESSAGE, *drawn) for drawn in call] for call in calls]
        expected = [[self._send(item) for item in batch] for batch in batches]

        async def put() -> list[list[Stored]]:
            return await asyncio.gather(*(self.store.mailbox.put(batch) for batch in batches))

        results = self.runner.run(put())
        self._check_handed_over([stored for result in results for stored in result])
        assert [[stored._replace(delivery=None, follows=0) for stored in result] for result in results] == expected

    def _check_handed_over(self, results: list[Stored]) -> None:
        """What a call returns is what the mailbox lists, and names what waits right before it."""
        listed: dict[int, tuple[Delivery, int]] = {}
        for account_id in self.waiting:
            before = 0
            for delivery in self.runner.run(self.store.mailbox.list_deliveries(account_id, 0, 1000, 0)):
                listed[delivery.delivery_id] = (delivery, before)
                before = delivery.delivery_id
        for stored in results:
            if stored.delivery is not None:
                assert (stored.delivery, stored.follows) == listed[stored.delivery.delivery_id]

    def _send(self, item: MailboxItem) -> Stored:
        before = self.sent.get((item.sender_id, item.stanza_id))
        if before is None:
            self.sent[item.sender_id, item.stanza_id] = _Sent(item, item.retry_count)
        elif item.recipient_id == before.first.recipient_id and before.retry_count < item.retry_count <= before.allowed:
            before.retry_count = item.retry_count
        else:
            elsewhere = item.recipient_id != before.first.recipient_id
            return Stored(before.first.timestamp_ms, duplicate=True, other_recipient=elsewhere)
        if not item.is_dropped:
            self.waiting[item.recipient_id].append(item)
        return Stored(item.timestamp_ms, duplicate=False)

    @rule(drawn=st.tuples(_people, _people, _ids, _at, st.just(b"{}"), st.integers(1, 5)))
    def put_retry_receipt(self, drawn: tuple[Any, ...]) -> None:
        """Somebody asks for a message again: of those that were sent to them, five times each."""
        item = self._item(StanzaKind.RETRY_RECEIPT, drawn)
        sent = self.sent.get((item.recipient_id, item.stanza_id))
        if sent is None or sent.first.is_dropped or sent.first.recipient_id != item.sender_id:
            expected = RetryOutcome.NEVER_SENT
        elif sent.forwarded == MOST_RETRIES:
            expected = RetryOutcome.TOO_MANY
        else:
            expected = RetryOutcome.FORWARDED
            sent.forwarded += 1
            sent.allowed = max(sent.allowed, item.retry_count)
            self.waiting[item.recipient_id].append(item)
        assert self.runner.run(self.store.mailbox.put_retry_receipt(item, MOST_RETRIES)) is expected

    @rule(person=_people)
    def remember(self, person: int) -> None:
        """What is known of a sender's messages is what they sent first, and how often again."""
        sender_id = self.people[person].account_id
        expected = {
            stanza_id: SentMessage(
                sent.first.recipient_id,
                sent.first.timestamp_ms,
                sent.first.reporting_token,
                sent.first.is_dropped,
                sent.retry_count,
                sent.allowed,
            )
            for (by, stanza_id), sent in self.sent.items()
            if by == sender_id
        }
        assert self.runner.run(self.store.sent.get(sender_id, list("abcdefghz"))) == expected

    @rule(receipts=st.lists(_receipt, max_size=4))
    def put_receipts(self, receipts: list[tuple[int, int, str, int, bytes]]) -> None:
        """Receipts are never duplicates."""
        items = [self._item(StanzaKind.RECEIPT, drawn) for drawn in receipts]
        for item in items:
            self.waiting[item.recipient_id].append(item)
        self.runner.run(self.store.mailbox.put(items))

    @rule(person=_people, acked=st.sets(st.integers(0, 12), max_size=8))
    def ack(self, person: int, acked: set[int]) -> None:
        """Acks by position, with another person's delivery ids among them."""
        account_id = self.people[person].account_id
        mine = self.delivery_ids[account_id]
        positions = [position for position in sorted(acked) if position < len(mine)]
        foreign = self.delivery_ids[self.people[person - 1].account_id]
        ids = [mine[position] for position in positions] + foreign
        self.runner.run(self.store.mailbox.delete(account_id, ids))
        waiting = self.waiting[account_id]
        self.waiting[account_id] = [item for position, item in enumerate(waiting) if position not in positions]

    @rule(before_ms=st.integers(1, 25))
    def expire(self, before_ms: int) -> None:
        """What is older goes."""
        old = [item for items in self.waiting.values() for item in items if item.timestamp_ms < before_ms]
        assert self.runner.run(self.store.mailbox.delete_expired(before_ms, 1_000)) == len(old)
        for account_id, items in self.waiting.items():
            self.waiting[account_id] = [item for item in items if item.timestamp_ms >= before_ms]

    @rule(before_ms=st.integers(1, 25))
    def forget(self, before_ms: int) -> None:
        """Ids of messages that are older are free again."""
        kept = {name: sent for name, sent in self.sent.items() if sent.first.timestamp_ms >= before_ms}
        assert self.runner.run(self.store.sent.delete_expired(before_ms, 1_000)) == len(self.sent) - len(kept)
        self.sent = kept

    @rule()
    def reopen(self) -> None:
        """A restart changes nothing."""
        self.runner.run(self.store.close())
        self.store = self._open()

    @rule(person=_people, skipped=st.integers(0, 5), limit=st.integers(1, 5), since_ms=_at)
    def page(self, person: int, skipped: int, limit: int, since_ms: int) -> None:
        """A page is that stretch of the whole."""
        account_id = self.people[person].account_id
        ids = self.delivery_ids[account_id]
        after = ids[skipped] if skipped < len(ids) else 0
        young = [
            item
            for delivery_id, item in zip(ids, self.waiting[account_id], strict=True)
            if delivery_id > after and item.timestamp_ms >= since_ms
        ]
        page = self.runner.run(self.store.mailbox.list_deliveries(account_id, after, limit, since_ms))
        assert [delivery.item for delivery in page] == young[:limit]

    @invariant()
    def everybody_sees_what_waits_for_them_in_order(self) -> None:
        for account_id, items in self.waiting.items():
            deliveries = self.runner.run(self.store.mailbox.list_deliveries(account_id, 0, 1000, 0))
            assert [delivery.item for delivery in deliveries] == items
            ids = [delivery.delivery_id for delivery in deliveries]
            new = set(ids) - set(self.delivery_ids[account_id])
            assert ids == sorted(ids)
            assert not new & self.given_ids, "a delivery id came twice"
            self.given_ids |= new
            self.delivery_ids[account_id] = ids
            kinds = [item.kind for item in items]
            counts = [kinds.count(kind) for kind in StanzaKind]
            assert self.runner.run(self.store.mailbox.get_backlog(account_id, 0)) == Backlog(
                *counts, ids[-1] if ids else 0
            )

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()


TestMailbox = MailboxMachine.TestCase
TestMailbox.settings = settings(max_examples=50, stateful_step_count=20)
