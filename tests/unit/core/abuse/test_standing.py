"""Sanctions: what they keep people from, and when they end."""

import pytest

from interop_server.core.abuse.standing import MAX_SANCTION_SECONDS, SUB_CODES, BanRefusal, scripted_sanction
from interop_server.core.errors import Reason
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS, SECOND_MS
from interop_server.core.model import Account, ExternalUser, IdentifierType, Sanction, SanctionKind
from tests.unit.core.world import BATS, NOW_MS, ClientKeys, World, partner, refused, token

LOCK, TEMPORARY_BAN, BAN = SanctionKind


async def impose(world: World, account: Account, kind: SanctionKind, seconds: int = 0, sub_code: int = 0) -> None:
    sanction = scripted_sanction(kind, sub_code, seconds, world.clock.now_ms())
    await world.standing.impose(account, sanction, OPERATOR, "scripted")


@pytest.mark.requirement("ABU-05", "CHN-10")
@pytest.mark.parametrize("sub_code", SUB_CODES)
async def test_a_temporary_ban_ends_by_itself(world: World, sub_code: int) -> None:
    """The refusal says what for and how much is left; the millisecond in which it ends is not part of it."""
    for account in (await world.enlisted(), await world.whatsapp_user()):
        await impose(world, account, TEMPORARY_BAN, 60, sub_code)
        assert world.connections.ended[-1] == (account.account_id, Reason.TEMPORARILY_BANNED)
        world.clock.advance(SECOND_MS)
        with refused(Reason.TEMPORARILY_BANNED) as caught:
            await world.logins.log_in(world.login(account))
        assert isinstance(caught.value, BanRefusal)
        assert (caught.value.sub_code, caught.value.retry_after_ms) == (sub_code, 59 * SECOND_MS)
        assert SUB_CODES[sub_code] in caught.value.advice
        world.clock.advance(59 * SECOND_MS - 1)
        with refused(Reason.TEMPORARILY_BANNED):
            await world.logins.log_in(world.login(account))
        world.clock.advance(1)
        assert await world.logins.log_in(world.login(account)) == account


@pytest.mark.requirement("ABU-05", "OPT-08")
async def test_a_person_is_the_same_in_any_form_of_their_name(world: World) -> None:
    """An operator who is told that a ban is lifted has not named somebody else."""
    ada = await world.enlisted("Ren\u00e9")
    await impose(world, await world.standing.account(ada.jid.replace("@", ":0@")), BAN)
    await world.deletion.delete(ada)
    person = await world.standing.person(BATS, "RENE\u0301")
    assert person == ada.external_user and await world.standing.sanctions(person)
    assert await world.standing.person(0, "+49 1511 234567") == ExternalUser(0, "491511234567")
    await world.register(partner(BATS, identifier_type=IdentifierType.EMAIL))
    assert await world.standing.person(BATS, "Ren\u00e9") == ada.external_user
    with refused(Reason.REQUEST_MALFORMED, "ENL-02"):
        await world.standing.person(BATS, "")
    with refused(Reason.NOT_REGISTERED, "ABU-05"):
        await world.standing.person(999, "ren\u00e9")


@pytest.mark.requirement("ABU-05")
async def test_a_ban_for_good_outlives_everything(world: World) -> None:
    """Time, a shorter ban, and the account: its person neither connects nor enlists until it is lifted."""
    ada = await world.enlisted()
    await impose(world, ada, BAN)
    assert world.connections.ended == [(ada.account_id, Reason.BANNED)]
    await impose(world, ada, TEMPORARY_BAN, 60, 102)
    world.clock.advance(400 * DAY_MS)
    await world.sweep()
    with refused(Reason.BANNED) as caught:
        await world.standing.check_may_connect(ada.external_user)
    assert isinstance(caught.value, BanRefusal)
    assert (caught.value.sub_code, caught.value.retry_after_ms) == (0, None)
    form = ClientKeys().form(token(iat=world.now, exp=world.now + 600))
    await world.deletion.delete(ada)
    with refused(Reason.BANNED):
        await world.enlistment.enlist(form)
    await world.standing.lift(ada.external_user, OPERATOR, *SanctionKind)
    assert await world.enlistment.enlist(form) != ada.jid


@pytest.mark.requirement("ABU-05")
async def test_a_temporary_ban_does_not_keep_anybody_from_enlisting(world: World) -> None:
    """New keys change nothing about the ban."""
    ada = await world.enlisted()
    await impose(world, ada, TEMPORARY_BAN, 60, 101)
    again = await world.enlisted(keys=ClientKeys(2))
    assert again.jid == ada.jid
    with refused(Reason.TEMPORARILY_BANNED):
        await world.logins.log_in(world.login(again, ClientKeys(2)))


@pytest.mark.requirement("ABU-05", "CHN-07")
async def test_a_ban_is_told_to_nobody_else(world: World) -> None:
    """Who does not prove the account's key learns only that; a refused login is no connection."""
    ada = await world.enlisted()
    await impose(world, ada, BAN)
    with refused(Reason.AUTH_KEY_MISMATCH):
        await world.logins.log_in(world.login(ada, ClientKeys(2)))


@pytest.mark.requirement("ABU-05")
async def test_a_lock_on_new_chats_keeps_nobody_from_connecting(world: World) -> None:
    """And ends no connection."""
    ada = await world.enlisted()
    with world.quiet():
        await impose(world, ada, LOCK, 60)
    assert await world.logins.log_in(world.login(ada)) == ada


@pytest.mark.requirement("ABU-08")
async def test_a_sanction_is_forgotten_a_day_after_it_ended(world: World) -> None:
    """Not before, and one for good not at all."""
    ada = await world.enlisted()
    await impose(world, ada, LOCK, 60)
    await impose(world, ada, BAN)
    world.clock.advance(60 * SECOND_MS + DAY_MS - 1)
    assert await world.sweep() == {}
    world.clock.advance(1)
    assert await world.sweep() == {"ended_sanctions": 1}
    assert (await world.store.count_rows())["sanction"] == 1


@pytest.mark.requirement("SIM-07")
async def test_the_journal_says_what_was_imposed(world: World) -> None:
    """On whom, until when and what brought it about."""
    ada = await world.enlisted()
    await impose(world, ada, TEMPORARY_BAN, 60, 104)
    [entry] = [entry for entry in world.journal.after(0, 100)[0] if entry.action == "standing.sanction"]
    assert (entry.actor, entry.subject, entry.outcome) == ("operator", ada.jid, "done")
    assert (entry.cause, entry.detail) == ("scripted", f"temporary_ban 104, until {NOW_MS + 60_000}")


@pytest.mark.parametrize(
    ("kind", "sub_code", "seconds"),
    [
        (LOCK, 0, 0),
        (LOCK, 102, 60),
        (LOCK, 0, MAX_SANCTION_SECONDS + 1),
        (TEMPORARY_BAN, 0, 60),
        (TEMPORARY_BAN, 105, 60),
        (TEMPORARY_BAN, 102, 0),
        (TEMPORARY_BAN, 102, MAX_SANCTION_SECONDS + 1),
        (BAN, 0, 60),
        (BAN, 102, 0),
    ],
)
def test_kind_sub_code_and_duration_belong_together(kind: SanctionKind, sub_code: int, seconds: int) -> None:
    """A script that mixes them up is told so."""
    with refused(Reason.REQUEST_MALFORMED):
        scripted_sanction(kind, sub_code, seconds, NOW_MS)


def test_the_longest_and_the_shortest_sanction() -> None:
    """A second, and 365 days."""
    for seconds in (1, MAX_SANCTION_SECONDS):
        assert scripted_sanction(LOCK, 0, seconds, NOW_MS) == Sanction(LOCK, 0, NOW_MS + seconds * SECOND_MS)


async def test_an_account_is_found_by_its_jid(world: World) -> None:
    """Which an operator has from the journal; nobody else's, and none that there is not."""
    ada = await world.enlisted()
    await world.enlisted("eve")
    assert await world.standing.account(ada.jid) == ada
    with refused(Reason.NOT_REGISTERED) as caught:
        await world.standing.account("100-10000000000000@interop")
    assert caught.value.requirement == "ABU-05"
