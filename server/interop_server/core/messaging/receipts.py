"""Routes receipts, and receipts that ask for a message again; knows no wire format and no connection.

A receipt is never answered. A receipt that may not go through is dropped, so that its sender cannot learn which
accounts exist, which have blocked it or what was sent. The journal gives the cause, and a counter counts it.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from interop_protocol.jid import Jid
from interop_protocol.sizes import MAX_RETRIES
from interop_server.core.addressing import check_address
from interop_server.core.consent.reach import Dropped, RouteView, reachable, require_reachable, view_routes
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Decision, Journal
from interop_server.core.keys.published import check_prekey, check_published_keys
from interop_server.core.mailbox_content import Receipt, encode
from interop_server.core.messages import (
    MailboxItem,
    ReceiptType,
    RetryKeys,
    RetryOutcome,
    RetryReceipt,
    RouteFacts,
    SentMessage,
    Stored,
)
from interop_server.core.messaging.arrivals import Arrivals
from interop_server.core.messaging.store import StoreForMessaging
from interop_server.core.model import Account, PublishedKeys
from interop_server.core.ports import Clock
from interop_server.core.ratelimit import RateLimit

RECEIPTS_DROPPED = "receipt_dropped"
"""Counts message ids of dropped receipts (RCP-05)."""
RETRIES_DROPPED = "retry_dropped"
"""Counts dropped retry receipts (RCP-04, RCP-05)."""
MEDIA_STATUSES = frozenset({404, 410})
"""The status that a download gets when the blob is gone (MED-08)."""

_FIRST_WITH_KEYS = 2
_KEY_FIELDS = {
    "signed_prekey.key_id": "signed_prekey_id",
    "signed_prekey.public_key": "signed_prekey",
    "signed_prekey.signature": "signed_prekey_signature",
    "one_time_prekey.key_id": "one_time_prekey_id",
    "one_time_prekey.public_key": "one_time_prekey",
}
"""Names that `RetryKeys` gives to the fields of published keys."""


class OutgoingReceipt(NamedTuple):
    """A receipt as its sender wrote it, of valid form."""

    kind: ReceiptType
    to_jid: str
    """JID of the sender of the messages, as text, not yet parsed."""
    message_ids: Sequence[str]
    """1 to 256."""


class _Batch(NamedTuple):
    """What the receipts of one batch share."""

    view: RouteView
    jids: dict[str, Jid]
    """By address as text: those that are right."""
    sent: dict[int, dict[str, SentMessage]]
    """By peer, what they sent of what is named."""
    own: bool
    items: list[MailboxItem]
    """What goes into mailboxes."""
    counts: Counter[int]
    """How many of them go into whose."""
    sizes: Counter[int]
    """How many bytes go into whose."""


def _never_sent() -> Dropped:
    return Dropped("RCP-05", "that peer never sent it to this account")


def _was_sent(message: SentMessage | None, recipient: Account) -> bool:
    return message is not None and message.recipient_id == recipient.account_id and not message.is_dropped


@dataclass(frozen=True, slots=True)
class Receipts:
    """Routes receipts. Source: RCP-01 to RCP-05, MED-08."""

    store: StoreForMessaging
    arrivals: Arrivals
    journal: Journal
    counts: Counter[str]
    clock: Clock
    retry_rate: RateLimit

    async def send(self, sender: Account, receipts: Sequence[OutgoingReceipt], own: bool) -> list[Refusal | None]:
        """Routes receipts, each without the messages that its recipient never sent to its sender (RCP-05).

        Stores all that go through in one transaction. Drops one when the two accounts may not talk, when read receipts
        are off on either side (RCP-01), and when the recipient's mailbox is full (MSG-11).

        Args:
            sender: The account that sends the receipts.
            receipts: What they say.
            own: Whether the sender has read receipts on.

        Returns:
            For each receipt why it is refused, as in `check_address`, or None.
        """
        batch = await self._batch(sender, receipts, own)
        refusals: list[Refusal | None] = []
        decisions: list[tuple[str, Decision]] = []
        for receipt in receipts:
            try:
                self._accept(batch, receipt, decisions)
            except Refusal as refusal:
                refusals.append(refusal)
                continue
            except Dropped as dropped:
                self._drop(decisions, receipt, dropped, len(receipt.message_ids))
            refusals.append(None)
        arrived: dict[int, list[Stored]] = {}
        for item, stored in zip(batch.items, await self._put(batch.items), strict=True):
            arrived.setdefault(item.recipient_id, []).append(stored)
        self.journal.record_all(sender.jid, "stanza.receipt", decisions)
        for facts in batch.view.facts.values():
            if facts.account_id in arrived:
                self.arrivals.hand_over(facts, arrived[facts.account_id])
        return refusals

    async def send_retry(self, sender: Account, to: str, retry: RetryReceipt) -> None:
        """Forwards a retry receipt to the sender of the message (RCP-03), at most five times per message (RCP-04).

        Drops it when the two accounts may not talk, when that message was never sent to the asking account (RCP-05),
        and when the mailbox of the message's sender is full (MSG-11).

        Args:
            sender: The account that asks for the message again.
            to: JID of the message's sender.
            retry: What the receipt says.

        Raises:
            Refusal: As `check_retry` or, for the address, as `check_address`.
        """
        jid = check_address(to, "retry_receipt.to_jid")
        try:
            if retry.retry_count > MAX_RETRIES:
                raise Dropped("RCP-04", "it was asked for too often")
            self._check_rate(sender)
            check_retry(retry)
            facts = await require_reachable(self.store, sender, jid)
            item = self._item(retry, sender, facts)
            outcome = await self.store.mailbox.put_retry_receipt(item, MAX_RETRIES)
            if outcome is RetryOutcome.NEVER_SENT:
                raise _never_sent()
            if outcome is RetryOutcome.TOO_MANY:
                raise Dropped("RCP-04", "it was forwarded too often")
        except Dropped as dropped:
            self.counts[RETRIES_DROPPED] += 1
            decision = Decision("dropped", dropped.requirement, dropped.cause, jid.text)
            self.journal.record_all(sender.jid, "stanza.retry_receipt", [(retry.message_id, decision)])
            return
        self.journal.record(
            sender.jid,
            "stanza.retry_receipt",
            "accepted",
            retry.message_id,
            requirement="RCP-03" if retry.media_status is None else "MED-08",
            detail=facts.jid,
        )
        self.arrivals.announce(facts)

    async def _batch(self, sender: Account, receipts: Sequence[OutgoingReceipt], own: bool) -> _Batch:
        named: dict[str, list[str]] = {}
        for receipt in receipts:
            named.setdefault(receipt.to_jid, []).extend(receipt.message_ids)
        jids: dict[str, Jid] = {}
        for address in named:
            with suppress(Refusal):  # refused again, with its reason, when the receipt itself is checked
                jids[address] = check_address(address)
        view = await view_routes(self.store, sender, list({jid.text: jid for jid in jids.values()}.values()))
        sent: dict[int, dict[str, SentMessage]] = {}
        for address, jid in jids.items():
            if (facts := view.facts.get(jid.text)) is not None:
                found = await self.store.sent.get(facts.account_id, named[address])
                sent.setdefault(facts.account_id, {}).update(found)
        return _Batch(view, jids, sent, own, [], Counter(), Counter())

    def _accept(self, batch: _Batch, receipt: OutgoingReceipt, decisions: list[tuple[str, Decision]]) -> None:
        sender = batch.view.sender
        jid = batch.jids.get(receipt.to_jid) or check_address(receipt.to_jid, "receipt.to_jid")
        facts = reachable(batch.view, jid)
        if receipt.kind is ReceiptType.READ and not (batch.own and facts.read_receipts):
            raise Dropped("RCP-01", "read receipts are off")
        sent = batch.sent.get(facts.account_id, {})
        known = [message_id for message_id in receipt.message_ids if _was_sent(sent.get(message_id), sender)]
        if not known:
            raise _never_sent()
        recipient, content = facts.account_id, Receipt(receipt.kind, tuple(known))
        item = self._item(content, sender, facts, batch.counts[recipient], batch.sizes[recipient])
        batch.items.append(item)
        batch.counts[recipient] += 1
        batch.sizes[recipient] += len(item.content)
        if unknown := len(receipt.message_ids) - len(known):
            self._drop(decisions, receipt, _never_sent(), unknown)
        decisions.append((facts.jid, Decision("accepted", "RCP-01", "", _told(receipt, len(known)))))

    async def _put(self, items: Sequence[MailboxItem]) -> Sequence[Stored]:
        return await self.store.mailbox.put(items) if items else ()

    def _check_rate(self, sender: Account) -> None:
        if self.retry_rate.take(sender.account_id):
            raise Dropped("MSG-11", "the sender asks for too many messages at once")

    def _item(
        self, content: Receipt | RetryReceipt, sender: Account, facts: RouteFacts, items: int = 0, size: int = 0
    ) -> MailboxItem:
        """Returns the item for the recipient's mailbox, which must have room for it beside others of the same batch."""
        sender_id, sender_jid = sender.account_id, sender.jid
        item = encode(content, facts.account_id, self.clock.now_ms(), sender_id=sender_id, sender_jid=sender_jid)
        if not self.arrivals.has_room(facts.mailbox_items + items + 1, facts.mailbox_bytes + size + len(item.content)):
            raise Dropped("MSG-11", "the mailbox is full")
        return item

    def _drop(
        self, decisions: list[tuple[str, Decision]], receipt: OutgoingReceipt, dropped: Dropped, count: int
    ) -> None:
        self.counts[RECEIPTS_DROPPED] += count
        decision = Decision("dropped", dropped.requirement, dropped.cause, _told(receipt, count))
        decisions.append((receipt.to_jid, decision))


def _told(receipt: OutgoingReceipt, count: int) -> str:
    return f"{receipt.kind.name.lower()}: {count}"


def check_retry(retry: RetryReceipt) -> None:
    """Checks what a retry receipt must hold (RCP-03, MED-08), including the signature in its bundle (KEY-13).

    Raises:
        Refusal: STANZA_MALFORMED, KEY_MALFORMED or PREKEY_SIGNATURE_INVALID.
    """
    if retry.media_status is not None and retry.media_status not in MEDIA_STATUSES:
        detail = "`media_status` is 404 or 410"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.media_status", requirement="MED-08")
    if retry.keys is not None:
        _check_keys(retry.registration_id, retry.keys)
    elif retry.media_status is None and retry.retry_count >= _FIRST_WITH_KEYS:
        detail = "`keys` are required from the second retry on"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.keys", requirement="RCP-03")


def _check_keys(registration_id: int, keys: RetryKeys) -> None:
    identity_key, signed_prekey, one_time_prekey = keys
    try:
        check_published_keys(PublishedKeys(registration_id, identity_key, signed_prekey))
        check_prekey(*one_time_prekey, "the one-time prekey", "one_time_prekey")
    except Refusal as refusal:
        refusal.rename_fields(_KEY_FIELDS)
        refusal.put_under("retry_receipt.keys")
        raise
