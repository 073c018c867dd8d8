"""Scores and counts with weights and limits that are not the defaults, at their edges, and partner by partner."""

import asyncio

import pytest

from interop_server.core.abuse.escalation import answer_to_reports
from interop_server.core.errors import Reason
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS, HOUR_MS, SECOND_MS, Limits
from interop_server.core.messages import ReportedMessage
from interop_server.core.model import (
    Account,
    ConnectionFacts,
    ConnectionMode,
    PartnerStatus,
    Sanction,
    SanctionKind,
    SpamFlow,
)
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import BATS, NOW_MS, OWLS, World, message, refused

pytestmark = pytest.mark.requirement("ABU-07")

LOCK, TEMPORARY_BAN, BAN = SanctionKind
WEIGHTS = {
    "points_per_report": 1_000,
    "points_per_block": 100,
    "points_per_unanswered_chat": 7,
    "points_per_shared_address": 3,
    "max_points_for_shared_address": 1_000,
    "score_until_lock": 10**6,
}


async def users(world: World, count: int) -> list[Account]:
    """WhatsApp users who have opted in for both partners."""
    return [await world.opted_in(f"+49170000{number:04}", BATS, OWLS) for number in range(count)]


async def write(world: World, sender: Account, *recipients: Account) -> None:
    batch = [message(recipient, f"{sender.external_id}-{recipient.external_id}") for recipient in recipients]
    assert all(outcome.refusal is None for outcome in await world.router.send_messages(sender, batch))


async def report(world: World, reporter: Account, reported: Account) -> None:
    named = [ReportedMessage(f"{reported.external_id}-{reporter.external_id}", None)]
    await world.reports.report(reporter, reported.jid, SpamFlow.MESSAGE_MENU, named)


def connect(world: World, account: Account, address: str = "ipv4:198.51.100.7:1") -> None:
    facts = ConnectionFacts(account, ConnectionMode.DIRECT, "", address, world.clock.now_ms())
    world.connections.known[account.account_id] = facts


async def test_each_cause_has_its_own_weight(build_world: BuildWorld) -> None:
    """One report, two blocks, three chats without an answer, two others at the same address."""
    world = await build_world(**WEIGHTS)
    ada, people = await world.enlisted(), await users(world, 3)
    await write(world, ada, *people)
    await report(world, people[0], ada)
    for person in people[:2]:
        await world.blocklist.block(person, ada.jid)
    for account in (ada, await world.enlisted("eve"), await world.enlisted("kim")):
        connect(world, account)
    score = await world.scoring.score(ada)
    assert score.points == {"reports": 1_000, "blocks": 200, "unanswered_chats": 21, "shared_address": 6}
    assert score.total == 1_227


@pytest.mark.parametrize("weight", [name for name in WEIGHTS if name.startswith("points")])
async def test_a_weight_of_zero_takes_a_cause_out(build_world: BuildWorld, weight: str) -> None:
    """And no other."""
    world = await build_world(**WEIGHTS | {weight: 0})
    ada, [person] = await world.enlisted(), await users(world, 1)
    await write(world, ada, person)
    await report(world, person, ada)
    await world.blocklist.block(person, ada.jid)
    for account in (ada, await world.enlisted("eve")):
        connect(world, account)
    points = {"reports": 1_000, "blocks": 100, "unanswered_chats": 7, "shared_address": 3}
    zero = {"points_per_report": "reports", "points_per_block": "blocks", "points_per_unanswered_chat":
            "unanswered_chats", "points_per_shared_address": "shared_address"}[weight]  # fmt: skip
    assert (await world.scoring.score(ada)).points == points | {zero: 0}


@pytest.mark.parametrize(("most", "points"), [(0, 0), (5, 5), (6, 6), (7, 6)])
async def test_an_address_gives_at_most_so_many_points(build_world: BuildWorld, most: int, points: int) -> None:
    """Two others there, three points each."""
    world = await build_world(**WEIGHTS | {"max_points_for_shared_address": most})
    people = [await world.enlisted(name) for name in ("ada", "eve", "kim")]
    for account in people:
        connect(world, account)
    assert [(await world.scoring.score(account)).total for account in people] == [points] * 3


async def test_an_answered_chat_gives_no_point(build_world: BuildWorld) -> None:
    """Nor does one that the other side began, or one older than reports weigh."""
    world = await build_world(**WEIGHTS, report_weight_days=2)
    ada, people = await world.enlisted(), await users(world, 4)
    await write(world, ada, *people[:3])
    await write(world, people[0], ada)
    await write(world, people[3], ada)
    assert (await world.scoring.score(ada)).points["unanswered_chats"] == 14
    await world.requests.answer(people[1], ada.jid, accepted=True)
    assert (await world.scoring.score(ada)).points["unanswered_chats"] == 7
    world.clock.advance(2 * DAY_MS - 1)
    assert (await world.scoring.score(ada)).points["unanswered_chats"] == 7
    world.clock.advance(1)
    assert (await world.scoring.score(ada)).points["unanswered_chats"] == 0


async def test_what_one_partners_users_do_is_not_the_others(build_world: BuildWorld) -> None:
    """The same name at both, the same people written to, reported and blocked at one: the other's score stays 0."""
    world = await build_world(**WEIGHTS)
    bat, owl, people = await world.enlisted(), await world.enlisted("ada", OWLS), await users(world, 2)
    assert bat.external_id == owl.external_id
    await write(world, bat, *people)
    await report(world, people[0], bat)
    await world.blocklist.block(people[0], bat.jid)
    for account in (bat, await world.enlisted("eve")):
        connect(world, account)
    assert [await world.scoring.partner_score(integrator) for integrator in (BATS, OWLS, 0)] == [1_120, 0, 0]
    assert (await world.scoring.score(owl)).points == dict.fromkeys((await world.scoring.score(owl)).points, 0)
    await write(world, owl, people[0])
    await report(world, people[0], owl)
    assert [await world.scoring.partner_score(integrator) for integrator in (BATS, OWLS, 0)] == [1_120, 1_007, 0]


async def test_an_address_is_shared_across_partners(build_world: BuildWorld) -> None:
    """Everybody there counts for everybody; but a partner's score adds up its own users' points only."""
    world = await build_world(**WEIGHTS)
    for name, integrator in (("ada", BATS), ("eve", BATS), ("olga", OWLS)):
        connect(world, await world.enlisted(name, integrator))
    assert [await world.scoring.partner_score(integrator) for integrator in (BATS, OWLS)] == [12, 6]


@pytest.mark.requirement("ABU-05")
async def test_sanctions_and_reports_are_of_one_partners_user(world: World) -> None:
    """A user of the same name at another partner may write, is counted anew, and is not lifted along."""
    bat, owl, people = await world.enlisted(), await world.enlisted("ada", OWLS), await users(world, 2)
    for account in (bat, owl):
        await write(world, account, *people)
    await report(world, people[0], bat)
    for account, sanction in ((bat, Sanction(BAN)), (owl, Sanction(LOCK, 0, NOW_MS + DAY_MS))):
        await world.standing.impose(account, sanction, OPERATOR, "scripted")
    assert await world.standing.sanctions(owl.external_user) == [Sanction(LOCK, 0, NOW_MS + DAY_MS)]
    assert await world.standing.sanctions(bat.external_user) == [Sanction(BAN)]
    assert [(await world.store.reports.count_complaints(each, 0)).reporters for each in (bat, owl)] == [1, 0]
    await world.standing.lift(bat.external_user, OPERATOR, *SanctionKind)
    await world.reports.forget(owl.external_user)
    assert await world.standing.sanctions(owl.external_user) == [Sanction(LOCK, 0, NOW_MS + DAY_MS)]
    assert [(await world.store.reports.count_complaints(each, 0)).reporters for each in (bat, owl)] == [1, 0]


async def test_bans_at_one_partner_suspend_no_other(build_world: BuildWorld) -> None:
    """Nor do temporary bans and locks count, however many; exactly the limit is enough."""
    world = await build_world(banned_users_until_suspension=2)
    bats = [await world.enlisted(name) for name in ("ada", "eve")]
    owls = [await world.enlisted(name, OWLS) for name in ("ada", "eve")]
    for kind, sub_code in ((LOCK, 0), (TEMPORARY_BAN, 102)):
        for account in owls:
            await world.escalation.impose(account, Sanction(kind, sub_code, NOW_MS + DAY_MS), OPERATOR, "scripted")
    await world.escalation.impose(owls[0], Sanction(BAN), OPERATOR, "scripted")
    for account in bats:
        await world.escalation.impose(account, Sanction(BAN), OPERATOR, "scripted")
    status = {partner.integrator: partner.status for partner in await world.operator.list_partners()}
    assert status == {BATS: PartnerStatus.SUSPENDED, OWLS: PartnerStatus.ACTIVE}


@pytest.mark.requirement("ABU-05")
def test_the_steps_at_other_thresholds() -> None:
    """Each at its edge: one report fewer is one step less."""
    limits = Limits(
        reports_until_lock=2,
        reports_until_ban=4,
        reports_until_next_ban=3,
        temporary_bans=2,
        temporary_ban_hours=5,
        new_chats_lock_hours=7,
        score_until_lock=50,
    )
    lock = Sanction(LOCK, 0, NOW_MS + 7 * HOUR_MS)
    first = Sanction(TEMPORARY_BAN, 102, NOW_MS + 5 * HOUR_MS)
    second = Sanction(TEMPORARY_BAN, 102, NOW_MS + 10 * HOUR_MS)
    steps = [answer_to_reports(reporters, 49, NOW_MS, limits) for reporters in range(1, 12)]
    assert steps == [None, lock, lock, first, lock, lock, second, lock, lock, Sanction(BAN), Sanction(BAN)]
    assert answer_to_reports(1, 50, NOW_MS, limits) == lock


@pytest.mark.requirement("ABU-05")
@pytest.mark.parametrize("most", [0, 1, 3])
async def test_the_cap_on_new_chats(build_world: BuildWorld, most: int) -> None:
    """So many within so many hours, counted per user of each partner; the refusal says when one counts no more."""
    world = await build_world(new_chats=most, new_chats_hours=2, capped_until_ban=100)
    bat, owl, people = await world.enlisted(), await world.enlisted("ada", OWLS), await users(world, 5)
    for person in people[:most]:
        await write(world, bat, person)
        world.clock.advance(SECOND_MS)
    [outcome] = await world.router.send_messages(bat, [message(people[4])])
    assert outcome.refusal is not None and outcome.refusal.reason is Reason.NEW_CHATS_CAPPED
    wait_ms = 2 * HOUR_MS - most * SECOND_MS
    assert outcome.refusal.retry_after_ms == wait_ms
    if most:
        await write(world, owl, people[0])
        world.clock.advance(wait_ms - 1)
        [again] = await world.router.send_messages(bat, [message(people[4])])
        assert again.refusal is not None
        world.clock.advance(1)
        await write(world, bat, people[4])


@pytest.mark.requirement("ABU-05")
async def test_a_temporary_ban_for_new_chats_at_other_limits(build_world: BuildWorld) -> None:
    """So many attempts beyond the cap are let pass, the next one bans, for as long as the first ban lasts."""
    world = await build_world(new_chats=1, capped_until_ban=2, temporary_ban_hours=3)
    ada, people = await world.enlisted(), await users(world, 5)
    await write(world, ada, people[0])
    for person in people[1:3]:
        await world.router.send_messages(ada, [message(person)])
    assert await world.standing.sanctions(ada.external_user) == []
    await world.router.send_messages(ada, [message(people[3])])
    assert await world.standing.sanctions(ada.external_user) == [Sanction(TEMPORARY_BAN, 101, NOW_MS + 3 * HOUR_MS)]


@pytest.mark.requirement("ABU-05")
async def test_who_hangs_up_at_the_answer_gains_no_attempt(build_world: BuildWorld) -> None:
    """An attempt counts before the sender hears of it."""
    world = await build_world(new_chats=0, capped_until_ban=2)
    ada, people = await world.enlisted(), await users(world, 3)

    async def hang_up(_: object) -> None:
        raise asyncio.CancelledError

    for person in people[:2]:
        with pytest.raises(asyncio.CancelledError):
            await world.router.send_messages(ada, [message(person)], hang_up)
    await world.router.send_messages(ada, [message(people[2])])
    assert [each.kind for each in await world.standing.sanctions(ada.external_user)] == [TEMPORARY_BAN]


@pytest.mark.requirement("ABU-01")
@pytest.mark.parametrize("most", [0, 2])
async def test_a_blocklist_holds_so_many(build_world: BuildWorld, most: int) -> None:
    """The next is refused; whoever is blocked already may be blocked again; each account has a list of its own."""
    world = await build_world(max_blocked=most)
    people = await users(world, 2)
    for number in range(most):
        await world.blocklist.block(people[0], f"100-{number + 1}@interop")
    with refused(Reason.QUOTA_EXCEEDED):
        await world.blocklist.block(people[0], "100-9@interop")
    if most:
        await world.blocklist.block(people[0], "100-1@interop")
        await world.blocklist.block(people[1], "100-9@interop")
