"""What reports lead to: the steps, and that each further one is harder."""

import pytest

from interop_server.core.errors import Reason
from interop_server.core.escalation import answer_to_reports
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS, HOUR_MS, Limits
from interop_server.core.model import Account, ReportedMessage, Sanction, SanctionKind, SpamFlow

from .world import NOW_MS, World, message, refused

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


async def reported_by(world: World, reported: Account, number: int) -> None:
    """One more person gets a message and reports it."""
    reporter = await world.opted_in(f"+49170000{number:04}")
    await world.router.send_messages(reported, [message(reporter, f"m{number}")])
    await world.reports.report(reporter, reported.jid, SpamFlow.MESSAGE_MENU, [ReportedMessage(f"m{number}", None)])


async def test_reports_escalate_by_themselves(world: World) -> None:
    """From the third reporter on, to the ban for good; each ban ends the connection."""
    ada = await world.enlisted()
    kinds = []
    for number in range(11):
        await reported_by(world, ada, number)
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
    assert (entry.subject, entry.cause) == (ada.jid, "reported by 11, score 110")


async def test_a_longer_sanction_stays(world: World) -> None:
    """What was scripted is not cut short by reports."""
    ada = await world.enlisted()
    long = Sanction(LOCK, 0, NOW_MS + 300 * DAY_MS)
    await world.standing.impose(ada, long, OPERATOR, "scripted")
    for number in range(3):
        await reported_by(world, ada, number)
    assert await world.standing.sanctions(ada.external_user) == [long]


async def test_after_reports_are_forgotten_it_begins_anew(world: World) -> None:
    """Lifting includes them."""
    ada = await world.enlisted()
    for number in range(3):
        await reported_by(world, ada, number)
    await world.standing.lift(ada.external_user, OPERATOR, *SanctionKind)
    await world.reports.forget(ada.external_user)
    for number in range(3, 5):
        await reported_by(world, ada, number)
    assert await world.standing.sanctions(ada.external_user) == []
