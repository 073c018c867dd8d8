"""The mailbox against a model: order, dedupe, acks, redelivery, expiry, whatever is done in whatever order."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from interop_server.core.model import Account, Backlog, MailboxItem, Platform, StanzaKind, Stored
from interop_server.storage import SqliteStore

_PEOPLE = ("491", "492", "493")
_people = st.sampled_from(range(len(_PEOPLE)))
_at = st.integers(1, 50)
_message = st.tuples(_people, _people, st.sampled_from("abcdefgh"), _at, st.binary(max_size=20))
_receipt = st.tuples(_people, _people, st.just(""), _at, st.just(b"a"))


class MailboxMachine(RuleBasedStateMachine):
    """One store, and lists in memory that must say the same."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.waiting: dict[int, list[MailboxItem]] = {}
        self.delivery_ids: dict[int, list[int]] = {}
        self.sent: dict[tuple[int, str], int] = {}
        self.given_ids: set[int] = set()
        self.store = self._open()
        self.people: list[Account] = []
        for digits in _PEOPLE:
            put = self.store.put_whatsapp_user(f"{digits}@s.whatsapp.net", digits, bytes(32), Platform.WEB, 1)
            self.people.append(self.runner.run(put))
        for person in self.people:
            self.waiting[person.account_id] = []
            self.delivery_ids[person.account_id] = []

    def _open(self) -> SqliteStore:
        return self.runner.run(SqliteStore.open(Path(self.folder.name) / "store.db"))

    def _item(self, kind: StanzaKind, drawn: tuple[int, int, str, int, bytes]) -> MailboxItem:
        sender, recipient = self.people[drawn[0]], self.people[drawn[1]]
        return MailboxItem(recipient.account_id, sender.account_id, sender.jid, kind, 1, 0, *drawn[2:])

    @rule(calls=st.lists(st.lists(_message, max_size=6), min_size=1, max_size=4))
    def put_messages(self, calls: list[list[tuple[int, int, str, int, bytes]]]) -> None:
        """Several calls at once: they count in the order in which they were made."""
        batches = [[self._item(StanzaKind.MESSAGE, drawn) for drawn in call] for call in calls]
        expected = [[self._send(item) for item in batch] for batch in batches]

        async def put() -> list[list[Stored]]:
            return await asyncio.gather(*(self.store.put_messages(batch) for batch in batches))

        assert self.runner.run(put()) == expected

    def _send(self, item: MailboxItem) -> Stored:
        name = (item.sender_id, item.stanza_id)
        if name in self.sent:
            return Stored(self.sent[name], duplicate=True)
        self.sent[name] = item.timestamp_ms
        self.waiting[item.recipient_id].append(item)
        return Stored(item.timestamp_ms, duplicate=False)

    @rule(receipts=st.lists(_receipt, max_size=4))
    def put_receipts(self, receipts: list[tuple[int, int, str, int, bytes]]) -> None:
        """Receipts are never duplicates."""
        items = [self._item(StanzaKind.RECEIPT, drawn) for drawn in receipts]
        for item in items:
            self.waiting[item.recipient_id].append(item)
        self.runner.run(self.store.put_items(items))

    @rule(person=_people, acked=st.sets(st.integers(0, 12), max_size=8))
    def ack(self, person: int, acked: set[int]) -> None:
        """Acks by position, with another person's delivery ids among them."""
        account_id = self.people[person].account_id
        mine = self.delivery_ids[account_id]
        positions = [position for position in sorted(acked) if position < len(mine)]
        foreign = self.delivery_ids[self.people[person - 1].account_id]
        ids = [mine[position] for position in positions] + foreign
        self.runner.run(self.store.delete_deliveries(account_id, ids))
        waiting = self.waiting[account_id]
        self.waiting[account_id] = [item for position, item in enumerate(waiting) if position not in positions]

    @rule(before_ms=st.integers(1, 25))
    def expire(self, before_ms: int) -> None:
        """What is older goes, and ids that are older are free again."""
        old = [item for items in self.waiting.values() for item in items if item.timestamp_ms < before_ms]
        assert self.runner.run(self.store.delete_expired(before_ms)) == len(old)
        for account_id, items in self.waiting.items():
            self.waiting[account_id] = [item for item in items if item.timestamp_ms >= before_ms]
        self.sent = {name: at for name, at in self.sent.items() if at >= before_ms}

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
        page = self.runner.run(self.store.list_deliveries(account_id, after, limit, since_ms))
        assert [delivery.item for delivery in page] == young[:limit]

    @invariant()
    def everybody_sees_what_waits_for_them_in_order(self) -> None:
        for account_id, items in self.waiting.items():
            deliveries = self.runner.run(self.store.list_deliveries(account_id, 0, 1000, 0))
            assert [delivery.item for delivery in deliveries] == items
            ids = [delivery.delivery_id for delivery in deliveries]
            new = set(ids) - set(self.delivery_ids[account_id])
            assert ids == sorted(ids)
            assert not new & self.given_ids, "a delivery id came twice"
            self.given_ids |= new
            self.delivery_ids[account_id] = ids
            kinds = [item.kind for item in items]
            counts = [kinds.count(kind) for kind in StanzaKind]
            assert self.runner.run(self.store.get_backlog(account_id, 0)) == Backlog(*counts, ids[-1] if ids else 0)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
            self.runner.close()
            self.folder.cleanup()


TestMailbox = MailboxMachine.TestCase
TestMailbox.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
