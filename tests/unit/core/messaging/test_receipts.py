"""Receipts reach whom they concern, and nobody learns anything from those that do not."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.errors import Reason
from interop_server.core.journal import JournalEntry
from interop_server.core.limits import Limits
from interop_server.core.mailbox_content import decode, encode
from interop_server.core.messages import MailboxItem, ReceiptType, RetryKeys, RetryReason, RetryReceipt, StanzaKind
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.messaging.routing import SendOutcome
from interop_server.core.model import Account, OneTimePreKey
from tests.unit.core.world import BATS, NOW_MS, ClientKeys, World, derived, message, refused

BuildWorld = Callable[..., Awaitable[World]]

KEYS = ClientKeys(7)
SIGNED = KEYS.signed_prekey(3)
BUNDLE = RetryKeys(KEYS.published.identity_key, SIGNED, OneTimePreKey(16_777_215, derived("fresh")))


async def send(world: World, sender: Account, to: Account, *stanza_ids: str) -> None:
    for outcome in await world.router.send_messages(sender, [message(to, stanza_id) for stanza_id in stanza_ids]):
        assert outcome.refusal is None


async def read(world: World, account: Account) -> None:
    """Acks all that waits."""
    waiting = await world.mailbox.deliveries(account, 0, 10_000)
    await world.mailbox.forget(account, [delivery.delivery_id for delivery in waiting])


async def send_receipt(
    world: World, sender: Account, to: Account | str, *ids: str, kind: ReceiptType = ReceiptType.DELIVERED
) -> None:
    jid = to if isinstance(to, str) else to.jid
    await world.receipts.send(sender, [OutgoingReceipt(kind, jid, ids)], True)


def retry(message_id: str = "m1", count: int = 1, **changes: Any) -> RetryReceipt:
    keys = BUNDLE if count > 1 else None
    receipt = RetryReceipt(message_id, count, RetryReason.BAD_MAC, KEYS.published.registration_id, keys, None)
    return receipt._replace(**changes)


def media_status(item: MailboxItem) -> int | None:
    retry = decode(item)
    assert isinstance(retry, RetryReceipt)
    return retry.media_status


async def messages(world: World, account: Account) -> list[MailboxItem]:
    return [item for item in await world.waiting(account) if item.kind is StanzaKind.MESSAGE]


def last(world: World) -> JournalEntry:
    return world.journal.after(0, 100_000)[0][-1]


@pytest.mark.requirement("RCP-01", "RCP-02")
@pytest.mark.parametrize("kind", ReceiptType)
async def test_receipts_flow_both_ways(world: World, kind: ReceiptType) -> None:
    """One receipt may name several messages; it wakes, but is not worth a push (RCP-01, RCP-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    for sender, recipient in ((ada, user), (user, ada)):
        await send(world, recipient, sender, "m1", "m2", "m3")
        await read(world, recipient)
        pushes = list(world.pushes.queued)
        await send_receipt(world, sender, recipient, "m1", "m2", "m3", kind=kind)
        [item] = await world.waiting(recipient)
        assert (item.sender_id, item.sender_jid, item.kind) == (sender.account_id, sender.jid, StanzaKind.RECEIPT)
        assert (item.subtype, item.timestamp_ms, item.content) == (kind, NOW_MS, b"m1\nm2\nm3")
        assert world.connections.woken[-1] == recipient.account_id
        assert world.pushes.queued == pushes
        assert (last(world).outcome, last(world).subject) == ("accepted", recipient.jid)


@pytest.mark.requirement("RCP-01")
@pytest.mark.parametrize(
    ("kind", "own", "theirs", "arrives"),
    [
        (ReceiptType.READ, True, True, True),
        (ReceiptType.READ, True, False, False),
        (ReceiptType.READ, False, True, False),
        (ReceiptType.READ, False, False, False),
        (ReceiptType.DELIVERED, True, True, True),
        (ReceiptType.DELIVERED, True, False, True),
        (ReceiptType.DELIVERED, False, True, True),
        (ReceiptType.DELIVERED, False, False, True),
    ],
)
async def test_read_receipts_honour_both_settings(
    world: World, kind: ReceiptType, own: bool, theirs: bool, arrives: bool
) -> None:
    """Who has them off neither tells nor is told; delivery receipts have no setting (RCP-01)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.logins.log_in(world.login(user, read_receipts=theirs))
    await send(world, user, ada, "m1")
    await world.receipts.send(ada, [OutgoingReceipt(kind, user.jid, ["m1"])], own)
    assert len(await world.waiting(user)) == arrives
    assert world.counts["receipt_dropped"] == (not arrives)


@pytest.mark.requirement("RCP-05")
async def test_a_receipt_between_two_who_may_not_talk_is_dropped_silently(world: World) -> None:
    """Unknown, not opted in, blocked either way: no error, no trace; counted, and journaled with its cause (RCP-05)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    cal, shy = await world.enlisted("cal"), await world.whatsapp_user("+33612345678")
    for peer in (ada, bea):
        await send(world, user, peer, f"to {peer.external_id}")
        await send(world, peer, user, f"from {peer.external_id}")
    await world.blocklist.block(user, ada.jid)
    await world.blocklist.block(bea, user.jid)
    before = await world.store.count_rows()
    routes = [(ada, user.jid), (bea, user.jid), (user, ada.jid), (cal, shy.jid), (shy, cal.jid), (cal, ada.jid)]
    causes = set()
    with world.quiet():
        for sender, to in [*routes, (cal, "4915100000000@s.whatsapp.net")]:
            for kind in ReceiptType:
                ids = ("to ada", "to bea", "from ada", "from bea")
                await send_receipt(world, sender, to, *ids, kind=kind)
                assert (last(world).outcome, last(world).reason) == ("dropped", "")
                causes.add(last(world).cause)
            await world.receipts.send_retry(sender, to, retry("to ada"))
            assert (last(world).action, last(world).outcome) == ("stanza.retry_receipt", "dropped")
    assert await world.store.count_rows() == before
    assert len(causes) == 6 and all(causes)
    assert world.counts == {"receipt_dropped": 7 * 2 * 4, "retry_dropped": 7}


@pytest.mark.requirement("RCP-05")
async def test_ids_that_were_never_sent_are_dropped_one_by_one(world: World) -> None:
    """Somebody else's, one's own, a dropped one's and made-up ones; the rest of the receipt goes through (RCP-05)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await send(world, user, ada, "to ada")
    await send(world, user, bea, "to bea")
    await send(world, ada, user, "from ada")
    await world.blocklist.block(ada, user.jid)
    await send(world, user, ada, "dropped")
    await world.blocklist.unblock(ada, user.jid)
    await read(world, user)
    await send_receipt(world, ada, user, "to bea", "to ada", "from ada", "dropped", "never", "to ada")
    [item] = await world.waiting(user)
    assert item.content == b"to ada\nto ada"
    assert world.counts["receipt_dropped"] == 4
    dropped = world.journal.after(0, 1_000)[0][-2]
    assert (dropped.outcome, dropped.requirement, dropped.subject) == ("dropped", "RCP-05", user.jid)
    await send_receipt(world, ada, user, "never", "ever")
    assert len(await world.waiting(user)) == 1
    assert world.counts["receipt_dropped"] == 6


@pytest.mark.requirement("RCP-05")
async def test_a_receipt_for_an_acked_message_goes_through(world: World) -> None:
    """It is read long after it was delivered; after sixty days nobody remembers it (RCP-05, MSG-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, user, "m1")
    await read(world, user)
    await send_receipt(world, user, ada, "m1", kind=ReceiptType.READ)
    assert len(await world.waiting(ada)) == 1
    world.clock.advance(world.limits.mailbox_ms)
    world.connections.online.add(ada.account_id)  # or she would go, too (LIF-04)
    await world.sweep()
    assert await world.waiting(ada) == []
    await send_receipt(world, user, ada, "m1", kind=ReceiptType.READ)
    assert len(await world.waiting(ada)) == 1
    world.clock.advance(world.limits.sent_message_ms - world.limits.mailbox_ms)
    await world.sweep()
    await send_receipt(world, user, ada, "m1", kind=ReceiptType.READ)
    assert await world.waiting(ada) == []


async def test_a_full_mailbox_takes_no_receipts(build_world: BuildWorld) -> None:
    """A receipt is not worth a refusal: it is dropped (MSG-11, RCP-01)."""
    world = await build_world(max_mailbox_items=2)
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m0", "m1")
    for stanza_id in ("m0", "m1", "m0"):
        await send_receipt(world, ada, user, stanza_id)
    await world.receipts.send_retry(ada, user.jid, retry("m0"))
    assert [item.content for item in await world.waiting(user)] == [b"m0", b"m1"]
    assert world.counts == {"receipt_dropped": 1, "retry_dropped": 1}


async def test_receipts_count_by_their_bytes_too(build_world: BuildWorld) -> None:
    """Long lists of message ids fill no mailbox beyond its size (MSG-11)."""
    world = await build_world(max_mailbox_bytes=100)
    ada, user = await world.enlisted(), await world.opted_in()
    for number in range(3):
        await send(world, user, ada, f"m{number}")
        await read(world, ada)
    await send_receipt(world, ada, user, *["m0", "m1"] * 10)
    await send_receipt(world, ada, user, *["m2"] * 20)
    assert [len(item.content) for item in await world.waiting(user)] == [59]


@pytest.mark.requirement("MSG-11")
@pytest.mark.parametrize(
    ("limit", "more", "kept"),
    [("max_mailbox_items", 3, 3), ("max_mailbox_bytes", 6, 3), ("max_mailbox_bytes", 5, 2)],
)
async def test_receipts_that_come_together_share_the_room(world: World, limit: str, more: int, kept: int) -> None:
    """As many as fit beside what waits already; another recipient's mailbox has room of its own."""
    ada, user, other = await world.enlisted(), await world.opted_in(), await world.opted_in("+491511234568")
    for recipient in (user, other):
        await send(world, recipient, ada, *(f"m{number}" for number in range(5)))
        await send(world, ada, recipient, f"{recipient.account_id}-a", f"{recipient.account_id}-b")
    waiting = await world.waiting(user)
    used = len(waiting) if limit == "max_mailbox_items" else sum(len(item.content) for item in waiting)
    limits = Limits(**{limit: used + more})
    tight = replace(world.receipts, arrivals=replace(world.receipts.arrivals, limits=limits))
    receipts = [OutgoingReceipt(ReceiptType.DELIVERED, user.jid, (f"m{number}",)) for number in range(5)]
    receipts.append(OutgoingReceipt(ReceiptType.DELIVERED, other.jid, ("m4",)))
    assert await tight.send(ada, receipts, True) == [None] * 6
    found = [item.content.decode() for item in await world.waiting(user) if item.kind is StanzaKind.RECEIPT]
    assert found == [f"m{number}" for number in range(kept)]
    assert [item.content for item in await world.waiting(other)][-1] == b"m4"


@pytest.mark.requirement("RCP-03")
@pytest.mark.parametrize("count", [1, 2])
async def test_a_retry_receipt_goes_to_whom_the_message_came_from(world: World, count: int) -> None:
    """Both ways, as it came; it wakes, or pushes to a partner's user who is away (RCP-03, LIF-01)."""
    ada, user = await world.enlisted(), await world.opted_in()
    for sender, recipient in ((user, ada), (ada, user)):
        await send(world, sender, recipient, "m1")
        await read(world, recipient)
        pushes = len(world.pushes.queued)
        asked = retry(count=count, reason=RetryReason.UNKNOWN)
        await world.receipts.send_retry(recipient, sender.jid, asked)
        [item] = await world.waiting(sender)
        assert (item.kind, item.sender_jid, item.timestamp_ms) == (StanzaKind.RETRY_RECEIPT, recipient.jid, NOW_MS)
        assert decode(item) == asked
        assert world.connections.woken[-1] == sender.account_id
        assert len(world.pushes.queued) - pushes == (sender is ada)
        await read(world, sender)
    backlog = await world.mailbox.backlog(user)
    assert backlog.total == 0


@pytest.mark.requirement("RCP-03")
async def test_retry_receipts_are_counted_in_the_backlog(world: World) -> None:
    """Apart from other receipts (MSG-08, RCP-03)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1")
    await world.receipts.send_retry(ada, user.jid, retry())
    backlog = await world.mailbox.backlog(user)
    assert (backlog.messages, backlog.receipts, backlog.retry_receipts, backlog.total) == (0, 0, 1, 1)


BAD_KEYS: list[tuple[RetryKeys, Reason]] = [
    (BUNDLE._replace(identity_key=bytes(31)), Reason.KEY_MALFORMED),
    (BUNDLE._replace(identity_key=bytes(range(32))), Reason.PREKEY_SIGNATURE_INVALID),
    (BUNDLE._replace(signed_prekey=SIGNED._replace(key_id=0)), Reason.KEY_MALFORMED),
    (BUNDLE._replace(signed_prekey=SIGNED._replace(signature=bytes(64))), Reason.PREKEY_SIGNATURE_INVALID),
    (BUNDLE._replace(signed_prekey=SIGNED._replace(signature=b"")), Reason.KEY_MALFORMED),
    (BUNDLE._replace(one_time_prekey=OneTimePreKey(16_777_216, bytes(32))), Reason.KEY_MALFORMED),
    (BUNDLE._replace(one_time_prekey=OneTimePreKey(1, b"")), Reason.KEY_MALFORMED),
]


@pytest.mark.requirement("RCP-03")
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (retry(count=2, keys=None), Reason.STANZA_MALFORMED),
        (retry(media_status=200), Reason.STANZA_MALFORMED),
        (retry(media_status=0), Reason.STANZA_MALFORMED),
        *((retry(keys=keys), reason) for keys, reason in BAD_KEYS),
    ],
)
async def test_a_retry_receipt_holds_what_it_needs(world: World, asked: RetryReceipt, reason: Reason) -> None:
    """Keys from the second time on, well-formed and signed; a status that a lost blob answers with (RCP-03, MED-08)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1")
    with refused(reason):
        await world.receipts.send_retry(ada, user.jid, asked)
    assert await world.waiting(user) == []
    assert world.counts == {}


@pytest.mark.requirement("MED-08", "RCP-03")
@pytest.mark.parametrize("status", [404, 410])
async def test_a_lost_blob_needs_no_keys(world: World, status: int) -> None:
    """The session is well: it is the file that is asked for, however often (MED-08)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1")
    for count in (1, 2):
        await world.receipts.send_retry(ada, user.jid, retry(count=count, keys=None, media_status=status))
    assert [media_status(item) for item in await world.waiting(user)] == [status, status]
    assert last(world).requirement == "MED-08"


@pytest.mark.requirement("RCP-04")
async def test_at_most_five_retries_of_a_message_are_forwarded(world: World) -> None:
    """Whatever they count; what counts beyond five is none. Other messages are not concerned (RCP-04)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1", "m2")
    for count in (6, 2**32 - 1):
        await world.receipts.send_retry(ada, user.jid, retry(count=count))
        assert (last(world).outcome, last(world).requirement) == ("dropped", "RCP-04")
    assert await world.waiting(user) == []
    for count in (1, 1, 5, 1, 2, 3, 4):
        await world.receipts.send_retry(ada, user.jid, retry(count=count))
    assert [item.retry_count for item in await world.waiting(user)] == [1, 1, 5, 1, 2]
    assert (last(world).outcome, last(world).requirement) == ("dropped", "RCP-04")
    assert world.counts == {"retry_dropped": 4}
    await world.receipts.send_retry(ada, user.jid, retry("m2"))
    assert len(await world.waiting(user)) == 6


@pytest.mark.requirement("RCP-05")
async def test_a_retry_of_what_was_never_sent_is_dropped(world: World) -> None:
    """Another peer's message, one's own, a dropped one, a made-up one (RCP-05)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await send(world, user, bea, "to bea")
    await send(world, ada, user, "from ada")
    await world.blocklist.block(ada, user.jid)
    await send(world, user, ada, "dropped")
    await world.blocklist.unblock(ada, user.jid)
    await read(world, user)
    for stanza_id in ("to bea", "from ada", "dropped", "never"):
        await world.receipts.send_retry(ada, user.jid, retry(stanza_id))
        assert (last(world).requirement, last(world).subject) == ("RCP-05", stanza_id)
    assert await world.waiting(user) == []
    assert world.counts == {"retry_dropped": 4}


@pytest.mark.requirement("RCP-03")
async def test_nobody_asks_for_more_messages_than_a_restored_device_needs(build_world: BuildWorld) -> None:
    """Each costs the check of a signature: the rate is bounded per account (RCP-03; policy)."""
    world = await build_world(retry_burst=2, retry_per_second=1.0)
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()
    await send(world, user, ada, "m1")
    await send(world, user, bea, "m2")
    for _ in range(3):
        await world.receipts.send_retry(ada, user.jid, retry())
    await world.receipts.send_retry(bea, user.jid, retry("m2"))
    assert [item.stanza_id for item in await world.waiting(user)] == ["m1", "m1", "m2"]
    world.clock.advance(1_000)
    await world.receipts.send_retry(ada, user.jid, retry())
    assert len(await world.waiting(user)) == 4


@pytest.mark.requirement("RCP-04")
async def test_a_message_is_sent_again_when_it_was_asked_for(world: World) -> None:
    """Under the same id, with a count that was asked for and is new; anything else is a repetition (RCP-04, MSG-04)."""
    ada, bea, user = await world.enlisted("ada"), await world.enlisted("bea"), await world.opted_in()

    async def resend(count: int, to: Account = ada) -> SendOutcome:
        again = message(to, "m1", b"again %d" % count)._replace(retry_count=count)
        return (await world.router.send_messages(user, [again]))[0]

    await send(world, user, ada, "m1")
    world.clock.advance(1_000)
    first, later = SendOutcome("m1", NOW_MS), SendOutcome("m1", NOW_MS + 1_000)
    assert await resend(1) == first
    await world.receipts.send_retry(ada, user.jid, retry(count=2))
    assert await resend(3) == first
    assert await resend(0) == first
    to_another = (await resend(2, to=bea)).refusal
    assert to_another is not None and to_another.reason is Reason.MESSAGE_ID_REUSED
    assert await resend(2) == later
    taken = next(entry for entry in reversed(world.journal.after(0, 1_000)[0]) if entry.action == "stanza.message")
    assert (taken.requirement, taken.detail) == ("RCP-04", ada.jid)
    assert await resend(2) == await resend(1) == first
    await world.receipts.send_retry(ada, user.jid, retry(count=5))
    assert await resend(4) == await resend(5) == later
    assert await resend(5) == first
    waiting = await messages(world, ada)
    assert [(item.stanza_id, item.retry_count) for item in waiting] == [("m1", 0), ("m1", 2), ("m1", 4), ("m1", 5)]
    assert waiting[1].content == b"again 2"
    assert await world.waiting(bea) == []


@pytest.mark.requirement("RCP-04", "ABU-02")
async def test_what_is_sent_again_to_a_peer_who_has_blocked_meanwhile_goes_nowhere(world: World) -> None:
    """With the ack of any resend (RCP-04, ABU-02)."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1")
    await world.receipts.send_retry(ada, user.jid, retry())
    await world.blocklist.block(ada, user.jid)
    world.clock.advance(1_000)
    again = message(ada, "m1")._replace(retry_count=1)
    assert await world.router.send_messages(user, [again]) == [SendOutcome("m1", NOW_MS + 1_000)]
    assert last(world).outcome == "dropped"
    assert len(await messages(world, ada)) == 1
    await world.blocklist.unblock(ada, user.jid)
    assert await world.router.send_messages(user, [again]) == [SendOutcome("m1", NOW_MS)]
    await world.receipts.send_retry(ada, user.jid, retry(count=2))
    assert [item.retry_count for item in await world.waiting(user)] == [1, 2]


@pytest.mark.requirement("MSG-11")
@pytest.mark.parametrize(("room", "kept"), [(1, 1), (0, 0)])
async def test_a_retry_receipt_takes_the_last_room(world: World, room: int, kept: int) -> None:
    """Of items and of bytes: it needs no more than it takes up."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1", "m2")
    await send(world, ada, user, "a")
    for message_id, limit in (("m1", "max_mailbox_items"), ("m2", "max_mailbox_bytes")):
        waiting = await world.waiting(user)
        asked = retry(message_id)
        size = len(encode(asked, user.account_id, NOW_MS).content)
        used = len(waiting) if limit == "max_mailbox_items" else sum(len(item.content) for item in waiting) + size - 1
        limits = Limits(**{limit: used + room})
        tight = replace(world.receipts, arrivals=replace(world.receipts.arrivals, limits=limits))
        await tight.send_retry(ada, user.jid, asked)
        assert len(await world.waiting(user)) - len(waiting) == kept


@pytest.mark.requirement("MSG-11", "RCP-04")
async def test_a_resend_needs_room(build_world: BuildWorld) -> None:
    """Unlike a repetition it is delivered, so a full mailbox refuses it, and its count stays free (MSG-11, RCP-04)."""
    world = await build_world(max_mailbox_items=1)
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, user, ada, "m1")
    await world.receipts.send_retry(ada, user.jid, retry())
    again = message(ada, "m1")._replace(retry_count=1)
    [outcome] = await world.router.send_messages(user, [again])
    assert outcome.refusal is not None and outcome.refusal.reason is Reason.MAILBOX_FULL
    await read(world, ada)
    assert (await world.router.send_messages(user, [again]))[0].refusal is None
    assert [item.retry_count for item in await messages(world, ada)] == [1]


async def test_nobody_at_an_address_is_refused_like_in_a_message(world: World) -> None:
    """The address is looked at first, so the journal never holds what somebody wrote into it (MSG-01)."""
    ada = await world.enlisted()
    for asked in (retry(), retry(count=9)):
        with refused(Reason.USER_VISIBLE_IDENTIFIER):
            await world.receipts.send_retry(ada, "eve@bats.example", asked)
    assert world.counts == {}
    assert ada.integrator == BATS


async def test_an_address_that_is_none_is_refused_by_the_field_that_holds_it(world: World) -> None:
    """That of the receipt; the receipts beside it go through."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, user, "m1")
    wrong, right = (OutgoingReceipt(ReceiptType.DELIVERED, jid, ["m1"]) for jid in ("1@lid", ada.jid))
    refusal, none = await world.receipts.send(user, [wrong, right], True)
    assert refusal is not None and none is None
    assert (refusal.reason, [each.field for each in refusal.violations]) == (
        Reason.ADDRESS_MALFORMED, ["receipt.to_jid"],
    )  # fmt: skip
    with refused(Reason.ADDRESS_MALFORMED) as caught:
        await world.receipts.send_retry(user, "1@lid", retry())
    assert [each.field for each in caught.value.violations] == ["retry_receipt.to_jid"]
