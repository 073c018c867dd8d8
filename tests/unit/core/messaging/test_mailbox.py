"""What waits for whoever is away, and for how long."""

import pytest

from interop_server.core.limits import DAY_MS
from interop_server.core.messages import Backlog, ReceiptType
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import Account, InboxMode
from tests.unit.core.world import NOW_MS, OWLS, ClientKeys, World, message

THIRTY_DAYS_MS = 30 * DAY_MS


async def fill(world: World) -> tuple[Account, Account]:
    """Five messages wait for a WhatsApp user."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.router.send_messages(ada, [message(user, f"m{number}") for number in range(5)])
    return ada, user


async def test_a_backlog_is_counted_by_kind(world: World) -> None:
    """Messages, receipts and notifications, and where it ends (MSG-08)."""
    ada, user = await fill(world)
    assert await world.mailbox.backlog(ada) == Backlog(0, 0, 0, 0, 0)
    await world.router.send_messages(user, [message(ada, "x")])
    await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["x"])], True)
    await world.enlisted("ada", keys=ClientKeys(seed=2))
    backlog = await world.mailbox.backlog(user)
    assert (backlog.messages, backlog.receipts, backlog.notifications, backlog.total) == (5, 1, 1, 7)
    assert backlog.last_delivery_id == (await world.mailbox.deliveries(user, 0, 100))[-1].delivery_id


async def test_deliveries_come_in_pages_in_the_order_of_sending(world: World) -> None:
    """Each page goes on where the last one ended (MSG-08)."""
    _, user = await fill(world)
    first = await world.mailbox.deliveries(user, 0, 2)
    rest = await world.mailbox.deliveries(user, first[-1].delivery_id, 10)
    assert [delivery.item.stanza_id for delivery in first + rest] == ["m0", "m1", "m2", "m3", "m4"]
    assert await world.mailbox.deliveries(user, rest[-1].delivery_id, 10) == []


async def test_only_what_the_recipient_acked_is_forgotten(world: World) -> None:
    """What is not acked comes again, and nobody can ack another's deliveries (MSG-09)."""
    ada, user = await fill(world)
    deliveries = await world.mailbox.deliveries(user, 0, 10)
    await world.mailbox.forget(user, [deliveries[1].delivery_id, deliveries[3].delivery_id])
    await world.mailbox.forget(ada, [deliveries[0].delivery_id])
    left = await world.mailbox.deliveries(user, 0, 10)
    assert left == [deliveries[0], deliveries[2], deliveries[4]]


@pytest.mark.requirement("MSG-10")
async def test_what_a_client_cannot_take_is_forgotten_and_counted(world: World) -> None:
    """Whether it says so itself or lacks the capability; the journal says which of the two (MSG-10)."""
    _, user = await fill(world)
    await world.operator.request_key_digest(user.jid)
    *messages, digest = await world.mailbox.deliveries(user, 0, 10)
    await world.mailbox.nack(user, messages[0].delivery_id, 588)
    await world.mailbox.withhold(user, [digest])
    assert await world.mailbox.deliveries(user, 0, 10) == messages[1:]
    assert (world.counts["nack_588"], world.counts["nack_488"]) == (1, 1)
    nacked, withheld = world.journal.after(0, 1_000)[0][-2:]
    assert (nacked.actor, nacked.outcome, nacked.requirement, nacked.detail) == (user.jid, "accepted", "MSG-10", "588")
    assert (withheld.actor, withheld.subject, withheld.outcome) == ("server", user.jid, "done")
    assert (withheld.requirement, withheld.action) == ("MSG-10", nacked.action)
    assert "488" in withheld.detail and "KEY_DIGESTS" in withheld.detail


@pytest.mark.requirement("MSG-07")
async def test_the_mailbox_keeps_a_message_for_thirty_days(world: World) -> None:
    """On their last millisecond it is delivered, after them there is nothing, swept or not (MSG-07)."""
    ada, user = await fill(world)
    world.connections.online.add(ada.account_id)  # or she would go, too (LIF-04)
    world.clock.advance(THIRTY_DAYS_MS - 1)
    assert len(await world.waiting(user)) == 5
    assert (await world.mailbox.backlog(user)).messages == 5
    assert await world.sweep() == {}
    assert (await world.store.count_rows())["mailbox"] == 5

    world.clock.advance(1)
    await world.router.send_messages(ada, [message(user, "fresh")])
    assert [item.stanza_id for item in await world.waiting(user)] == ["fresh"]
    assert (await world.mailbox.backlog(user)).messages == 1
    assert await world.sweep() == {"mailbox_items": 5}
    assert (await world.store.count_rows())["mailbox"] == 1
    assert [item.timestamp_ms for item in await world.waiting(user)] == [NOW_MS + THIRTY_DAYS_MS]


async def test_a_delivery_carries_the_recipients_inbox_mode_of_now(world: World) -> None:
    """The choice of the moment of delivery, which changes no routing (OPT-05)."""
    _, user = await fill(world)
    for mode in (InboxMode.COMBINED, InboxMode.SEPARATE):
        await world.optin.set_inbox_mode(user, mode)
        deliveries = await world.mailbox.deliveries(user, 0, 10)
        assert [delivery.inbox_mode for delivery in deliveries] == [mode] * 5


async def test_what_waits_stays_after_an_opt_out(world: World) -> None:
    """It was accepted while both had agreed; only what comes later is refused (OPT-02, OPT-06)."""
    _, user = await fill(world)
    await world.optin.set_enabled(user, False)
    assert len(await world.waiting(user)) == 5
    await world.optin.set_enabled(user, True)
    owl = await world.enlisted("owl", OWLS)
    [outcome] = await world.router.send_messages(owl, [message(user)])
    assert outcome.refusal is not None
    assert len(await world.waiting(user)) == 5
