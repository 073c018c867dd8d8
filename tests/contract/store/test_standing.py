"""How people stand: sanctions by person, for as long as they last."""

import pytest

from interop_server.core.model import ExternalUser, Sanction, SanctionKind
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, World

ADA = ExternalUser(BATS, "ada")
LOCK = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, NOW_MS + 10)
BAN = Sanction(SanctionKind.BAN)


def ban_until(expires_at_ms: int, sub_code: int = 102) -> Sanction:
    return Sanction(SanctionKind.TEMPORARY_BAN, sub_code, expires_at_ms)


@pytest.mark.requirement("ABU-05")
async def test_a_sanction_holds_until_it_ends(store: Store) -> None:
    """To the millisecond; one for good never ends; by kind."""
    for sanction in (BAN, ban_until(NOW_MS + 20), LOCK):
        await store.standing.put(ADA, sanction)
    assert await store.standing.list_in_force(ADA, NOW_MS + 9) == [LOCK, ban_until(NOW_MS + 20), BAN]
    assert await store.standing.list_in_force(ADA, NOW_MS + 10) == [ban_until(NOW_MS + 20), BAN]
    assert (
        await store.standing.list_in_force(ADA, NOW_MS + 20) == await store.standing.list_in_force(ADA, 2**62) == [BAN]
    )


@pytest.mark.requirement("ABU-05")
async def test_a_sanction_is_one_persons(store: Store) -> None:
    """Neither a namesake at another messenger nor anybody else is meant."""
    await store.standing.put(ADA, BAN)
    for other in (
        ExternalUser(OWLS, "ada"),
        ExternalUser(0, "ada"),
        ExternalUser(BATS, "ad"),
        ExternalUser(10, "0:ada"),
    ):
        assert await store.standing.list_in_force(other, NOW_MS) == []


@pytest.mark.requirement("ABU-05")
async def test_a_sanction_replaces_one_of_its_kind(store: Store) -> None:
    """Longer or shorter, and for another reason."""
    await store.standing.put(ADA, LOCK)
    await store.standing.put(ADA, ban_until(NOW_MS + 50))
    await store.standing.put(ADA, ban_until(NOW_MS + 20, 106))
    assert await store.standing.list_in_force(ADA, NOW_MS) == [LOCK, ban_until(NOW_MS + 20, 106)]


@pytest.mark.requirement("ABU-05")
async def test_sanctions_are_lifted_by_kind(store: Store) -> None:
    """Idempotent, and nobody else's."""
    eve = ExternalUser(BATS, "eve")
    for user in (ADA, eve):
        for sanction in (LOCK, BAN):
            await store.standing.put(user, sanction)
    for _ in range(2):
        await store.standing.delete(ADA, [SanctionKind.NEW_CHATS_LOCKED, SanctionKind.TEMPORARY_BAN])
        assert await store.standing.list_in_force(ADA, NOW_MS) == [BAN]
    await store.standing.delete(ADA, [])
    await store.standing.delete(ADA, list(SanctionKind))
    assert await store.standing.list_in_force(ADA, NOW_MS) == []
    assert await store.standing.list_in_force(eve, NOW_MS) == [LOCK, BAN]


@pytest.mark.requirement("ABU-08")
async def test_ended_sanctions_are_forgotten(store: Store) -> None:
    """Those that ended before a time, and no other; the first end is known."""
    assert await store.standing.next_end_ms() is None
    await store.standing.put(ADA, BAN)
    assert await store.standing.next_end_ms() is None
    await store.standing.put(ADA, ban_until(NOW_MS + 20))
    await store.standing.put(ADA, LOCK)
    assert await store.standing.next_end_ms() == NOW_MS + 10
    assert await store.standing.delete_ended(NOW_MS + 10, 1_000) == 0
    assert await store.standing.delete_ended(NOW_MS + 11, 1_000) == 1
    assert await store.standing.next_end_ms() == NOW_MS + 20
    assert await store.standing.list_in_force(ADA, NOW_MS) == [ban_until(NOW_MS + 20), BAN]
    assert await store.standing.delete_ended(2**62, 1_000) == 1
    assert await store.standing.list_in_force(ADA, 0) == [BAN]


@pytest.mark.requirement("ABU-05")
async def test_a_sanction_outlives_the_account(store: Store, world: World) -> None:
    """It is kept by who somebody is, and not by what identifies them to anybody who reads the store."""
    account = await world.third_party_user(1)
    await store.standing.put(account.external_user, BAN)
    await store.accounts.delete(account.account_id)
    again = await world.third_party_user(2)
    assert await store.standing.list_in_force(again.external_user, NOW_MS) == []
    assert await store.standing.list_in_force(account.external_user, NOW_MS) == [BAN]


@pytest.mark.requirement("ABU-05")
async def test_a_new_number_does_not_change_how_somebody_stands(store: Store, world: World) -> None:
    """The sanctions go along, in place of those of whoever had the number before."""
    user = await world.whatsapp_user("491")
    await store.standing.put(user.external_user, ban_until(NOW_MS + 20))
    await store.standing.put(ExternalUser(0, "492"), ban_until(NOW_MS + 90))
    await store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492")
    assert await store.standing.list_in_force(ExternalUser(0, "492"), NOW_MS) == [ban_until(NOW_MS + 20)]
    assert await store.standing.list_in_force(ExternalUser(0, "491"), NOW_MS) == []


@pytest.mark.requirement("ABU-05")
async def test_a_sanction_follows_a_number_that_changes_at_the_same_time(store: Store, world: World) -> None:
    """It is imposed on who has the account, although the caller has read the number that was theirs before."""
    user = await world.whatsapp_user("491")
    await store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492")
    await store.standing.put(user.external_user, BAN, user.account_id)
    assert await store.standing.list_in_force(ExternalUser(0, "492"), NOW_MS) == [BAN]
    assert await store.standing.list_in_force(ExternalUser(0, "491"), NOW_MS) == []


@pytest.mark.requirement("ABU-05")
async def test_a_lift_follows_a_number_that_changes_at_the_same_time(store: Store, world: World) -> None:
    """It is for who has the account now; who has got the number meanwhile keeps what is theirs."""
    user = await world.whatsapp_user("491")
    await store.standing.put(user.external_user, BAN)
    await store.accounts.change_number(user.account_id, "492@s.whatsapp.net", "492")
    await store.standing.put(ExternalUser(0, "491"), BAN)
    await store.standing.delete(user.external_user, [SanctionKind.BAN], user.account_id)
    assert await store.standing.list_in_force(ExternalUser(0, "492"), NOW_MS) == []
    assert await store.standing.list_in_force(ExternalUser(0, "491"), NOW_MS) == [BAN]


@pytest.mark.requirement("ABU-07")
async def test_the_banned_of_a_partner_are_counted(store: Store) -> None:
    """For good, and not for a time."""
    for name in ("ada", "eve"):
        await store.standing.put(ExternalUser(BATS, name), BAN)
    await store.standing.put(ADA, ban_until(NOW_MS + 10))
    await store.standing.put(ExternalUser(BATS, "kim"), ban_until(NOW_MS + 10))
    await store.standing.put(ExternalUser(0, "491"), BAN)
    assert [await store.standing.count_banned(integrator) for integrator in (BATS, OWLS, 0)] == [2, 0, 1]
