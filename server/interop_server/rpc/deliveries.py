"""Delivers a mailbox to its client: backlog on request, then live items, within the limit in flight; knows no rule.

The mailbox is the only queue. Un-acked items stay in it, so a broken connection loses nothing (MSG-09). Backlog and
live items come from the same queue, so they are delivered in the order of storing (MSG-08).
"""

from collections.abc import Sequence

from interop_api.v1 import stanza_pb2
from interop_server.core.capabilities import Capability, withheld_from
from interop_server.core.limits import Limits
from interop_server.core.messages import Delivery, StanzaKind
from interop_server.core.messaging.mailbox import Mailbox
from interop_server.core.ports import Clock
from interop_server.rpc.connections import LiveConnection
from interop_server.rpc.convert.outbound import deliveries_to, prekeys_low_to, preview_to
from interop_server.rpc.outbox import Outbox

_PAGE = 256
"""Deliveries read from the mailbox at once: bounds the memory of one connection."""


class DeliveryPump:
    """One connection's deliveries. Source: MSG-07 to MSG-09, KEY-09."""

    __slots__ = (
        "_clock", "_credit", "_cursor", "_knows_requests", "_live", "_mailbox", "_max_unacked", "_outbox", "_unacked",
        "_withheld",
    )  # fmt: skip

    def __init__(self, mailbox: Mailbox, live: LiveConnection, outbox: Outbox, clock: Clock, limits: Limits) -> None:
        self._mailbox = mailbox
        self._live = live
        self._outbox = outbox
        self._clock = clock
        self._max_unacked = limits.max_unacked_deliveries
        self._withheld = withheld_from(live.capabilities)
        self._knows_requests = Capability.MESSAGE_REQUESTS in live.capabilities
        self._unacked: set[int] = set()
        self._credit = 0
        self._cursor = 0

    def ask(self, count: int) -> None:
        """Allows that many more deliveries of the backlog (MSG-08)."""
        self._credit += count
        self._live.changed.set()

    async def forget(self, delivery_ids: Sequence[int]) -> int:
        """Forgets deliveries that the client has acked, and returns how many were in flight."""
        known = self._unacked.intersection(delivery_ids)
        if known:
            await self._mailbox.forget(self._live.account, sorted(known))
            self._unacked -= known
            self._live.changed.set()
        return len(known)

    async def nack(self, delivery_id: int, code: int) -> None:
        """Forgets a delivery that the client cannot take, if it is in flight (MSG-10)."""
        if delivery_id in self._unacked:
            self._unacked.remove(delivery_id)
            await self._mailbox.nack(self._live.account, delivery_id, code)
            self._live.changed.set()

    async def run(self) -> None:
        """Delivers the backlog as the client asks for it, marks its end, then delivers live items until cancelled."""
        await self._deliver_backlog()
        while True:
            self._live.changed.clear()
            await self._tell_prekeys_low()
            if not await self._deliver_live(min(_PAGE, self._room)):
                await self._live.changed.wait()

    async def _deliver_live(self, limit: int) -> int:
        if limit <= 0:
            return 0
        handover = self._live.handover
        if deliveries := handover.take(self._cursor, limit, self._mailbox.since_ms()):
            self._cursor = deliveries[-1].delivery_id
            await self._send(deliveries, offline=False)
            return len(deliveries)
        if not handover.must_look:
            return 0
        handover.must_look = False  # before looking: what comes meanwhile sets it again
        delivered = await self._deliver_page(limit, offline=False, up_to=None)
        handover.must_look |= delivered > 0
        return delivered

    async def _deliver_backlog(self) -> None:
        backlog = await self._mailbox.backlog(self._live.account)
        await self._outbox.add([preview_to(backlog)])
        sent = 0
        while self._cursor < backlog.last_delivery_id:
            self._live.changed.clear()
            await self._tell_prekeys_low()
            allowed = min(_PAGE, self._room, self._credit)
            delivered = await self._deliver_page(allowed, offline=True, up_to=backlog.last_delivery_id)
            sent += delivered
            self._credit -= delivered
            if not allowed:
                await self._live.changed.wait()
            elif not delivered:
                break
        await self._outbox.add([stanza_pb2.Stanza(offline_end=stanza_pb2.OfflineEnd(count=sent))])

    async def _deliver_page(self, limit: int, *, offline: bool, up_to: int | None) -> int:
        if limit <= 0:
            return 0
        await self._outbox.room()
        deliveries = await self._next_deliveries(limit, up_to)
        await self._send(deliveries, offline=offline)
        return len(deliveries)

    async def _send(self, deliveries: Sequence[Delivery], *, offline: bool) -> None:
        self._unacked.update([delivery.delivery_id for delivery in deliveries])
        to_whatsapp, knows_requests = self._live.account.is_whatsapp, self._knows_requests
        await self._outbox.add_serialized(
            deliveries_to(deliveries, to_whatsapp=to_whatsapp, offline=offline, knows_requests=knows_requests)
        )

    async def _next_deliveries(self, limit: int, up_to: int | None) -> Sequence[Delivery]:
        """The next deliveries that the client has the capabilities for; none when nothing more waits."""
        while True:
            found = await self._mailbox.deliveries(self._live.account, self._cursor, limit)
            if up_to is not None:
                found = [delivery for delivery in found if delivery.delivery_id <= up_to]
            if not found:
                return ()
            self._cursor = found[-1].delivery_id
            if not self._withheld:
                return found
            withheld = [delivery for delivery in found if self._is_withheld(delivery)]
            if withheld:
                await self._mailbox.withhold(self._live.account, withheld)
            if len(withheld) < len(found):
                return [delivery for delivery in found if not self._is_withheld(delivery)]

    def _is_withheld(self, delivery: Delivery) -> bool:
        return delivery.item.kind is StanzaKind.NOTIFICATION and delivery.item.subtype in self._withheld

    async def _tell_prekeys_low(self) -> None:
        if (counts := self._live.prekeys_low) is not None:
            self._live.prekeys_low = None
            await self._outbox.add([prekeys_low_to(counts, self._clock.now_ms())])

    @property
    def _room(self) -> int:
        return self._max_unacked - len(self._unacked)
