"""Reports that counted: by how many people somebody was reported, for as long as it weighs."""

import asyncio

import pytest

from interop_server.core.messages import RequestAnswer
from interop_server.core.model import Account, Complaints, ExternalUser, MessageRequestState
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, World

pytestmark = pytest.mark.requirement("ABU-04")

ADA, EVE = ExternalUser(BATS, "ada"), ExternalUser(BATS, "eve")
BOB, CAROL = ExternalUser(0, "491"), ExternalUser(0, "492")


async def chat(store: Store, world: World, user: Account, account: Account) -> None:
    await store.mailbox.put([world.message(user, account, f"{user.jid}-{account.jid}")])


@pytest.mark.parametrize("moved", ["reported", "reporter"])
async def test_a_report_follows_a_number_that_changes_at_the_same_time(store: Store, world: World, moved: str) -> None:
    """Of who was reported and of who reports: it counts, weighs and is forgotten with who has the account now."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    reported, reporter = (user, ada) if moved == "reported" else (ada, user)
    both, ids = (reported.external_user, reporter.external_user), (reported.account_id, reporter.account_id)
    await store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492")
    assert await store.reports.add(*both, NOW_MS, 0, ids) == 1
    now = ExternalUser(0, "492")
    pair = (now, ada.external_user) if moved == "reported" else (ada.external_user, now)
    assert await store.reports.add(*pair, NOW_MS, 0) is None
    assert (await store.reports.count_complaints(reported, 0)).reporters == 1
    await store.reports.delete(reported.external_user, reported.account_id)
    assert await store.reports.add(*pair, NOW_MS, 0) == 1


async def test_each_reporter_counts_once(store: Store) -> None:
    """For each person reported, as long as the report weighs; after that, anew."""
    assert await store.reports.add(ADA, BOB, NOW_MS, NOW_MS - 10) == 1
    assert await store.reports.add(ADA, BOB, NOW_MS + 5, NOW_MS - 5) is None
    assert await store.reports.add(ADA, CAROL, NOW_MS + 5, NOW_MS - 5) == 2
    assert await store.reports.add(EVE, BOB, NOW_MS + 5, NOW_MS - 5) == 1
    assert await store.reports.add(ExternalUser(OWLS, "ada"), BOB, NOW_MS + 5, NOW_MS - 5) == 1
    assert await store.reports.add(ADA, BOB, NOW_MS + 11, NOW_MS + 1) == 2
    assert await store.reports.add(ADA, BOB, NOW_MS + 12, NOW_MS + 2) is None
    assert await store.reports.add(ADA, CAROL, NOW_MS + 30, NOW_MS + 12) == 1


async def test_of_many_reports_at_once_each_counts_once(store: Store) -> None:
    """Also when the same reporter sends several: every number up to that of the reporters is returned once."""
    reporters = [ExternalUser(0, f"49{number}") for number in range(10)] * 3
    counts = await asyncio.gather(*(store.reports.add(ADA, each, NOW_MS, NOW_MS - 10) for each in reporters))
    assert sorted(count for count in counts if count) == list(range(1, 11))


async def test_reports_are_forgotten(store: Store) -> None:
    """All of one person's, or the old ones; the oldest is known."""
    assert await store.reports.oldest_ms() is None
    for number, (reported, reporter) in enumerate([(ADA, BOB), (ADA, CAROL), (EVE, BOB)]):
        await store.reports.add(reported, reporter, NOW_MS + number, 0)
    assert await store.reports.oldest_ms() == NOW_MS
    assert await store.reports.delete_expired(NOW_MS, 1_000) == 0
    assert await store.reports.delete_expired(NOW_MS + 1, 1_000) == 1
    assert await store.reports.oldest_ms() == NOW_MS + 1
    for _ in range(2):
        await store.reports.delete(ADA)
        assert await store.reports.oldest_ms() == NOW_MS + 2
    assert await store.reports.add(ADA, CAROL, NOW_MS + 3, 0) == 1


async def test_deleting_an_account_makes_no_room_for_reports(store: Store, world: World) -> None:
    """Neither on the side of the reporter nor of the reported."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    for _ in range(2):
        assert await store.reports.add(account.external_user, user.external_user, NOW_MS, 0) in (1, None)
        await store.accounts.delete(account.account_id)
        await store.accounts.delete(user.account_id)
    assert await store.reports.add(account.external_user, user.external_user, NOW_MS, 0) is None


async def test_a_new_number_leaves_reports_where_they_are(store: Store, world: World) -> None:
    """By whom and against whom, in place of those of whoever had the number before."""
    user = await world.whatsapp_user("491")
    await store.reports.add(user.external_user, ADA, NOW_MS, 0)
    await store.reports.add(ADA, user.external_user, NOW_MS, 0)
    for reporter in (ADA, EVE):
        await store.reports.add(CAROL, reporter, NOW_MS, 0)
    await store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492")
    moved = await store.accounts.get("492@s.whatsapp.net")
    assert moved is not None
    assert (await store.reports.count_complaints(moved, 0)).reporters == 1
    assert await store.reports.add(CAROL, ADA, NOW_MS, 0) is None
    assert await store.reports.add(ADA, CAROL, NOW_MS, 0) is None
    assert await store.reports.add(ADA, BOB, NOW_MS, 0) == 2


@pytest.mark.requirement("ABU-07")
async def test_complaints_are_people_who_have_something_to_do_with_somebody(store: Store, world: World) -> None:
    """Blocks count when there is a chat; reports as long as they weigh; of both sides."""
    ada, eve, owl = (
        await world.third_party_user(1),
        await world.third_party_user(2, seed=9),
        await world.third_party_user(3, OWLS, seed=11),
    )
    users = [await world.whatsapp_user(f"49{number}") for number in range(4)]
    for user in users[:3]:
        await chat(store, world, user, ada)
    await chat(store, world, users[0], eve)
    for user in users:
        await store.blocklist.put(user.account_id, ada.jid)
    await store.blocklist.put(users[0].account_id, eve.jid)
    await store.blocklist.put(eve.account_id, ada.jid)
    await store.blocklist.put(ada.account_id, users[0].jid)
    for at, user in enumerate(users):
        await store.reports.add(ada.external_user, user.external_user, NOW_MS + at, 0)
    await store.reports.add(eve.external_user, users[0].external_user, NOW_MS, 0)
    await store.reports.add(owl.external_user, users[0].external_user, NOW_MS, 0)
    await store.reports.add(users[1].external_user, ada.external_user, NOW_MS, 0)

    assert await store.reports.count_complaints(ada, NOW_MS) == Complaints(4, 3, 0)
    assert await store.reports.count_complaints(ada, NOW_MS + 3) == Complaints(1, 3, 0)
    assert await store.reports.count_complaints(users[0], NOW_MS) == Complaints(0, 1, 0)
    assert await store.reports.count_complaints(users[1], NOW_MS) == Complaints(1, 0, 0)
    assert await store.reports.count_complaints(owl, NOW_MS) == Complaints(1, 0, 0)
    assert await store.reports.count_complaints_of_partner(BATS, NOW_MS) == Complaints(5, 4, 0)
    assert await store.reports.count_complaints_of_partner(BATS, NOW_MS + 4) == Complaints(0, 4, 0)
    assert await store.reports.count_complaints_of_partner(OWLS, NOW_MS) == Complaints(1, 0, 0)


@pytest.mark.requirement("ABU-07")
async def test_chats_that_nobody_answered_are_counted(store: Store, world: World) -> None:
    """Those that a third-party user opened, until the other side accepts or writes; a decline is no answer."""
    ada, eve = await world.third_party_user(1), await world.third_party_user(2, seed=9)
    users = [await world.whatsapp_user(f"49{number}") for number in range(4)]
    for at, user in enumerate(users):
        await store.mailbox.put([world.message(ada, user, f"to-{at}", NOW_MS + at)])
    await store.mailbox.put([world.message(eve, users[0], "from-eve")])
    await store.mailbox.put([world.message(users[1], eve, "to-eve")])
    assert await store.reports.count_complaints(ada, NOW_MS) == Complaints(0, 0, 4)
    assert await store.reports.count_complaints(ada, NOW_MS + 3) == Complaints(0, 0, 1)
    for user, state in ((users[0], MessageRequestState.ACCEPTED), (users[1], MessageRequestState.DECLINED)):
        await store.chats.put_answers([RequestAnswer(user.account_id, ada.account_id, state)])
    assert await store.reports.count_complaints(ada, NOW_MS) == Complaints(0, 0, 3)
    assert await store.reports.count_complaints(users[0], NOW_MS) == Complaints(0, 0, 0)
    assert await store.reports.count_complaints_of_partner(BATS, NOW_MS) == Complaints(0, 0, 4)
