"""Reports: which count, what they lead to, and what is kept of them."""

import pytest

from interop_protocol.franking import reporting_token
from interop_server.core.errors import Reason
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.messages import ReportedMessage, RevealedContent
from interop_server.core.model import Account, SpamFlow
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import World, message, refused

pytestmark = pytest.mark.requirement("ABU-03", "ABU-04")

SECRET = bytes(range(32))
WORDS = b"buy now, it is cheap"
NOT_DELIVERED = "no message that it names was delivered to the reporter in time"
MADE_UP = "what it reveals is not what was sent"


async def send(
    world: World, sender: Account, recipient: Account, stanza_id: str = "m1", *, with_token: bool = True
) -> None:
    token = reporting_token(SECRET, sender.jid, recipient.jid, stanza_id, WORDS) if with_token else b""
    [outcome] = await world.router.send_messages(
        sender, [message(recipient, stanza_id)._replace(reporting_token=token)]
    )
    assert outcome.refusal is None


async def report(world: World, reporter: Account, reported: Account | str, *messages: ReportedMessage) -> str:
    """Reports, and returns why the report does not count; empty when it does."""
    jid = reported if isinstance(reported, str) else reported.jid
    named = messages or (ReportedMessage("m1", None),)
    report_id = await world.reports.report(reporter, jid, SpamFlow.MESSAGE_MENU, named)
    assert len(report_id) == 16
    [entry] = [
        entry
        for entry in world.journal.after(0, 10_000)[0]
        if entry.action == "report" and entry.detail.startswith(report_id)
    ]
    assert (entry.outcome, entry.actor) == ("dropped" if entry.cause else "accepted", reporter.jid)
    return entry.cause


async def reporters_of(world: World, account: Account) -> int:
    return (await world.store.reports.count_complaints(account, 0)).reporters


async def test_a_report_counts_when_a_message_was_delivered(world: World) -> None:
    """From the reported to the reporter; one of those named is enough. Both sides may report."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    await send(world, user, ada, "m2")
    nothing = ReportedMessage("never-sent", None)
    assert await report(world, user, ada, nothing, ReportedMessage("m1", None)) == ""
    assert await report(world, ada, user, ReportedMessage("m2", None)) == ""
    assert [await reporters_of(world, account) for account in (ada, user)] == [1, 1]


async def test_nobody_is_accused_of_what_they_did_not_send(world: World) -> None:
    """Not of messages to others, of one's own, of what was dropped, of nothing at all; nor who does not exist."""
    user, other = await world.opted_in(), await world.opted_in("+491700000000")
    ada, eve = await world.enlisted(), await world.enlisted("eve")
    await send(world, ada, other)
    await send(world, user, ada)
    assert await report(world, user, ada) == NOT_DELIVERED
    assert await report(world, user, eve) == NOT_DELIVERED
    assert await report(world, user, user) == NOT_DELIVERED
    assert await report(world, other, other) == NOT_DELIVERED
    assert await report(world, user, "100-99999999999999@interop") == "there is no such account"
    await world.blocklist.block(user, ada.jid)
    await send(world, ada, user, "m3")
    assert await report(world, user, ada, ReportedMessage("m3", None)) == NOT_DELIVERED
    assert await reporters_of(world, ada) == 0
    assert (await world.store.count_rows())["counted_report"] == 0


async def test_a_message_can_be_reported_for_seven_days(world: World) -> None:
    """To the millisecond, whether or not it was acked meanwhile."""
    user, other, ada = await world.opted_in(), await world.opted_in("+491700000000"), await world.enlisted()
    for recipient in (user, other):
        await send(world, ada, recipient, f"to-{recipient.external_id}")
    [delivery] = await world.mailbox.deliveries(other, 0, 10)
    await world.mailbox.forget(other, [delivery.delivery_id])
    world.clock.advance(7 * DAY_MS - 1)
    assert await report(world, other, ada, ReportedMessage(f"to-{other.external_id}", None)) == ""
    world.clock.advance(1)
    assert await report(world, user, ada, ReportedMessage(f"to-{user.external_id}", None)) == NOT_DELIVERED


async def test_what_does_not_count_leads_to_nothing(build_world: BuildWorld) -> None:
    """Even where the first report that counts leads to a lock: nothing delivered, words made up, reported before."""
    world = await build_world(reports_until_lock=1)
    user, ada = await world.opted_in(), await world.enlisted()
    made_up = ReportedMessage("m1", RevealedContent(b"other words", SECRET))
    assert await report(world, user, ada) == NOT_DELIVERED
    await send(world, ada, user)
    assert await report(world, user, ada, made_up) == MADE_UP
    assert await world.standing.sanctions(ada.external_user) == []
    assert await report(world, user, ada) == ""
    [lock] = await world.standing.sanctions(ada.external_user)
    await world.standing.lift(ada.external_user, user.jid, lock.kind)
    assert await report(world, user, ada) == "the reporter has reported them before"
    assert await world.standing.sanctions(ada.external_user) == []


async def test_each_reporter_counts_once(world: World) -> None:
    """However many messages they name, until the report has lost its weight."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    assert await report(world, user, ada) == ""
    await send(world, ada, user, "m2")
    assert await report(world, user, ada, ReportedMessage("m2", None)) == "the reporter has reported them before"
    assert await reporters_of(world, ada) == 1
    world.clock.advance(30 * DAY_MS)
    await send(world, ada, user, "m3")
    assert await report(world, user, ada, ReportedMessage("m3", None)) == ""
    assert await reporters_of(world, ada) == 1


async def test_words_count_only_when_they_are_the_senders(world: World) -> None:
    """Altered words, another's words, another secret or words for a message that was not delivered spoil the report."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    await send(world, ada, user, "m2")
    for made_up in (
        ReportedMessage("m1", RevealedContent(WORDS + b"!", SECRET)),
        ReportedMessage("m1", RevealedContent(b"", SECRET)),
        ReportedMessage("m1", RevealedContent(WORDS, bytes(32))),
        ReportedMessage("never-sent", RevealedContent(WORDS, SECRET)),
    ):
        assert await report(world, user, ada, ReportedMessage("m2", None), made_up) == MADE_UP
    assert await reporters_of(world, ada) == 0
    revealed = RevealedContent(WORDS, SECRET)
    assert await report(world, user, ada, ReportedMessage("m1", revealed), ReportedMessage("m2", revealed)) == ""


async def test_without_a_token_words_prove_nothing(world: World) -> None:
    """The delivery alone counts: whoever sends no token does not get away by that."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user, with_token=False)
    assert await report(world, user, ada, ReportedMessage("m1", RevealedContent(b"anything", bytes(32)))) == ""


async def test_a_report_has_a_form(world: World) -> None:
    """Nothing is counted of one that has not."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    one = ReportedMessage("m1", None)
    for messages, reason in (([], Reason.REQUEST_MALFORMED), ([one] * 17, Reason.TOO_MANY_ITEMS)):
        with refused(reason):
            await world.reports.report(user, ada.jid, SpamFlow.CONTACT_INFO, messages)
    for revealed in (
        RevealedContent(bytes(98_305), SECRET),
        RevealedContent(WORDS, bytes(31)),
        RevealedContent(WORDS, b""),
    ):
        with refused(Reason.REQUEST_MALFORMED):
            await world.reports.report(user, ada.jid, SpamFlow.CONTACT_INFO, [ReportedMessage("m1", revealed)])
    with refused(Reason.USER_VISIBLE_IDENTIFIER):
        await world.reports.report(user, "ada", SpamFlow.CONTACT_INFO, [one])
    assert await reporters_of(world, ada) == 0
    assert await report(world, user, ada, *[one] * 16) == ""


async def test_reports_are_limited(build_world: BuildWorld) -> None:
    """Per reporter, whether they count or not."""
    world = await build_world(report_burst=2, report_per_second=0.5)
    user, ada = await world.opted_in(), await world.enlisted()
    for _ in range(2):
        await report(world, user, ada)
    with refused(Reason.RATE_LIMITED) as caught:
        await report(world, user, ada)
    assert caught.value.retry_after_ms == 2 * SECOND_MS + 1
    await report(world, ada, user)


@pytest.mark.requirement("ABU-08")
async def test_nothing_that_was_revealed_is_kept(world: World) -> None:
    """Neither in the store nor in the journal: only that somebody was reported by somebody."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    before = await world.store.count_rows()
    assert await report(world, user, ada, ReportedMessage("m1", RevealedContent(WORDS, SECRET))) == ""
    assert await world.store.count_rows() == before | {"counted_report": 1}
    journal = repr(world.journal.after(0, 1_000))
    assert WORDS.decode() not in journal and SECRET.hex() not in journal and repr(SECRET) not in journal


@pytest.mark.requirement("ABU-08")
async def test_a_report_is_forgotten_when_it_has_lost_its_weight(world: World) -> None:
    """After thirty days, not before."""
    user, ada = await world.opted_in(), await world.enlisted()
    await send(world, ada, user)
    await report(world, user, ada)
    world.clock.advance(30 * DAY_MS - 1)
    assert "reports" not in await world.sweep()
    assert (await world.scoring.score(ada)).points["reports"] == 10
    world.clock.advance(1)
    assert (await world.scoring.score(ada)).points["reports"] == 0
    assert (await world.sweep())["reports"] == 1
