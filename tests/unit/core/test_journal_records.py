"""What each decision leaves in the journal: every field of the record, since whoever asks why reads nothing else."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_server.core.errors import Reason
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS
from interop_server.core.messages import ReceiptType, ReportedMessage, RetryReason, RetryReceipt, TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import Account, KemPreKeys, Platform, Sanction, SanctionKind, SpamFlow

from .conftest import BuildWorld
from .world import BATS, NOW_MS, OWLS, ClientKeys, World, message

pytestmark = pytest.mark.requirement("SIM-07")

KEYS = ClientKeys()
BLOCKED = ("ABU-02", "the recipient has blocked the sender")
DECLINED = ("OPT-14", "the recipient has declined the sender's message request")
NEVER_SENT = "that peer never sent it to this account"
Said = tuple[str, ...]


def said(world: World, *, after: int = 0) -> list[Said]:
    """What the records after the given number say: actor, action, subject, outcome, requirement, cause, detail."""
    entries, _ = world.journal.after(after, 10_000)
    assert {(entry.reason, entry.request_id) for entry in entries} <= {("", "")}
    return [
        (entry.actor, entry.action, entry.subject, entry.outcome, entry.requirement, entry.cause, entry.detail)
        for entry in entries
    ]


async def two(world: World) -> tuple[Account, Account]:
    """A third-party user and a WhatsApp user who may talk; nothing stands in the journal yet."""
    people = await world.enlisted(), await world.opted_in()
    assert said(world) == []
    return people


async def send(world: World, sender: Account, *messages: Any) -> None:
    for outcome in await world.router.send_messages(sender, messages):
        assert outcome.refusal is None


def retry(message_id: str, **changes: Any) -> RetryReceipt:
    receipt = RetryReceipt(message_id, 1, RetryReason.BAD_MAC, KEYS.published.registration_id, None, None)
    return receipt._replace(**changes)


async def test_messages(world: World) -> None:
    """Accepted, the push for it, repeated, sent again after a retry; the subject is the id, the detail the peer."""
    ada, user = await two(world)
    await send(world, user, message(ada, "m1"), message(ada, "m2"))
    await send(world, user, message(ada, "m1"))
    accepted = (user.jid, "stanza.message", "m1", "accepted")
    assert said(world) == [
        (*accepted, "MSG-06", "", ada.jid),
        (user.jid, "stanza.message", "m2", "accepted", "MSG-06", "", ada.jid),
        ("server", "push", ada.jid, "done", "LIF-01", "", ""),
        (*accepted, "MSG-04", "", ada.jid),
        ("server", "push", ada.jid, "done", "LIF-01", "", ""),
    ]
    await world.receipts.send_retry(ada, user.jid, retry("m1"))
    before = len(said(world))
    await send(world, user, message(ada, "m1")._replace(retry_count=1))
    assert said(world, after=before)[0] == (*accepted, "RCP-04", "", ada.jid)


@pytest.mark.parametrize(("why", "requirement", "cause"), [("blocked", *BLOCKED), ("declined", *DECLINED)])
async def test_dropped_messages(world: World, why: str, requirement: str, cause: str) -> None:
    """The requirement and the cause are those of the block or of the declined request."""
    ada, user = await two(world)
    await send(world, ada, message(user, "m1"))
    if why == "blocked":
        await world.blocklist.block(user, ada.jid)
    else:
        await world.requests.answer(user, ada.jid, accepted=False)
    before = len(said(world))
    await send(world, ada, message(user, "m2"))
    await world.indicators.show(ada, user.jid, Typing(TypingState.PAUSED))
    await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["x", "y"])], True)
    await world.receipts.send_retry(ada, user.jid, retry("x"))
    assert said(world, after=before) == [
        (ada.jid, "stanza.message", "m2", "dropped", requirement, cause, user.jid),
        (ada.jid, "stanza.typing", user.jid, "dropped", requirement, cause, ""),
        (ada.jid, "stanza.receipt", user.jid, "dropped", requirement, cause, "read: 2"),
        (ada.jid, "stanza.retry_receipt", "x", "dropped", requirement, cause, user.jid),
    ]


async def test_a_repetition_that_a_rule_would_refuse_now(world: World) -> None:
    """It is acked as what was accepted before, whom it went to included."""
    ada, user = await two(world)
    await send(world, ada, message(user, "m1"))
    await world.optin.opt_in(user, [OWLS])
    await send(world, ada, message(user, "m1"))
    assert said(world)[-1] == (ada.jid, "stanza.message", "m1", "accepted", "MSG-04", "", user.jid)


async def test_receipts(build_world: BuildWorld) -> None:
    """How many of which kind; what the peer never sent is a record of its own."""
    world = await build_world(max_mailbox_items=3)
    ada, user = await two(world)
    await send(world, user, message(ada, "m1"), message(ada, "m2"))
    before = len(said(world))
    await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["m1", "m2", "m3"])], True)
    await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.DELIVERED, user.jid, ["m4", "m5"])], True)
    await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.READ, user.jid, ["m1"])], False)
    for _ in range(3):
        await world.receipts.send(ada, [OutgoingReceipt(ReceiptType.DELIVERED, user.jid, ["m1"])], True)
    to_user = (ada.jid, "stanza.receipt", user.jid)
    assert said(world, after=before) == [
        (*to_user, "dropped", "RCP-05", NEVER_SENT, "read: 1"),
        (*to_user, "accepted", "RCP-01", "", "read: 2"),
        (*to_user, "dropped", "RCP-05", NEVER_SENT, "delivered: 2"),
        (*to_user, "dropped", "RCP-01", "read receipts are off", "read: 1"),
        (*to_user, "accepted", "RCP-01", "", "delivered: 1"),
        (*to_user, "accepted", "RCP-01", "", "delivered: 1"),
        (*to_user, "dropped", "MSG-11", "the mailbox is full", "delivered: 1"),
    ]


async def test_retry_receipts(build_world: BuildWorld) -> None:
    """Which message, from whom; or why not: too often by its own count, by ours, by the second, or never sent."""
    world = await build_world(retry_burst=9, retry_per_second=0.001)
    ada, user = await two(world)
    await send(world, user, message(ada, "m1"), message(ada, "m2"))
    before = len(said(world))
    await world.receipts.send_retry(ada, user.jid, retry("m2", media_status=404))
    await world.receipts.send_retry(ada, user.jid, retry("never"))
    for _ in range(6):
        await world.receipts.send_retry(ada, user.jid, retry("m1"))
    await world.receipts.send_retry(ada, user.jid, retry("m1", retry_count=6))
    await world.receipts.send_retry(ada, "4915100000000@s.whatsapp.net", retry("m1"))
    await world.receipts.send_retry(ada, user.jid, retry("m1"))
    action = (ada.jid, "stanza.retry_receipt")
    assert said(world, after=before) == [
        (*action, "m2", "accepted", "MED-08", "", user.jid),
        (*action, "never", "dropped", "RCP-05", NEVER_SENT, user.jid),
        *[(*action, "m1", "accepted", "RCP-03", "", user.jid)] * 5,
        (*action, "m1", "dropped", "RCP-04", "it was forwarded too often", user.jid),
        (*action, "m1", "dropped", "RCP-04", "it was asked for too often", user.jid),
        (*action, "m1", "dropped", "OPT-09", "no such account", "4915100000000@s.whatsapp.net"),
        (*action, "m1", "dropped", "MSG-11", "the sender asks for too many messages at once", user.jid),
    ]


async def test_indicators(build_world: BuildWorld) -> None:
    """Shown, with the state; or not, since nobody looks or it comes too fast."""
    world = await build_world(typing_burst=2, typing_per_second=0.001)
    ada, user = await two(world)
    world.connections.online.add(user.account_id)
    await world.indicators.show(ada, user.jid, Typing(TypingState.COMPOSING))
    world.connections.online.clear()
    for _ in range(2):
        await world.indicators.show(ada, user.jid, Typing(TypingState.PAUSED))
    typing = (ada.jid, "stanza.typing", user.jid)
    assert said(world) == [
        (*typing, "accepted", "MSG-13", "", "composing"),
        (*typing, "dropped", "MSG-13", "the peer is not connected, reads too slowly, or does not know it", ""),
        (*typing, "dropped", "MSG-13", "the sender does this faster than a person can", ""),
    ]


async def test_reachability_pings(world: World) -> None:
    """Delivered under one requirement, dropped under another; the subject is whom the number would be."""
    ada = await world.enlisted()
    user = await world.whatsapp_user()
    for number in ("+491511234567", "+491511234567", "+4915100000000"):
        await world.reachability.ping(ada, number, "Ada")
    ping = (ada.jid, "reachability_ping")
    assert said(world) == [
        (*ping, user.jid, "accepted", "OPT-10", "", ""),
        (*ping, user.jid, "dropped", "OPT-11", "the sender's last ping is outstanding", ""),
        (*ping, "4915100000000@s.whatsapp.net", "dropped", "OPT-11", "nobody has the number", ""),
    ]


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("inactive", "the partner is not active"),
        ("unfit", "the recipient does not qualify"),
        ("opted in", "the recipient has opted in for the partner"),
        ("off", "the recipient has turned pings off"),
        ("muted", "the recipient has turned the partner's pings off"),
        ("blocked", "the recipient has blocked the sender"),
    ],
)
async def test_the_one_cause_of_a_dropped_ping(world: World, case: str, cause: str) -> None:
    """Each cause alone is enough, and is the one that is named."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "inactive": lambda: world.operator.suspend(BATS),
        "unfit": lambda: world.whatsapp_user(platform=Platform.DESKTOP),
        "opted in": lambda: world.opted_in("+491511234567", BATS),
        "off": lambda: world.reachability.choose(user, False, []),
        "muted": lambda: world.reachability.choose(user, True, [BATS]),
        "blocked": lambda: world.blocklist.block(user, ada.jid),
    }
    await changes[case]()
    await world.reachability.ping(ada, "+491511234567", "Ada")
    assert said(world)[-1] == (ada.jid, "reachability_ping", user.jid, "dropped", "OPT-11", cause, "")
    assert [item for item in await world.waiting(user) if not item.sender_jid] == []


async def test_answers_to_message_requests(world: World) -> None:
    """Accepted, declined, or about nobody."""
    ada, user = await two(world)
    await world.requests.answer(user, ada.jid, accepted=True)
    await send(world, ada, message(user))
    await world.requests.answer(user, ada.jid, accepted=True)
    await world.requests.answer(user, ada.jid, accepted=False)
    answer = (user.jid, "message_request", ada.jid)
    assert [record for record in said(world) if record[1] == "message_request"] == [
        (*answer, "dropped", "OPT-14", "neither has written to the other", ""),
        (*answer, "done", "OPT-14", "", "accepted"),
        (*answer, "done", "OPT-14", "", "declined"),
    ]


async def test_prekeys_that_leave(build_world: BuildWorld) -> None:
    """Of each kind: who took from whom and how many are left; and that somebody went back to weaker keys."""
    world = await build_world(kem_prekeys=True)
    ada, user = await world.enlisted(keys=KEYS), await world.opted_in()
    await world.prekeys.publish(ada, KEYS.published, KEYS.one_time(1, 2), KemPreKeys(KEYS.kem(9), [KEYS.kem(1)]))
    for _ in range(3):
        await world.prekeys.take(user, [ada.jid])
    await world.prekeys.delete_kem(ada)
    await world.prekeys.take(user, [ada.jid])
    assert said(world) == [
        (user.jid, "prekey.take", ada.jid, "done", "KEY-05", "", "1 left"),
        (user.jid, "prekey.take_kem", ada.jid, "done", "KEY-15", "", "0 left"),
        (user.jid, "prekey.take", ada.jid, "done", "KEY-05", "", "0 left"),
        (user.jid, "prekey.kem_downgrade", ada.jid, "done", "KEY-16", "", ""),
    ]


async def test_what_a_connection_left(world: World) -> None:
    """The push says how much of it is worth one: messages and retry receipts, not receipts."""
    ada, user = await two(world)
    world.connections.online.add(ada.account_id)
    await send(world, user, message(ada, "m1"), message(ada, "m2"))
    await send(world, ada, message(user, "m3"))
    await world.receipts.send_retry(user, ada.jid, retry("m3"))
    await world.receipts.send(user, [OutgoingReceipt(ReceiptType.DELIVERED, ada.jid, ["m3"])], True)
    world.connections.online.clear()
    await world.unacked_push.send(ada, Reason.CONNECTION_SILENT)
    left = "3 messages and retry receipts were left un-acked"
    assert said(world)[-1] == ("server", "push", ada.jid, "done", "LIF-01", "", left)


async def test_sanctions(build_world: BuildWorld) -> None:
    """What, on whom, until when, and why; lifted by whom; and what became of the partner."""
    world = await build_world(banned_users_until_suspension=1)
    ada = await world.enlisted()
    lock, ban = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, NOW_MS + 60_000), Sanction(SanctionKind.BAN)
    for sanction in (lock, ban):
        await world.escalation.impose(ada, sanction, OPERATOR, "scripted")
    await world.standing.lift(ada.external_user, OPERATOR, SanctionKind.NEW_CHATS_LOCKED, SanctionKind.BAN)
    imposed = (OPERATOR, "standing.sanction", ada.jid, "done", "ABU-05", "scripted")
    assert said(world) == [
        (*imposed, f"new_chats_locked, until {NOW_MS + 60_000}"),
        (*imposed, "ban, for good"),
        ("server", "standing.suspend", str(BATS), "done", "ABU-07", "1 of its users are banned for good", ""),
        (OPERATOR, "standing.lift", f"{BATS}:ada", "done", "ABU-05", "", "new_chats_locked, ban"),
    ]


async def test_what_brought_a_sanction_about(build_world: BuildWorld) -> None:
    """Reports with their number and the score, or going on beyond the cap on new chats; the actor is who did it."""
    world = await build_world(reports_until_lock=1, new_chats=1, capped_until_ban=0)
    ada, user = await two(world)
    other = await world.opted_in("+491700000000")
    await send(world, ada, message(user, "m1"))
    await world.reports.report(user, ada.jid, SpamFlow.CONTACT_INFO, [ReportedMessage("m1", None)])
    await world.standing.lift(ada.external_user, OPERATOR, *SanctionKind)
    await world.router.send_messages(ada, [message(other, "m2")])
    by_report, by_cap = [record for record in said(world) if record[1] == "standing.sanction"]
    assert (by_report[0], by_report[5]) == (user.jid, "reported by 1, score 11")
    assert (by_cap[0], by_cap[5]) == (ada.jid, "went on beyond the cap on new chats")
    assert by_cap[6] == f"temporary_ban 101, until {NOW_MS + DAY_MS}"


async def test_reports(world: World) -> None:
    """That it counts or why not, and from where in the app, under the id that the reporter got."""
    ada, user = await two(world)
    await send(world, ada, message(user, "m1"))
    named = [ReportedMessage("m1", None), ReportedMessage("m2", None)]
    before = len(said(world))
    first = await world.reports.report(user, ada.jid, SpamFlow.CONTACT_INFO, named)
    second = await world.reports.report(user, ada.jid, SpamFlow.MESSAGE_MENU, named[:1])
    again = "the reporter has reported them before"
    assert said(world, after=before) == [
        (user.jid, "report", ada.jid, "accepted", "ABU-04", "", f"{first}: 2 messages, from contact_info"),
        (user.jid, "report", ada.jid, "dropped", "ABU-04", again, f"{second}: 1 messages, from message_menu"),
    ]
    assert re.fullmatch("[0-9a-f]{16}", first) and first != second


async def test_what_timers_do(world: World) -> None:
    """Key sets that were fetched, of which partner; accounts that ended, by JID."""
    ada = await world.enlisted()
    await world.key_sets.refresh_all()
    world.clock.advance(30 * DAY_MS)
    await world.sweep()
    assert said(world) == [
        ("timer", "timer.key_sets", str(BATS), "done", "ENL-03", "", ""),
        ("timer", "timer.key_sets", str(OWLS), "done", "ENL-03", "", ""),
        ("timer", "timer.unenlist", ada.jid, "done", "LIF-04", "", ""),
    ]


async def test_nacks(world: World) -> None:
    """By the client with its code, and by the server for a client that lacks a capability, which is named."""
    ada, user = await world.enlisted(), await world.opted_in()
    await send(world, ada, message(user))
    await world.operator.request_key_digest(user.jid)
    first, digest = await world.mailbox.deliveries(user, 0, 10)
    before = len(said(world))
    await world.mailbox.nack(user, first.delivery_id, 588)
    await world.mailbox.withhold(user, [digest])
    needed = "488: the client has not named KEY_DIGESTS"
    assert said(world, after=before) == [
        (user.jid, "stanza.nack", "", "accepted", "MSG-10", "", "588"),
        ("server", "stanza.nack", user.jid, "done", "MSG-10", "", needed),
    ]


async def test_a_key_set_that_cannot_be_fetched(world: World) -> None:
    """It is the timer's refusal, about that partner; the others are fetched all the same."""
    world.key_servers.down.add(BATS)
    await world.key_sets.refresh_all()
    entries, _ = world.journal.after(0, 10)
    assert [(each.actor, each.action, each.subject, each.outcome, each.reason) for each in entries] == [
        ("timer", "timer.key_sets", str(BATS), "refused", "JWKS_UNAVAILABLE"),
        ("timer", "timer.key_sets", str(OWLS), "done", ""),
    ]
