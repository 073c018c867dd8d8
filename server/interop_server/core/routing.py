"""Who may reach whom, and what becomes of what they send; knows no wire format and no connection.

One decision table serves messages, receipts and prekey bundles, so that no path is more open than another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol

from interop_protocol.jid import Jid
from interop_server.core.addressing import check_address
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import SERVER, Journal
from interop_server.core.limits import Limits
from interop_server.core.model import (
    Account,
    AccountEnd,
    CiphertextType,
    MailboxItem,
    OutgoingMessage,
    ReceiptType,
    RouteFacts,
    StanzaKind,
)
from interop_server.core.ports import Clock, Connections, OptInStore, PushGateway, RoutingStore
from interop_server.core.ratelimit import RateLimit

_ABSENT = {
    None: "no such account",
    AccountEnd.DELETED: "the account was deleted by its user",
    AccountEnd.EXPIRED: "the account was un-enlisted after thirty days without a connection",
}


class Route(Enum):
    """What becomes of a stanza that is not refused."""

    DELIVER = auto()
    DROP = auto()
    """Acknowledged, but goes nowhere: the recipient has blocked the sender (ABU-02)."""


def decide_route(
    sender: Account, recipient_is_whatsapp: bool, facts: RouteFacts | None, end: AccountEnd | None = None
) -> Route:
    """Decides whether a sender may reach a recipient.

    Args:
        sender: Who asks.
        recipient_is_whatsapp: What the recipient's JID says.
        facts: What the store knows of the recipient as seen from the sender; None when it knows nothing.
        end: How the recipient's account ended, if it did: for the operator only (LIF-05).

    Raises:
        Refusal: ROUTE_NOT_SUPPORTED, SENDER_NOT_OPTED_IN, RECIPIENT_BLOCKED_BY_SENDER or RECIPIENT_NOT_REACHABLE, which
            is the same for every cause on the recipient's side (OPT-09).

    Source: OPT-01, OPT-02, OPT-06, OPT-09, MSG-06, ABU-02.
    """
    if sender.is_whatsapp == recipient_is_whatsapp:
        raise Refusal(Reason.ROUTE_NOT_SUPPORTED)
    if facts is None:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause=_ABSENT[end])
    if sender.is_whatsapp and not facts.opted_in:
        raise Refusal(Reason.SENDER_NOT_OPTED_IN)
    if not facts.opted_in:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the recipient has not opted in for the sender's partner")
    if not facts.partner_active:
        raise Refusal(Reason.RECIPIENT_NOT_REACHABLE, cause="the partner is not active")
    if facts.sender_blocked_recipient:
        # Last: anybody may block any JID, so said earlier it would tell which JIDs exist (OPT-09).
        raise Refusal(Reason.RECIPIENT_BLOCKED_BY_SENDER)
    return Route.DROP if facts.recipient_blocked_sender else Route.DELIVER


class RouteStore(RoutingStore, OptInStore, Protocol):
    """What routing needs of the store."""


class RouteView(NamedTuple):
    """What decides about a sender's routes to some recipients."""

    sender: Account
    facts: dict[str, RouteFacts]
    """Of the recipients that exist, by JID."""
    chosen: frozenset[int]
    """Partners that a WhatsApp sender has chosen; read only when a recipient does not exist."""
    ends: dict[str, AccountEnd]
    """How recipients' accounts have ended, by JID; likewise."""

    def decide(self, jid: Jid) -> tuple[Route, RouteFacts]:
        """Decides about one of the recipients, and returns what is known of them.

        Raises:
            Refusal: As `decide_route`.
        """
        facts = self.facts.get(jid.text)
        if facts is None and self.sender.is_whatsapp and jid.integrator and jid.integrator not in self.chosen:
            # As for a recipient who exists: a sender who has not opted in must not learn which JIDs do (OPT-09).
            raise Refusal(Reason.SENDER_NOT_OPTED_IN)
        route = decide_route(self.sender, jid.is_whatsapp, facts, self.ends.get(jid.text))
        return route, self.facts[jid.text]


async def view_routes(store: RouteStore, sender: Account, jids: Sequence[Jid]) -> RouteView:
    """Reads what decides about a sender's routes to recipients, each named once."""
    facts = await store.get_route_facts(sender, [jid.text for jid in jids]) if jids else {}
    if not sender.is_whatsapp or len(facts) == len(jids):
        return RouteView(sender, facts, frozenset(), {})
    settings = await store.get_settings(sender.account_id)
    ends = await store.list_ends([jid.text for jid in jids if jid.text not in facts])
    return RouteView(sender, facts, settings.integrators if settings.enabled else frozenset(), ends)


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one message."""

    stanza_id: str
    timestamp_ms: int = 0
    refusal: Refusal | None = None


class Router:
    """Routes messages and receipts. Source: MSG-01 to MSG-14, RCP-01, RCP-02."""

    def __init__(
        self,
        store: RouteStore,
        connections: Connections,
        push: PushGateway,
        journal: Journal,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._journal = journal
        self._connections = connections
        self._push = push
        self._clock = clock
        self._limits = limits
        self._send_rate = RateLimit(clock, limits.send_burst, limits.send_per_second)

    async def send_messages(self, sender: Account, messages: Sequence[OutgoingMessage]) -> list[SendOutcome]:
        """Routes a batch of messages: checks each, stores the deliverable ones in one transaction, then notifies.

        One outcome per message, in order, once all that was accepted is durable. Refused messages leave no trace.
        """
        view = await view_routes(self._store, sender, _addresses(messages))
        timestamp_ms = self._timestamp()
        outcomes: list[SendOutcome] = []
        items: list[MailboxItem] = []
        taken: list[int] = []
        usage: dict[int, tuple[int, int]] = {}
        for message in messages:
            try:
                item = self._accept(message, view, usage, timestamp_ms)
            except Refusal as refusal:
                outcomes.append(SendOutcome(message.stanza_id, refusal=refusal))
                continue
            items.append(item)
            taken.append(len(outcomes))
            outcomes.append(SendOutcome(message.stanza_id, timestamp_ms))
        if items:
            for index, item, stored in zip(taken, items, await self._store.put_messages(items), strict=True):
                if stored.duplicate:
                    outcomes[index] = SendOutcome(item.stanza_id, stored.timestamp_ms)
                    self._record_taken(sender, messages[index], "MSG-04")
                elif item.is_dropped:
                    self._record_drop(sender, messages[index])
                else:
                    self._record_taken(sender, messages[index], "RCP-04" if item.retry_count else "MSG-06")
            self._notify(view.facts, {item.recipient_id for item in items if not item.is_dropped})
        return outcomes

    def _record_taken(self, sender: Account, message: OutgoingMessage, requirement: str) -> None:
        self._journal.record(
            sender.jid, "stanza.message", "accepted", message.stanza_id, requirement=requirement, detail=message.to
        )

    def _record_drop(self, sender: Account, message: OutgoingMessage) -> None:
        self._journal.record(
            sender.jid,
            "stanza.message",
            "dropped",
            message.stanza_id,
            requirement="ABU-02",
            cause="the recipient has blocked the sender",
            detail=message.to,
        )

    async def send_receipt(
        self, sender: Account, kind: ReceiptType, to: str, message_ids: Sequence[str], own: bool
    ) -> None:
        """Routes one receipt; drops it silently when the two may not talk or read receipts are off (RCP-01).

        A full mailbox drops it too (MSG-11).

        Args:
            sender: Who sends the receipt.
            kind: What it says.
            to: JID of the sender of the messages.
            message_ids: The messages, 1 to 256.
            own: Whether the sender of the receipt has read receipts on.

        Raises:
            Refusal: The address is none, as in `check_address`.
        """
        jid = check_address(to)
        view = await view_routes(self._store, sender, [jid])
        try:
            route, facts = view.decide(jid)
        except Refusal:
            return
        if route is Route.DROP:
            return
        if kind is ReceiptType.READ and not (own and facts.read_receipts):
            return
        content = "\n".join(message_ids).encode()
        if not self._has_room(facts.mailbox_items + 1, facts.mailbox_bytes + len(content)):
            return
        item = MailboxItem(
            recipient_id=facts.account_id,
            sender_id=sender.account_id,
            sender_jid=sender.jid,
            kind=StanzaKind.RECEIPT,
            subtype=kind,
            message_type=0,
            stanza_id="",
            timestamp_ms=self._timestamp(),
            content=content,
        )
        await self._store.put_items([item])
        self._connections.wake(facts.account_id)

    def _accept(
        self, message: OutgoingMessage, view: RouteView, usage: dict[int, tuple[int, int]], timestamp_ms: int
    ) -> MailboxItem:
        sender = view.sender
        jid = check_address(message.to)
        ciphertext_type, ciphertext = self._single_ciphertext(message)
        route, recipient = view.decide(jid)
        self._send_rate.take((sender.account_id, recipient.account_id))
        items, size = usage.get(recipient.account_id, (recipient.mailbox_items, recipient.mailbox_bytes))
        items, size = items + 1, size + len(ciphertext)
        if not self._has_room(items, size):
            raise Refusal(Reason.MAILBOX_FULL, retry_after_ms=self._limits.mailbox_full_retry_ms)
        usage[recipient.account_id] = (items, size)
        return MailboxItem(
            recipient.account_id,
            sender.account_id,
            sender.jid,
            StanzaKind.MESSAGE,
            ciphertext_type,
            message.message_type,
            message.stanza_id,
            timestamp_ms,
            ciphertext,
            message.retry_count,
            message.reporting_token,
            # Limits and answer are those of anybody: a block must not show (OPT-09, ABU-02).
            route is Route.DROP,
        )

    def _has_room(self, items: int, size: int) -> bool:
        return items <= self._limits.max_mailbox_items and size <= self._limits.max_mailbox_bytes

    def _single_ciphertext(self, message: OutgoingMessage) -> tuple[CiphertextType, bytes]:
        if any(kind is CiphertextType.SENDER_KEY for kind, _, _ in message.enc):
            raise Refusal(Reason.GROUPS_NOT_SUPPORTED, "a sender-key message belongs to a group")
        if len(message.enc) != 1 or message.enc[0][1] != 0:
            raise Refusal(Reason.DEVICE_LIST_MISMATCH)
        kind, _, ciphertext = message.enc[0]
        if len(ciphertext) > self._limits.max_ciphertext_bytes:
            raise Refusal(
                Reason.MESSAGE_TOO_LARGE,
                f"the ciphertext has {len(ciphertext)} bytes, the limit is {self._limits.max_ciphertext_bytes}",
            )
        return kind, ciphertext

    def _notify(self, facts: dict[str, RouteFacts], recipient_ids: set[int]) -> None:
        for recipient in facts.values():
            if recipient.account_id not in recipient_ids or self._connections.wake(recipient.account_id):
                continue
            if recipient.integrator:
                self._push.notify(recipient.integrator, recipient.external_id)
                self._journal.record(SERVER, "push", "done", recipient.jid, requirement="LIF-01")

    def _timestamp(self) -> int:
        # Taken without an await before the store's queue: with a clock that never goes backwards, also not over a
        # restart, it never decreases for a recipient (MSG-14).
        return self._clock.now_ms()


def _addresses(messages: Sequence[OutgoingMessage]) -> list[Jid]:
    jids = {}
    for address in dict.fromkeys(message.to for message in messages):  # in order: a set has another in each process
        try:
            jid = check_address(address)
        except Refusal:
            continue  # refused again, with its reason, where the message itself is looked at
        jids[jid.text] = jid
    return list(jids.values())
