"""Routes messages: checks, stores and announces them; knows no wire format and no connection."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from interop_protocol.digest import phash
from interop_protocol.jid import Jid
from interop_protocol.sizes import MAX_DEVICES
from interop_server.core.abuse.escalation import Escalation
from interop_server.core.addressing import check_address
from interop_server.core.consent.first_contact import NewChats, acceptance, chat_entry
from interop_server.core.consent.reach import Route, RouteView, view_routes, why_dropped
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import MESSAGE, Decision, Journal
from interop_server.core.limits import Limits
from interop_server.core.messages import (
    ChatEntry,
    CiphertextType,
    DeviceCiphertext,
    MailboxItem,
    OutgoingMessage,
    RouteFacts,
    StanzaKind,
    Stored,
)
from interop_server.core.messaging.arrivals import Arrivals
from interop_server.core.messaging.store import StoreForMessaging
from interop_server.core.model import PRIMARY_DEVICE, Account, DeviceAddress
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import RateLimit


class DeviceListMismatch(Refusal):
    """DEVICE_LIST_MISMATCH with the recipient's actual device list (MSG-05).

    Args:
        jid: The recipient, whose one device has the number 0.
        missing: Devices that the message has no ciphertext for.
        extra: Devices that the recipient does not have.
        stale: Devices that have another registration id than the one that the sender knows.
    """

    def __init__(
        self, jid: Jid, *, missing: Sequence[int] = (), extra: Sequence[int] = (), stale: Sequence[int] = ()
    ) -> None:
        detail = "the session is one with another device: take a bundle and begin a new one" if stale else ""
        super().__init__(Reason.DEVICE_LIST_MISMATCH, detail, requirement="MSG-05" if stale else "")
        self.phash = phash([jid.text])
        self.missing = _devices(jid, missing)
        self.extra = _devices(jid, extra)
        self.stale = _devices(jid, stale)


def _devices(jid: Jid, device_ids: Sequence[int]) -> list[DeviceAddress]:
    return [DeviceAddress(jid.text, device_id) for device_id in device_ids]


def check_devices(jid: Jid, enc: Sequence[DeviceCiphertext]) -> DeviceCiphertext:
    """Returns the one ciphertext of a message, which is for the recipient's one device (MSG-03, KEY-08).

    Raises:
        Refusal: GROUPS_NOT_SUPPORTED.
        DeviceListMismatch: It lacks a ciphertext for that device, or has one for another device, or more than one.
    """
    part = enc[0] if len(enc) == 1 else None
    if part is not None and part.device_id == PRIMARY_DEVICE and part.type is not CiphertextType.SENDER_KEY:
        return part
    if any(part.type is CiphertextType.SENDER_KEY for part in enc):
        raise Refusal(Reason.GROUPS_NOT_SUPPORTED, "a sender-key message belongs to a group")
    devices = {part.device_id for part in enc}
    extra = sorted(devices - {PRIMARY_DEVICE})[:MAX_DEVICES]
    raise DeviceListMismatch(jid, missing=() if PRIMARY_DEVICE in devices else (PRIMARY_DEVICE,), extra=extra)


def check_registration(jid: Jid, part: DeviceCiphertext, recipient: RouteFacts) -> None:
    """Checks that the session belongs to the recipient's current device, if the sender names a registration id.

    Raises:
        DeviceListMismatch: It belongs to another device: the device is stale (MSG-05).
    """
    if part.registration_id is not None and part.registration_id != recipient.registration_id:
        raise DeviceListMismatch(jid, stale=(PRIMARY_DEVICE,))


@dataclass(slots=True)
class _Recipient:
    """What is decided about a recipient once in a batch, and what the batch's messages to them use up."""

    jid: Jid
    is_dropped: bool
    facts: RouteFacts
    entry: ChatEntry
    pair: tuple[int, int]
    """Sender and recipient: what the send rate counts by."""
    may_send: int
    """How many more messages the send rate allows now."""
    items: int
    """In the recipient's mailbox, those of this batch included."""
    size: int
    """Bytes in it, likewise."""
    decision: Decision
    """What the journal says about a message that is sent for the first time."""
    sent: int = 0
    """Messages that the send rate has not counted yet."""
    arrived: list[Stored] = field(default_factory=list)
    """What is in their mailbox now, or was there before."""


@dataclass(slots=True)
class _Batch:
    """What the messages of one batch share."""

    view: RouteView
    new_chats: NewChats | None
    """Chats that the sender may open; None when the sender already has a chat with every recipient."""
    timestamp_ms: int
    recipients: dict[str, _Recipient] = field(default_factory=dict)
    """By address as text: most messages of a batch go to the same recipient."""


class SendOutcome(NamedTuple):
    """What happened to one message."""

    stanza_id: str
    timestamp_ms: int = 0
    refusal: Refusal | None = None


Tell = Callable[[list[SendOutcome]], Awaitable[None]]
"""Tells a sender the outcomes of their batch, in its order, before what follows from them ends the connection."""
_Accepted = tuple[int, _Recipient, MailboxItem]
"""A message that may go: its place in the batch, whom it is for, and what is stored."""


@dataclass(frozen=True, slots=True)
class Router:
    """Routes messages. Source: MSG-01 to MSG-14, RCP-04."""

    store: StoreForMessaging
    arrivals: Arrivals
    escalation: Escalation
    journal: Journal
    clock: Clock
    limits: Limits
    send_rate: RateLimit

    async def send_messages(
        self, sender: Account, messages: Sequence[OutgoingMessage], tell: Tell | None = None
    ) -> list[SendOutcome]:
        """Routes a batch of messages: checks each, stores the accepted ones in one transaction, then notifies.

        Args:
            sender: Whose messages they are.
            messages: In the order of sending.
            tell: Told what is returned before anything is done to the sender on account of it: a ban ends the
                connection, and what became of the messages is to reach it before.

        Returns:
            One outcome per message, in order, once every accepted one is durable. A refused message leaves no trace.
        """
        view = await view_routes(self.store, sender, _addresses(messages))
        new_chats = await self._new_chats(view)
        # Nothing is awaited between this and the store's queue, and the clock never goes backwards, even over a
        # restart: so the timestamp never decreases for a recipient (MSG-14).
        timestamp_ms = self.clock.now_ms()
        batch = _Batch(view, new_chats, timestamp_ms)
        outcomes: list[SendOutcome] = []
        accepted: list[_Accepted] = []
        for index, message in enumerate(messages):
            try:
                accepted.append((index, *self._accept(message, batch)))
                outcomes.append(SendOutcome(message.stanza_id, timestamp_ms))
            except Refusal as refusal:
                outcomes.append(SendOutcome(message.stanza_id, refusal=refusal))
        for recipient in batch.recipients.values():
            self._use_up(recipient)
        if accepted:
            await self._store(accepted, batch, outcomes)
        outcomes = await self._recognised(view, messages, outcomes)
        capped = 0 if new_chats is None else new_chats.capped
        is_too_much = bool(capped) and await self.escalation.went_too_far(sender, capped)
        if tell is not None:
            await tell(outcomes)
        if is_too_much:
            await self.escalation.after_capped(sender)
        return outcomes

    async def _store(self, accepted: Sequence[_Accepted], batch: _Batch, outcomes: list[SendOutcome]) -> None:
        """Stores accepted messages, then records and announces them."""
        view = batch.view
        decisions: list[tuple[str, Decision]] = []
        results = await self.store.mailbox.put([item for _, _, item in accepted])
        for (index, recipient, item), stored in zip(accepted, results, strict=True):
            stanza_id, decision = item.stanza_id, recipient.decision
            if stored.other_recipient:
                outcomes[index] = SendOutcome(stanza_id, refusal=Refusal(Reason.MESSAGE_ID_REUSED))
                continue
            # As the recipient is told it: another node may have stored something later for them (MSG-14).
            outcomes[index] = SendOutcome(stanza_id, stored.timestamp_ms)
            if stored.duplicate:
                decision = Decision("accepted", "MSG-04", "", recipient.jid.text)
            elif item.retry_count and not recipient.is_dropped:
                decision = decision._replace(requirement="RCP-04")
            recipient.arrived.append(stored)
            decisions.append((stanza_id, decision))
        self.journal.record_all(view.sender.jid, MESSAGE, decisions)
        recipients = {each.facts.account_id: each for each in batch.recipients.values()}
        for recipient in recipients.values():
            if recipient.arrived and not recipient.is_dropped:
                # Behind the messages waits a mark that is not among them.
                self.arrivals.announce(recipient.facts, () if recipient.entry.answer else recipient.arrived)

    async def _recognised(
        self, view: RouteView, messages: Sequence[OutgoingMessage], outcomes: list[SendOutcome]
    ) -> list[SendOutcome]:
        """Acks messages that a rule refused but that were accepted before: a repetition takes precedence (MSG-04).

        Costs nothing while nothing is refused. The store recognises repetitions among the messages that it stores.
        """
        refused = [index for index, outcome in enumerate(outcomes) if outcome.refusal is not None]
        if not refused:
            return outcomes
        sender = view.sender
        sent = await self.store.sent.get(sender.account_id, [messages[index].stanza_id for index in refused])
        for index in refused:
            message = messages[index]
            before, recipient = sent.get(message.stanza_id), _known_recipient(view, message)
            if before is None or recipient is None or before.allows_resend(recipient.account_id, message.retry_count):
                continue
            if before.recipient_id != recipient.account_id:
                outcomes[index] = SendOutcome(message.stanza_id, refusal=Refusal(Reason.MESSAGE_ID_REUSED))
                continue
            outcomes[index] = SendOutcome(message.stanza_id, before.timestamp_ms)
            self.journal.record(
                sender.jid, MESSAGE, "accepted", message.stanza_id, requirement="MSG-04", detail=message.to_jid
            )
        return outcomes

    async def _new_chats(self, view: RouteView) -> NewChats | None:
        if view.sender.is_whatsapp or not any(map(_is_first_contact, view.facts.values())):
            return None  # without asking the store: the sender opens no new chat
        now_ms, limits = self.clock.now_ms(), self.limits
        opened_at_ms = await self.store.new_chats.list_unanswered(
            view.sender.account_id, now_ms - limits.new_chats_ms, limits.new_chats
        )
        locked_until_ms = await self.escalation.standing.locked_until_ms(view.sender.external_user)
        return NewChats(opened_at_ms, locked_until_ms, now_ms, limits)

    def _accept(self, message: OutgoingMessage, batch: _Batch) -> tuple[_Recipient, MailboxItem]:
        stanza_id, to_jid, message_type, enc, retry_count, token = message
        recipient = batch.recipients.get(to_jid)
        jid = check_address(to_jid, "message.to_jid") if recipient is None else recipient.jid
        part = check_devices(jid, enc)
        ciphertext_type, _, ciphertext, _ = part
        size = len(ciphertext)
        if size > self.limits.max_ciphertext_bytes:
            raise Refusal(
                Reason.MESSAGE_TOO_LARGE,
                f"the ciphertext has {size} bytes, the limit is {self.limits.max_ciphertext_bytes}",
            )
        if recipient is None:
            recipient = batch.recipients.get(jid.text) or self._recipient(jid, batch.view)
            batch.recipients[to_jid] = batch.recipients[jid.text] = recipient
        check_registration(jid, part, recipient.facts)
        if recipient.may_send == 0:
            self._use_up(recipient)
            raise self.send_rate.refusal(self.send_rate.wait_ms(recipient.pair))
        recipient.may_send -= 1
        recipient.sent += 1
        # A dropped message meets the same limits as any other, so that a block does not show (OPT-09).
        self._take_room(batch, recipient, size)
        sender_id, recipient_id = recipient.pair
        return recipient, MailboxItem(
            recipient_id,
            sender_id,
            batch.view.sender.jid,
            StanzaKind.MESSAGE,
            ciphertext_type,
            message_type,
            stanza_id,
            batch.timestamp_ms,
            ciphertext,
            retry_count,
            token,
            recipient.is_dropped,
            recipient.entry,
        )

    def _recipient(self, jid: Jid, view: RouteView) -> _Recipient:
        route, facts = view.decide(jid)
        is_dropped = route is Route.DROP
        # A WhatsApp user who writes to a third-party user trusts them (OPT-14). Usually the mark exists: nothing is
        # written.
        answer = (
            acceptance(view.sender, facts, self.clock.now_ms(), self.limits, tell=not is_dropped)
            if view.sender.is_whatsapp
            else None
        )
        entry = chat_entry(view.sender, facts.account_id, answer, is_dropped=is_dropped)
        pair = view.sender.account_id, facts.account_id
        may_send = self.send_rate.available(pair)
        decision = (
            Decision("dropped", *why_dropped(facts), jid.text)
            if is_dropped
            else Decision("accepted", "MSG-06", "", jid.text)
        )
        return _Recipient(
            jid, is_dropped, facts, entry, pair, may_send, facts.mailbox_items, facts.mailbox_bytes, decision
        )

    def _use_up(self, recipient: _Recipient) -> None:
        if recipient.sent:
            self.send_rate.take(recipient.pair, recipient.sent)
            recipient.sent = 0

    def _take_room(self, batch: _Batch, recipient: _Recipient, size: int) -> None:
        if not self.arrivals.has_room(recipient.items + 1, recipient.size + size):
            raise Refusal(Reason.MAILBOX_FULL, retry_after_ms=self.limits.mailbox_full_retry_ms)
        if batch.new_chats is not None and recipient.facts.request_state is None:
            batch.new_chats.open(recipient.facts.account_id)
        recipient.items += 1
        recipient.size += size


def _known_recipient(view: RouteView, message: OutgoingMessage) -> RouteFacts | None:
    """Returns what is known of a message's recipient; None when the address is invalid or no account has it."""
    try:
        return view.facts.get(check_address(message.to_jid).text)
    except Refusal:
        return None


def _is_first_contact(facts: RouteFacts) -> bool:
    # Messages to a recipient who is not opted in are refused anyway: same cost as for an unknown recipient (OPT-09).
    return facts.request_state is None and facts.opted_in and not facts.integrator


def _addresses(messages: Sequence[OutgoingMessage]) -> list[Jid]:
    jids = {}
    for address in dict.fromkeys(message.to_jid for message in messages):  # a set has no stable order
        try:
            jid = check_address(address)
        except Refusal:
            continue  # refused again, with its reason, when the message itself is checked
        jids[jid.text] = jid
    return list(jids.values())
