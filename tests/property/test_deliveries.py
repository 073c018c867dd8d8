"""Whatever is stored, announced and acked in whatever order: each item is delivered once, in the order of storing."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop_api.v1 import stanza_pb2
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import MailboxItem, StanzaKind, Stored
from interop_server.core.messaging.mailbox import Mailbox
from interop_server.core.model import Account, ConnectionFacts, ConnectionMode, Platform
from interop_server.core.store import Store
from interop_server.rpc.connections import Admission, ClientTraits, LiveConnection
from interop_server.rpc.deliveries import DeliveryPump
from interop_server.rpc.outbox import Outbox
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.stores import open_store

NOW_MS = 1_700_000_000_000

_step = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 5)),
    st.tuples(st.just("announce"), st.integers(0, 3)),
    st.tuples(st.just("receipt"), st.just(1)),
    st.tuples(st.just("turns"), st.integers(1, 30)),
    st.tuples(st.just("ack"), st.integers(1, 8)),
)


class _Story:
    """Ada writes to Bob, whose connection has a real pump over a real store."""

    def __init__(self, store: Store, ada: Account, bob: Account, limits: Limits) -> None:
        self.store, self.ada, self.bob = store, ada, bob
        clock = ManualClock(NOW_MS)
        facts = ConnectionFacts(bob, ConnectionMode.DIRECT, "", "ipv4:198.51.100.7:1", 1)
        self.live = LiveConnection(facts, Admission("token"), ClientTraits(True))
        self.outbox = Outbox(limits)
        mailbox = Mailbox(store, Journal(clock, SeededRng(1)), Counter(), clock, limits)
        self.pump = DeliveryPump(mailbox, self.live, self.outbox, clock, limits)
        self.pump.ask(1_000)
        self.sent = 0
        self.unannounced: list[list[Stored]] = []
        self.delivered: list[int] = []
        self.unacked: list[int] = []

    async def do(self, what: str, amount: int) -> None:
        match what:
            case "send":
                items = [self._item(StanzaKind.MESSAGE, f"m{self.sent + number}") for number in range(amount)]
                self.sent += amount
                self.unannounced.append(await self.store.mailbox.put(items))
            case "announce" if self.unannounced:
                self.live.hand_over(self.unannounced.pop(amount % len(self.unannounced)))
            case "receipt":
                await self.store.mailbox.put([self._item(StanzaKind.RECEIPT, "")])
                self.live.wake()
            case "turns":
                for _ in range(amount):
                    await asyncio.sleep(0)
            case "ack":
                await self._ack(amount)

    async def finish(self) -> list[int]:
        """Announces what was not, acks all that comes, and returns the ids of all items in the order of storing."""
        waiting = await self.store.mailbox.list_deliveries(self.bob.account_id, 0, 9_999, 0)
        for stored in self.unannounced:
            self.live.hand_over(stored)
        self._read()
        expected = sorted({*self.delivered, *(delivery.delivery_id for delivery in waiting)})
        while len(self.delivered) < len(expected):
            await self._ack(len(expected))
            await asyncio.sleep(0)
        return expected

    async def _ack(self, amount: int) -> None:
        self._read()
        acked, self.unacked = self.unacked[:amount], self.unacked[amount:]
        await self.pump.forget(acked)

    def _read(self) -> None:
        while (batch := self.outbox.take_batch()) is not None:
            ids = [stanza.delivery_id for stanza in stanza_pb2.Batch.FromString(batch).stanzas if stanza.delivery_id]
            self.delivered += ids
            self.unacked += ids

    def _item(self, kind: StanzaKind, stanza_id: str) -> MailboxItem:
        ada, bob = self.ada, self.bob
        return MailboxItem(bob.account_id, ada.account_id, ada.jid, kind, 1, 1, stanza_id, NOW_MS, b'["a"]')


async def _run(steps: list[tuple[str, int]], room: int) -> tuple[list[int], list[int]]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(Path(folder))
        people = [
            await store.accounts.put_whatsapp_user(f"{digits}@s.whatsapp.net", digits, bytes(32), Platform.WEB, 1)
            for digits in ("491", "492")
        ]
        story = _Story(store, *people, Limits(max_unacked_deliveries=room))
        running = asyncio.create_task(story.pump.run())
        for what, amount in steps:
            await story.do(what, amount)
        expected = await story.finish()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
    return story.delivered, expected


@pytest.mark.requirement("MSG-08", "MSG-09")
@settings(max_examples=50)
@given(steps=st.lists(_step, max_size=25), room=st.integers(1, 6))
def test_each_item_is_delivered_once_in_the_order_of_storing(steps: list[tuple[str, int]], room: int) -> None:
    """However announcements are delayed, reordered or missed, and however little the client takes (MSG-08, MSG-09)."""
    delivered, expected = asyncio.run(_run(steps, room))
    assert delivered == expected
