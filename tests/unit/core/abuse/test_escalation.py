"""What reports lead to: the steps, and that each further one is harder."""

import itertools

import pytest

from interop_server.core.abuse.escalation import answer_to_reports
from interop_server.core.errors import Reason
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS, HOUR_MS, Limits
from interop_server.core.messages import ReportedMessage
from interop_server.core.messaging.routing import SendOutcome
from interop_server.core.model import Account, PartnerStatus, Sanction, SanctionKind, SpamFlow
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, NOW_MS, OWLS, World, message, refused

pytestmark = pytest.mark.requirement("ABU-05")

LOCK, TEMPORARY_BAN, BAN = SanctionKind


def ban(hours: int) -> Sanction:
    return Sanction(TEMPORARY_BAN, 102, NOW_MS + hours * HOUR_MS)


A_LOCK = Sanction(LOCK, 0, NOW_MS + DAY_MS)


@pytest.mark.parametrize(
    ("reporters", "expected"),
    [
        (1, None), (2, None), (3, A_LOCK), (4, A_LOCK), (5, ban(24)), (6, A_LOCK), (7, ban(48)), (8, A_LOCK),
        (9, ban(96)), (10, A_LOCK), (11, Sanction(BAN)), (12, Sanction(BAN)), (1_000, Sanction(BAN)),
    ],
)  # fmt: skip
def test_the_steps(reporters: int, expected: Sanction | None) -> None:
    """Lock, three temporary bans each twice as long as the one before, then a ban for good."""
    assert answer_to_reports(reporters, 0, NOW_MS, Limits()) == expected


@pytest.mark.requirement("ABU-07")
def test_a_high_score_locks_earlier() -> None:
    """What else speaks against somebody counts as well; alone it bans nobody."""
    assert answer_to_reports(1, 99, NOW_MS, Limits()) is None
    assert answer_to_reports(1, 100, NOW_MS, Limits()) == A_LOCK
    assert answer_to_reports(2, 10**6, NOW_MS, Limits()) == A_LOCK


def test_thresholds_can_be_anything() -> None:
    """An operator may want the ban at once, or never a temporary one."""
    assert answer_to_reports(1, 0, NOW_MS, Limits(reports_until_ban=1, reports_until_next_ban=0)) == ban(24)
    assert answer_to_reports(1, 0, NOW_MS, Limits(reports_until_ban=1, temporary_bans=0)) == Sanction(BAN)


async def addressed_by(world: World, sender: Account, count: int) -> list[Account]:
    """People who got a message, before anybody reports."""
    people = [await world.opted_in(f"+49170000{number:04}") for number in range(count)]
    sent = await world.router.send_messages(sender, [message(person, person.external_id) for person in people])
    assert not [outcome.refusal for outcome in sent if outcome.refusal]
    return people


async def report(world: World, reporter: Account, reported: Account) -> None:
    named = [ReportedMessage(reporter.external_id, None)]
    await world.reports.report(reporter, reported.jid, SpamFlow.MESSAGE_MENU, named)


async def test_reports_escalate_by_themselves(world: World) -> None:
    """From the third reporter on, to the ban for good; each ban ends the connection."""
    ada = await world.enlisted()
    kinds = []
    for person in await addressed_by(world, ada, 11):
        await report(world, person, ada)
        kinds.append([sanction.kind for sanction in await world.standing.sanctions(ada.external_user)])
    assert kinds == [
        [], [], [LOCK], [LOCK], *[[LOCK, TEMPORARY_BAN]] * 6, [LOCK, TEMPORARY_BAN, BAN],
    ]  # fmt: skip
    assert [reason for _, reason in world.connections.ended] == [
        *[Reason.TEMPORARILY_BANNED] * 3, Reason.BANNED,
    ]  # fmt: skip
    with refused(Reason.BANNED):
        await world.logins.log_in(world.login(ada))
    [entry] = [entry for entry in world.journal.after(0, 1_000)[0] if entry.detail == "ban, for good"]
    assert (entry.subject, entry.cause) == (ada.jid, "reported by 11, score 121")


async def test_a_longer_sanction_stays(world: World) -> None:
    """What was scripted is not cut short by reports."""
    ada = await world.enlisted()
    people = await addressed_by(world, ada, 3)
    long = Sanction(LOCK, 0, NOW_MS + 300 * DAY_MS)
    await world.standing.impose(ada, long, OPERATOR, "scripted")
    for person in people:
        await report(world, person, ada)
    assert await world.standing.sanctions(ada.external_user) == [long]


async def test_after_reports_are_forgotten_it_begins_anew(world: World) -> None:
    """Lifting includes them."""
    ada = await world.enlisted()
    people = await addressed_by(world, ada, 5)
    for person in people[:3]:
        await report(world, person, ada)
    await world.standing.lift(ada.external_user, OPERATOR, *SanctionKind)
    await world.reports.forget(ada.external_user)
    for person in people[3:]:
        await report(world, person, ada)
    assert await world.standing.sanctions(ada.external_user) == []


_ids = itertools.count()


async def outcomes(world: World, sender: Account, *recipients: Account) -> list[Reason | None]:
    """What becomes of a message to each, all in one batch."""
    batch = [message(recipient, f"m{next(_ids)}") for recipient in recipients]
    sent = await world.router.send_messages(sender, batch)
    return [outcome.refusal and outcome.refusal.reason for outcome in sent]


async def test_what_became_of_messages_is_told_before_a_ban(build_world: BuildWorld) -> None:
    """The ban that follows from them ends the connection: who is told later is told nothing."""
    world = await build_world(new_chats=1, capped_until_ban=2)
    ada = await world.enlisted()
    people = [await world.opted_in(f"+49170000{number:04}") for number in range(4)]
    told: list[tuple[list[Reason | None], list[tuple[int, Reason]]]] = []

    async def tell(outcomes: list[SendOutcome]) -> None:
        told.append(([each.refusal and each.refusal.reason for each in outcomes], list(world.connections.ended)))

    sent = await world.router.send_messages(ada, [message(each, each.external_id) for each in people], tell)
    assert told == [([None, *[Reason.NEW_CHATS_CAPPED] * 3], [])]
    assert [each.refusal and each.refusal.reason for each in sent] == told[0][0]
    assert world.connections.ended == [(ada.account_id, Reason.TEMPORARILY_BANNED)]


async def test_a_lock_is_on_new_chats_only(world: World) -> None:
    """Chats that there are go on, on either side; a new one is refused with what is left of the lock, until it ends."""
    ada = await world.enlisted()
    people = [await world.opted_in(f"+49170000{number:04}") for number in range(4)]
    old, accepted, new, writes_first = people
    assert await outcomes(world, ada, old) == [None]
    assert await outcomes(world, accepted, ada) == [None]
    await world.standing.impose(ada, Sanction(LOCK, 0, world.clock.now_ms() + 60_000), OPERATOR, "scripted")
    world.clock.advance(1_000)
    assert await outcomes(world, ada, old, accepted, new) == [None, None, Reason.NEW_CHATS_LOCKED]
    [refused_one] = await world.router.send_messages(ada, [message(new)])
    assert refused_one.refusal is not None and refused_one.refusal.retry_after_ms == 59_000
    assert await world.waiting(new) == []
    assert await outcomes(world, writes_first, ada) == [None]
    assert await outcomes(world, ada, writes_first) == [None]
    world.clock.advance(59_000)
    assert await outcomes(world, ada, new) == [None]


@pytest.mark.requirement("OPT-09")
async def test_a_lock_does_not_tell_who_is_there(world: World) -> None:
    """Who is not opted in is not reachable, locked or not."""
    ada, closed = await world.enlisted(), await world.whatsapp_user()
    await world.standing.impose(ada, A_LOCK, OPERATOR, "scripted")
    [to_closed, to_nobody] = await world.router.send_messages(
        ada, [message(closed, "a"), message("4900000000@s.whatsapp.net", "b")]
    )
    assert to_closed.refusal is not None and to_nobody.refusal is not None
    assert to_closed.refusal.reason is to_nobody.refusal.reason is Reason.RECIPIENT_NOT_REACHABLE


async def test_who_goes_on_beyond_the_cap_is_banned(build_world: BuildWorld) -> None:
    """After so many attempts, by sub-code 101; it ends by itself, and begins anew."""
    world = await build_world(new_chats=1, capped_until_ban=3, temporary_ban_hours=24)
    ada = await world.enlisted()
    people = [await world.opted_in(f"+49170000{number:04}") for number in range(5)]
    assert await outcomes(world, ada, *people[:3]) == [None, *[Reason.NEW_CHATS_CAPPED] * 2]
    assert await outcomes(world, ada, people[0], people[3]) == [None, Reason.NEW_CHATS_CAPPED]
    assert await world.standing.sanctions(ada.external_user) == []
    assert await outcomes(world, ada, people[4]) == [Reason.NEW_CHATS_CAPPED]
    [ban_101] = await world.standing.sanctions(ada.external_user)
    assert ban_101 == Sanction(TEMPORARY_BAN, 101, world.clock.now_ms() + DAY_MS)
    assert world.connections.ended == [(ada.account_id, Reason.TEMPORARILY_BANNED)]
    world.clock.advance(DAY_MS)
    assert await outcomes(world, ada, people[1], people[2]) == [None, Reason.NEW_CHATS_CAPPED]
    assert await world.standing.sanctions(ada.external_user) == []


@pytest.mark.requirement("ABU-07")
async def test_a_partner_with_many_banned_users_is_suspended(build_world: BuildWorld) -> None:
    """As if its operator had done it, once; off by default, and not for bans that end."""
    world = await build_world(banned_users_until_suspension=2)
    people = [await world.enlisted(name) for name in ("ada", "eve", "kim")]
    user, owl = await world.whatsapp_user(), await world.enlisted("olga", OWLS)
    for account in (people[0], user, owl):
        await world.escalation.impose(account, Sanction(BAN), OPERATOR, "scripted")
    await world.escalation.impose(people[1], Sanction(TEMPORARY_BAN, 102, NOW_MS + DAY_MS), OPERATOR, "scripted")
    assert {partner.status for partner in await world.operator.list_partners()} == {PartnerStatus.ACTIVE}
    await world.escalation.impose(people[1], Sanction(BAN), OPERATOR, "scripted")
    status = {partner.integrator: partner.status for partner in await world.operator.list_partners()}
    assert status == {BATS: PartnerStatus.SUSPENDED, OWLS: PartnerStatus.ACTIVE}
    await world.escalation.impose(people[2], Sanction(BAN), OPERATOR, "scripted")
    entries = [entry for entry in world.journal.after(0, 1_000)[0] if entry.action == "standing.suspend"]
    assert [(entry.actor, entry.subject) for entry in entries] == [("server", str(BATS))]


@pytest.mark.requirement("ABU-07")
async def test_no_number_of_bans_suspends_a_partner_by_default(world: World) -> None:
    """Whether they should is the operator's business."""
    for name in ("ada", "eve", "kim"):
        await world.escalation.impose(await world.enlisted(name), Sanction(BAN), OPERATOR, "scripted")
    assert {partner.status for partner in await world.operator.list_partners()} == {PartnerStatus.ACTIVE}
