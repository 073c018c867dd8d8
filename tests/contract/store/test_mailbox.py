"""Storing, listing, acking and expiring what waits for a recipient."""

import asyncio
from collections.abc import Sequence

import pytest

from interop_server.core.mailbox_content import DigestRequested, encode
from interop_server.core.messages import (
    Backlog,
    MailboxItem,
    RetryOutcome,
    RetryReason,
    RetryReceipt,
    SentMessage,
    StanzaKind,
    Stored,
)
from interop_server.core.model import Account, InboxMode
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, World, read

TOKEN = bytes(range(16))


def outcomes(stored: Sequence[Stored]) -> list[Stored]:
    """What became of messages, without what waits now for their recipients."""
    return [each._replace(delivery=None, follows=0) for each in stored]


async def test_what_was_stored_comes_back_byte_for_byte(store: Store, world: World) -> None:
    """Messages, receipts and notifications; any content, any text in ids."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    messages = [
        world.message(user, account, "plain"),
        world.message(user, account, 'ünïcode "quoted" \\ \n', content=bytes(range(256)) * 384),
        world.message(user, account, "empty", content=b""),
    ]
    others = [world.receipt(user, account), world.notification(account)]
    await store.mailbox.put(messages)
    await store.mailbox.put(others)
    waiting = await world.waiting(account)
    assert waiting == [read(message) for message in messages] + others
    assert all(isinstance(item.kind, StanzaKind) for item in waiting)
    assert await world.waiting(user) == []


async def test_empty_content_is_content(store: Store, world: World) -> None:
    """Also when nothing else is stored with it."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, "empty", content=b"")])
    assert [item.content for item in await world.waiting(account)] == [b""]


async def test_delivery_ids_follow_the_order_of_the_call(store: Store, world: World) -> None:
    """Across recipients and calls, and ids never repeat after an ack."""
    user = await world.whatsapp_user("491")
    peers = [await world.third_party_user(number) for number in (1, 2)]
    await store.mailbox.put([world.message(user, peers[n % 2], f"{n:03}") for n in range(500)])
    deliveries = [found for peer in peers for found in await store.mailbox.list_deliveries(peer.account_id, 0, 1000, 0)]
    deliveries.sort()
    assert [delivery.item.stanza_id for delivery in deliveries] == [f"{n:03}" for n in range(500)]
    for peer in peers:
        await store.mailbox.delete(peer.account_id, [delivery.delivery_id for delivery in deliveries])
    await store.mailbox.put([world.message(user, peers[0], "next")])
    [after] = await store.mailbox.list_deliveries(peers[0].account_id, 0, 10, 0)
    assert after.delivery_id > deliveries[-1].delivery_id


@pytest.mark.requirement("MSG-14")
async def test_concurrent_calls_keep_their_order(store: Store, world: World) -> None:
    """Calls made one after the other without waiting are stored in that order, however they are grouped (MSG-14)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    calls = []
    for n in range(300):
        if n % 3:
            calls.append(store.mailbox.put([world.message(user, account, f"{n}", content=b"%d" % n)]))
        else:
            calls.append(store.mailbox.put([world.receipt(user, account)._replace(content=b"%d" % n)]))
    await asyncio.gather(*calls)
    assert [item.content for item in await world.waiting(account)] == [b"%d" % n for n in range(300)]


async def test_what_was_stored_is_returned_as_the_mailbox_lists_it(store: Store, world: World) -> None:
    """With the choices that hold then, and with what waits before it: who has seen that needs no look (MSG-08)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.opt_in.put_inbox_mode(user.account_id, InboxMode.COMBINED)
    await store.mailbox.put([world.receipt(account, user)])
    items = [world.message(account, user, "a"), world.message(account, user, "b"), world.message(user, account, "c")]
    first, second, other = await store.mailbox.put(items)
    listed = await store.mailbox.list_deliveries(user.account_id, 0, 10, 0)
    assert [first.follows, second.follows, other.follows] == [listed[0].delivery_id, listed[1].delivery_id, 0]
    for stored, waiting in zip((first, second), listed[1:], strict=True):
        assert stored.delivery is not None
        assert stored.delivery._replace(item=read(stored.delivery.item)) == waiting


@pytest.mark.requirement("MSG-04")
async def test_a_message_is_stored_once_per_sender_and_id(store: Store, world: World) -> None:
    """The duplicate gets the first timestamp, also when the first was long acked (MSG-04)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    assert outcomes(await store.mailbox.put([world.message(user, account, "m", NOW_MS)])) == [Stored(NOW_MS, False)]
    [delivery] = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    await store.mailbox.delete(account.account_id, [delivery.delivery_id])
    again = [world.message(user, account, "m", NOW_MS + 9), world.message(user, account, "n", NOW_MS + 9)]
    assert outcomes(await store.mailbox.put(again)) == [Stored(NOW_MS, True), Stored(NOW_MS + 9, False)]
    assert [item.stanza_id for item in await world.waiting(account)] == ["n"]


async def test_the_same_id_twice_in_one_call(store: Store, world: World) -> None:
    """The second is a duplicate of the first, also towards another recipient."""
    user = await world.whatsapp_user("491")
    peers = [await world.third_party_user(number) for number in (1, 2)]
    messages = [world.message(user, peer, "m", NOW_MS + n) for n, peer in enumerate(peers)]
    assert outcomes(await store.mailbox.put(messages)) == [Stored(NOW_MS, False), Stored(NOW_MS, True, True)]
    assert (len(await world.waiting(peers[0])), await world.waiting(peers[1])) == (1, [])


@pytest.mark.requirement("MSG-04")
async def test_a_repetition_says_whether_it_went_to_the_same_recipient(store: Store, world: World) -> None:
    """So does one in the same call, and one long after the first was acked; what is stored of the first stays."""
    user = await world.whatsapp_user("491")
    ada, bea = [await world.third_party_user(number) for number in (1, 2)]
    first = world.message(user, ada, "m", NOW_MS)
    to_bea = world.message(user, bea, "m", NOW_MS + 1)
    same, other = Stored(NOW_MS, True, False), Stored(NOW_MS, True, True)
    assert outcomes(await store.mailbox.put([first, first, to_bea])) == [
        Stored(NOW_MS, False, False),
        same,
        other,
    ]
    [delivery] = await store.mailbox.list_deliveries(ada.account_id, 0, 10, 0)
    await store.mailbox.delete(ada.account_id, [delivery.delivery_id])
    assert outcomes(await store.mailbox.put([to_bea, first])) == [other, same]
    await store.accounts.delete(ada.account_id)
    assert outcomes(await store.mailbox.put([to_bea, first])) == [other, same]
    assert await world.waiting(bea) == []
    assert (await store.sent.get(user.account_id, ["m"]))["m"].recipient_id == ada.account_id


async def test_concurrent_duplicates_are_stored_once(store: Store, world: World) -> None:
    """50 retries at once: one is the first."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    calls = [store.mailbox.put([world.message(user, account, "m", NOW_MS + n)]) for n in range(50)]
    stored = [answer for [answer] in await asyncio.gather(*calls)]
    assert [answer.duplicate for answer in stored].count(False) == 1
    assert {answer.timestamp_ms for answer in stored} == {NOW_MS}
    assert len(await world.waiting(account)) == 1


@pytest.mark.requirement("RCP-04", "ABU-04")
async def test_count_and_token_of_a_message_come_back(store: Store, world: World) -> None:
    """They are carried to the recipient, and remembered; other kinds have none."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    plain = world.message(user, account, "plain")
    proved = world.message(user, account, "proved", content=b"")._replace(reporting_token=TOKEN, retry_count=2)
    await store.mailbox.put([plain, proved])
    assert await world.waiting(account) == [read(plain), read(proved)]
    assert await store.sent.get(user.account_id, ["proved", "plain", "none"]) == {
        "plain": SentMessage(account.account_id, NOW_MS, b"", False, 0, 0),
        "proved": SentMessage(account.account_id, NOW_MS, TOKEN, False, 2, 0),
    }
    assert await store.sent.get(account.account_id, ["plain"]) == {}
    assert await store.sent.get(user.account_id, []) == {}


@pytest.mark.requirement("MSG-04", "ABU-02")
async def test_a_dropped_message_is_remembered_and_goes_nowhere(store: Store, world: World) -> None:
    """No mailbox, no chat; sent again it is a duplicate, dropped or not."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    dropped = world.message(account, user, "m", is_dropped=True)._replace(reporting_token=TOKEN)
    assert outcomes(await store.mailbox.put([dropped])) == [Stored(NOW_MS, False)]
    for again in (dropped._replace(timestamp_ms=NOW_MS + 1), world.message(account, user, "m", NOW_MS + 2)):
        assert outcomes(await store.mailbox.put([again])) == [Stored(NOW_MS, True)]
    assert await world.waiting(user) == []
    assert await store.chats.list_page(user.account_id, None, 10) == []
    sent = await store.sent.get(account.account_id, ["m"])
    assert sent == {"m": SentMessage(user.account_id, NOW_MS, TOKEN, True, 0, 0)}


def asking(world: World, sender: Account, to: Account, stanza_id: str, count: int) -> MailboxItem:
    retry = RetryReceipt(stanza_id, count, RetryReason.UNKNOWN, 1, None, None)
    return encode(retry, to.account_id, NOW_MS, sender_id=sender.account_id, sender_jid=sender.jid)


@pytest.mark.requirement("RCP-03", "RCP-04")
async def test_a_retry_receipt_waits_for_the_sender_of_its_message(store: Store, world: World) -> None:
    """It comes back as it was, and allows a resend with up to its count, also when the message was long acked."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    sent = world.message(user, account, "m")
    await store.mailbox.put([sent])
    [delivery] = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    await store.mailbox.delete(account.account_id, [delivery.delivery_id])
    receipt = asking(world, account, user, "m", 2)
    assert await store.mailbox.put_retry_receipt(receipt, 5) is RetryOutcome.FORWARDED
    assert await world.waiting(user) == [receipt]
    assert (await store.sent.get(user.account_id, ["m"]))["m"].retries_allowed == 2
    resends = [sent._replace(retry_count=count, timestamp_ms=NOW_MS + count) for count in (3, 2, 2, 1)]
    repeated = Stored(NOW_MS, True)
    assert outcomes(await store.mailbox.put(resends)) == [
        repeated,
        Stored(NOW_MS + 2, False),
        repeated,
        repeated,
    ]
    assert await world.waiting(account) == [read(resends[1])]


@pytest.mark.requirement("ABU-04", "RCP-04")
async def test_the_reporting_token_is_that_of_what_arrived_last(store: Store, world: World) -> None:
    """What was asked for again could not be read, so it cannot be reported; a duplicate changes nothing."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    sent = world.message(user, account, "m")._replace(reporting_token=TOKEN)
    await store.mailbox.put([sent])
    await store.mailbox.put_retry_receipt(asking(world, account, user, "m", 1), 5)
    for retry_count, token, remembered in ((0, bytes(16), TOKEN), (1, b"", b""), (1, TOKEN, b"")):
        await store.mailbox.put([sent._replace(retry_count=retry_count, reporting_token=token)])
        assert (await store.sent.get(user.account_id, ["m"]))["m"].reporting_token == remembered


@pytest.mark.requirement("RCP-04", "RCP-05")
async def test_concurrent_retries_are_counted_exactly(store: Store, world: World) -> None:
    """Twenty at once for one message: five are stored. None for what was not sent to whoever asks."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, "m")])
    asked = [store.mailbox.put_retry_receipt(asking(world, account, user, "m", 1), 5) for _ in range(20)]
    outcomes = await asyncio.gather(*asked)
    assert (outcomes.count(RetryOutcome.FORWARDED), outcomes.count(RetryOutcome.TOO_MANY)) == (5, 15)
    for sender, to, stanza_id in ((account, user, "n"), (user, account, "m"), (user, user, "m")):
        outcome = await store.mailbox.put_retry_receipt(asking(world, sender, to, stanza_id, 1), 5)
        assert outcome is RetryOutcome.NEVER_SENT
    assert len(await world.waiting(user)) == 5


async def test_two_senders_may_use_the_same_id(store: Store, world: World) -> None:
    """Ids are a sender's own."""
    users, account = [await world.whatsapp_user(n) for n in ("491", "492")], await world.third_party_user(1)
    stored = await store.mailbox.put([world.message(user, account, "m") for user in users])
    assert [answer.duplicate for answer in stored] == [False, False]


async def test_receipts_are_no_duplicates_of_each_other(store: Store, world: World) -> None:
    """They have no id."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.receipt(user, account)] * 2)
    assert len(await world.waiting(account)) == 2


async def test_messages_from_or_to_a_deleted_account_vanish(store: Store, world: World) -> None:
    """One that goes while its messages are under way does not spoil the others' (LIF-05)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    gone = await world.third_party_user(2)
    await store.accounts.delete(gone.account_id)
    items = [world.message(user, gone, "1"), world.message(gone, user, "2"), world.message(user, account, "3")]
    assert [stored.duplicate for stored in await store.mailbox.put(items)] == [False] * 3
    await store.mailbox.put([world.receipt(user, gone), world.receipt(user, account)])
    assert (len(await world.waiting(account)), await world.waiting(user)) == (2, [])


async def test_listing_starts_after_an_id_and_ends_at_the_limit(store: Store, world: World) -> None:
    """And skips what is older than the time asked for."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, f"{n}", NOW_MS + n) for n in range(6)])
    everything = await store.mailbox.list_deliveries(account.account_id, 0, 100, 0)
    page = await store.mailbox.list_deliveries(account.account_id, everything[1].delivery_id, 2, 0)
    assert page == everything[2:4]
    assert await store.mailbox.list_deliveries(account.account_id, everything[-1].delivery_id, 2, 0) == []
    assert await store.mailbox.list_deliveries(account.account_id, 0, 100, NOW_MS + 4) == everything[4:]


async def test_deliveries_carry_the_recipients_inbox_mode_of_now(store: Store, world: World) -> None:
    """Separate until something else is chosen (OPT-05)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(account, user, "m")])
    [before] = await store.mailbox.list_deliveries(user.account_id, 0, 10, 0)
    await store.opt_in.put_inbox_mode(user.account_id, InboxMode.COMBINED)
    [after] = await store.mailbox.list_deliveries(user.account_id, 0, 10, 0)
    assert (before.inbox_mode, after.inbox_mode) == (InboxMode.SEPARATE, InboxMode.COMBINED)


async def test_unacked_deliveries_come_again_under_the_same_id(store: Store, world: World) -> None:
    """Listing takes nothing away (MSG-09)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, "m")])
    first = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    assert await store.mailbox.list_deliveries(account.account_id, 0, 10, 0) == first


async def test_an_ack_touches_only_the_callers_deliveries(store: Store, world: World) -> None:
    """Ids of others are ignored, also in the group of their own acks; twice is as good as once."""
    user, account, other = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2),
    )
    await store.mailbox.put([world.message(user, peer, f"{n}") for n, peer in enumerate((account, other, other))])
    mine, *theirs = sorted(
        [found for peer in (account, other) for found in await store.mailbox.list_deliveries(peer.account_id, 0, 10, 0)]
    )
    await asyncio.gather(
        store.mailbox.delete(account.account_id, [theirs[0].delivery_id, 10**12]),
        store.mailbox.delete(other.account_id, [theirs[1].delivery_id, mine.delivery_id]),
        store.mailbox.delete(other.account_id, [theirs[1].delivery_id]),
    )
    assert await store.mailbox.list_deliveries(account.account_id, 0, 10, 0) == [mine]
    assert await store.mailbox.list_deliveries(other.account_id, 0, 10, 0) == [theirs[0]]


async def test_the_backlog_counts_by_kind(store: Store, world: World) -> None:
    """Nothing at first; then what is young enough, and the last id of that (MSG-08)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    assert await store.mailbox.get_backlog(account.account_id, 0) == Backlog(0, 0, 0, 0, 0)
    await store.mailbox.put([world.message(user, account, f"{n}", NOW_MS + n) for n in range(3)])
    await store.mailbox.put([world.receipt(user, account)] * 2 + [world.notification(account)])
    last = (await store.mailbox.list_deliveries(account.account_id, 0, 10, 0))[-1].delivery_id
    assert await store.mailbox.get_backlog(account.account_id, 0) == Backlog(3, 2, 1, 0, last)
    assert await store.mailbox.get_backlog(account.account_id, NOW_MS + 1) == Backlog(2, 0, 0, 0, last - 3)


async def test_expiry_deletes_what_is_older(store: Store, world: World) -> None:
    """It returns how many items went; what is exactly that old stays. Ids are forgotten later (MSG-07, MSG-04)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, f"{n}", NOW_MS + n) for n in range(4)])
    await store.mailbox.put([world.receipt(user, account, NOW_MS)])
    assert await store.mailbox.delete_expired(NOW_MS + 2, 2) == 2, "no more than asked for: a step"
    assert await store.mailbox.delete_expired(NOW_MS + 2, 2) == 1
    assert await store.mailbox.delete_expired(NOW_MS + 2, 1_000) == 0
    assert [item.stanza_id for item in await world.waiting(account)] == ["2", "3"]
    again = [world.message(user, account, f"{n}", NOW_MS + 9) for n in (1, 2)]
    assert outcomes(await store.mailbox.put(again)) == [Stored(NOW_MS + 1, True), Stored(NOW_MS + 2, True)]
    assert [await store.sent.delete_expired(NOW_MS + 2, 1_000) for _ in range(2)] == [2, 0]
    assert outcomes(await store.mailbox.put(again)) == [Stored(NOW_MS + 9, False), Stored(NOW_MS + 2, True)]


@pytest.mark.requirement("SIM-04", "MSG-14")
async def test_the_oldest_and_the_newest_timestamp_are_known(store: Store, world: World) -> None:
    """Of items that wait, and of messages that are remembered beyond that, until those expire (MSG-04, MSG-07)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)

    async def known() -> tuple[int | None, int | None, int]:
        return await store.mailbox.oldest_ms(), await store.sent.oldest_ms(), await store.past.get_time_floor_ms()

    assert await known() == (None, None, 0)
    await store.mailbox.put([world.message(user, account, f"{n}", NOW_MS + n) for n in (5, 3, 7)])
    await store.mailbox.put([world.receipt(user, account, NOW_MS + at) for at in (1, 9)])
    assert await known() == (NOW_MS + 1, NOW_MS + 3, NOW_MS + 9)
    await store.mailbox.delete_expired(NOW_MS + 4, 1_000)
    assert await known() == (NOW_MS + 5, NOW_MS + 3, NOW_MS + 9)
    waiting = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    await store.mailbox.delete(account.account_id, [delivery.delivery_id for delivery in waiting])
    assert await known() == (None, NOW_MS + 3, NOW_MS + 7)
    await store.sent.delete_expired(NOW_MS + 4, 1_000)
    assert await known() == (None, NOW_MS + 5, NOW_MS + 7)
    await store.sent.delete_expired(NOW_MS + 8, 1_000)
    assert await known() == (None, None, 0)


@pytest.mark.requirement("MSG-14", "KEY-17")
async def test_a_notice_is_not_dated_before_what_it_comes_after(store: Store, world: World) -> None:
    """Although messages that were called later are stored first, in one group with others (MSG-14)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, account, "chat", NOW_MS)])
    changed = world.enlistment(1, seed=8, now_ms=NOW_MS + 2)
    await asyncio.gather(
        store.mailbox.put([world.message(account, user, "before", NOW_MS + 1)]),
        store.accounts.enlist(changed),
        store.mailbox.put([world.receipt(account, user, NOW_MS + 3)]),
    )
    timestamps = [item.timestamp_ms for item in await world.waiting(user)]
    assert len(timestamps) == 3
    assert timestamps == sorted(timestamps)


async def test_empty_calls_do_nothing(store: Store, world: World) -> None:
    """None of them is an error."""
    account = await world.third_party_user(1)
    assert outcomes(await store.mailbox.put([])) == []
    await store.mailbox.put([])
    await store.mailbox.delete(account.account_id, [])
    assert await store.prekeys.take_bundles([]) == {}
    await store.opt_in.put((await world.whatsapp_user("491")).account_id, [])
    assert (await store.partners.get(BATS)) is not None


@pytest.mark.requirement("KEY-10")
async def test_one_request_for_a_comparison_of_keys_waits_per_account(store: Store, world: World) -> None:
    """A second is the same as the first; once that is acked there can be another (KEY-10)."""
    one, other = await world.third_party_user(1), await world.third_party_user(2)
    requests = [encode(DigestRequested(), account.account_id, NOW_MS) for account in (one, one, other)]
    await store.mailbox.put(requests)
    assert await world.waiting(one) == requests[:1]
    assert await world.waiting(other) == requests[2:]
    [delivery] = await store.mailbox.list_deliveries(one.account_id, 0, 10, 0)
    await store.mailbox.delete(one.account_id, [delivery.delivery_id])
    await store.mailbox.put(requests[:1])
    assert await world.waiting(one) == requests[:1]


@pytest.mark.requirement("MSG-09")
async def test_a_page_is_bounded_in_bytes(store: Store, world: World) -> None:
    """As many as fit, and one that does not fit into any page alone."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    contents = [bytes(size) for size in (100, 100, 500, 100)]
    await store.mailbox.put(
        [world.message(user, account, f"{n}", content=content) for n, content in enumerate(contents)]
    )
    everything = await store.mailbox.list_deliveries(account.account_id, 0, 10, 0)
    sizes = [len(each.item.content) for each in everything]
    pages, after = [], 0
    while page := await store.mailbox.list_deliveries(account.account_id, after, 10, 0, 2 * sizes[0]):
        pages.append(len(page))
        after = page[-1].delivery_id
    assert pages == [2, 1, 1]


@pytest.mark.requirement("OPT-06")
@pytest.mark.parametrize(
    ("sent", "newest"),
    [
        ([(5, False)], 5),
        ([(3, False), (5, False), (4, False)], 5),
        ([(3, True), (5, False)], 5),
        ([(3, False), (5, True)], 3),
        ([(3, True), (4, False), (5, True)], 4),
        ([(3, True), (5, True)], None),
    ],
)
async def test_what_comes_together_lists_a_chat_by_its_newest(
    store: Store, world: World, sent: list[tuple[int, bool]], newest: int | None
) -> None:
    """Messages that were dropped neither list nor date it; a chat beside it, of the same moment, has its own time."""
    user, ada, eve = await world.whatsapp_user("491"), *[await world.third_party_user(n, seed=n) for n in (7, 9)]
    batch, entries = [], {}
    for number, (at, is_dropped) in enumerate(sent):
        message = world.message(ada, user, f"a{number}", NOW_MS + at, is_dropped=is_dropped)
        entry = entries.setdefault(is_dropped, message.chat)
        batch.append(message._replace(chat=entry))
        batch.append(world.message(eve, user, f"e{number}", NOW_MS + at))
    for turn, items in enumerate((batch, sorted(batch, key=lambda item: item.sender_id))):
        await store.mailbox.put([each._replace(stanza_id=f"{each.stanza_id}-{turn}") for each in items])
        chats = {chat.peer_jid: chat for chat in await store.chats.list_page(user.account_id, None, 10)}
        assert chats[eve.jid].last_message_at_ms == NOW_MS + max(at for at, _ in sent)
        assert (chats[ada.jid].last_message_at_ms - NOW_MS if ada.jid in chats else None) == newest
