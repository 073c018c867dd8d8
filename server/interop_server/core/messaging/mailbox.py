"""What waits for a recipient: backlog, deliveries, acks; knows no stream."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from interop_server.core.capabilities import NEEDED
from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import Backlog, Delivery, NotificationType
from interop_server.core.messaging.store import StoreForMessaging
from interop_server.core.model import Account
from interop_server.core.ports import Clock
from interop_server.core.sweeps import Sweep

PAGE_BYTES = 256 << 10
"""What is read of a mailbox at once; policy. One longer item is read alone."""
UNKNOWN_STANZA = 488
"""Nack code of a delivery of a kind that the client does not know (MSG-10); observed."""

_NACK = "stanza.nack"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Reads mailboxes and deletes what was acked. Source: MSG-07 to MSG-09."""

    store: StoreForMessaging
    journal: Journal
    counts: Counter[str]
    clock: Clock
    limits: Limits

    async def backlog(self, account: Account) -> Backlog:
        """Returns what waits for an account now (MSG-08)."""
        return await self.store.mailbox.get_backlog(account.account_id, self.since_ms())

    async def deliveries(self, account: Account, after: int, limit: int) -> list[Delivery]:
        """Returns up to `limit` unexpired deliveries with ids over `after`, in order, and of `PAGE_BYTES` (MSG-07)."""
        since_ms = self.since_ms()
        return await self.store.mailbox.list_deliveries(account.account_id, after, limit, since_ms, PAGE_BYTES)

    async def forget(self, account: Account, delivery_ids: Sequence[int]) -> None:
        """Deletes acked deliveries (MSG-09)."""
        await self.store.mailbox.delete(account.account_id, delivery_ids)

    async def nack(self, account: Account, delivery_id: int, code: int) -> None:
        """Forgets a delivery that a client cannot take, and counts why (MSG-10)."""
        await self.forget(account, [delivery_id])
        self.counts[f"nack_{code}"] += 1
        self.journal.record(account.jid, _NACK, "accepted", requirement="MSG-10", detail=str(code))

    async def withhold(self, account: Account, deliveries: Sequence[Delivery]) -> None:
        """Forgets notifications that a client has no capability for, as if it had nacked them (MSG-10)."""
        await self.forget(account, [delivery.delivery_id for delivery in deliveries])
        for delivery in deliveries:
            needed = NEEDED[NotificationType(delivery.item.subtype)].name
            self.counts[f"nack_{UNKNOWN_STANZA}"] += 1
            self.journal.record(
                SERVER,
                _NACK,
                "done",
                account.jid,
                requirement="MSG-10",
                detail=f"{UNKNOWN_STANZA}: the client has not named {needed}",
            )

    def sweeps(self) -> tuple[Sweep, ...]:
        """Waiting items, and the memory of sent messages (MSG-07, MSG-04)."""
        store, limits = self.store, self.limits
        return (
            Sweep("mailbox_items", "MSG-07", limits.mailbox_ms, store.mailbox.oldest_ms, store.mailbox.delete_expired),
            Sweep("sent_messages", "MSG-04", limits.sent_message_ms, store.sent.oldest_ms, store.sent.delete_expired),
        )

    def since_ms(self) -> int:
        """Returns the earliest timestamp of an item that is delivered now (MSG-07)."""
        return kept_since_ms(self.clock.now_ms(), self.limits)


def kept_since_ms(now_ms: int, limits: Limits) -> int:
    """Returns the earliest timestamp of an item that is kept: after exactly 30 days an item expires (MSG-07)."""
    return now_ms - limits.mailbox_ms + 1
