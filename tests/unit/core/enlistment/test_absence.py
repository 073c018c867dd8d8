"""What follows when a third-party account has no connection: its enlistment ends after thirty days."""

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS
from interop_server.core.model import AccountEnd, NewEnlistment
from tests.unit.core.world import BATS, NOW_MS, ClientKeys, World, message, refused

MONTH_MS = 30 * DAY_MS


def journalled(world: World, action: str) -> list[str]:
    return [entry.subject for entry in world.journal.after(0, 10_000)[0] if entry.action == action]


@pytest.mark.requirement("LIF-04")
@pytest.mark.parametrize("swept", [True, False], ids=["swept", "before the sweep"])
async def test_thirty_days_without_a_connection_end_an_enlistment(world: World, swept: bool) -> None:
    """To the millisecond, and whether or not the sweep has come by already."""
    ada = await world.enlisted()
    world.clock.advance(MONTH_MS - 1)
    assert await world.sweep() == {}
    assert (await world.logins.log_in(world.login(ada))) == ada  # and counts from now

    world.clock.advance(MONTH_MS)
    if swept:
        assert await world.sweep() == {"enlistments": 1}
    with refused(Reason.ENLISTMENT_EXPIRED):
        await world.logins.log_in(world.login(ada))
    assert await world.store.accounts.get(ada.jid) is None
    assert journalled(world, "timer.unenlist") == [ada.jid]
    assert await world.sweep() == {}
    with refused(Reason.ENLISTMENT_EXPIRED):
        await world.logins.log_in(world.login(ada))


@pytest.mark.requirement("LIF-04")
@pytest.mark.parametrize("swept", [True, False], ids=["swept", "before the sweep"])
async def test_who_comes_back_after_thirty_days_is_somebody_new(world: World, swept: bool) -> None:
    """Enlisting gives another JID, and nothing of before is there; the old JID stays expired."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.prekeys.add(ada, ClientKeys().one_time(1, 5))
    await world.router.send_messages(user, [message(ada)])
    world.clock.advance(MONTH_MS)
    if swept:
        await world.sweep()
    again = await world.enlisted()
    assert (again.external_id, again.jid != ada.jid) == (ada.external_id, True)
    assert await world.waiting(again) == []
    assert (await world.store.prekeys.count(again.account_id)).one_time == 0
    assert await world.store.accounts.list_ends([ada.jid, again.jid]) == {ada.jid: AccountEnd.EXPIRED}
    assert (await world.logins.log_in(world.login(again))).jid == again.jid


@pytest.mark.requirement("LIF-04")
async def test_enlisting_again_in_time_keeps_the_account(world: World) -> None:
    """One millisecond before the end it is still the same account, and the days begin anew; policy."""
    ada = await world.enlisted()
    world.clock.advance(MONTH_MS - 1)
    assert (await world.enlisted()).jid == ada.jid
    world.clock.advance(MONTH_MS - 1)
    assert await world.sweep() == {}
    assert (await world.enlisted()).jid == ada.jid


@pytest.mark.requirement("LIF-04")
async def test_the_days_are_counted_from_the_end_of_the_connection(world: World) -> None:
    """Who is connected is never due, however long; from the end on there are thirty days."""
    ada = await world.enlisted()
    await world.logins.log_in(world.login(ada))
    world.connections.online.add(ada.account_id)
    for _ in range(3):
        world.clock.advance(MONTH_MS)
        assert await world.sweep() == {}
    assert not await world.absence.is_over(await world.account(ada.jid))
    world.clock.advance(5 * DAY_MS)
    await world.absence.begin(ada)
    world.connections.online.remove(ada.account_id)
    world.clock.advance(MONTH_MS - 1)
    assert await world.sweep() == {}
    world.clock.advance(1)
    assert await world.sweep() == {"enlistments": 1}


@pytest.mark.requirement("LIF-04")
async def test_a_crash_does_not_make_a_long_connection_look_like_an_absence(world: World) -> None:
    """Now and then it is noted who is connected, so all that a crash takes is the time since the last note."""
    ada = await world.enlisted()
    world.connections.online.add(ada.account_id)
    world.clock.advance(100 * DAY_MS)
    await world.absence.note_connected()
    world.connections.online.clear()  # without anybody saying so
    world.clock.advance(MONTH_MS - 1)
    assert await world.sweep() == {}
    world.clock.advance(1)
    assert await world.sweep() == {"enlistments": 1}


@pytest.mark.requirement("LIF-04")
async def test_whatsapp_users_stay(world: World) -> None:
    """They have not enlisted."""
    user = await world.whatsapp_user()
    world.clock.advance(10 * MONTH_MS)
    assert await world.sweep() == {}
    assert not await world.absence.is_over(await world.account(user.jid))
    assert (await world.logins.log_in(world.login(user))) == user


@pytest.mark.requirement("LIF-04")
async def test_many_that_fall_due_at_once_go_at_once(world: World) -> None:
    """However many transactions it takes; who has connected since stays, and nobody is told or pushed to."""
    users = [await world.store.accounts.enlist(enlistment(world, number)) for number in range(450)]
    world.clock.advance(MONTH_MS - 1)
    back = users[77].account
    await world.store.accounts.set_connected(back.account_id, True, world.clock.now_ms())
    world.clock.advance(1)
    with world.quiet():
        assert await world.sweep() == {"enlistments": 449}
    assert (await world.store.count_rows())["account"] == 1
    assert await world.store.accounts.get(back.jid) == back
    assert len(journalled(world, "timer.unenlist")) == 449
    [sweep] = world.absence.sweeps()
    assert sweep.retention_ms == MONTH_MS
    assert (await sweep.take_away(world.clock.now_ms())).again_ms == world.clock.now_ms() + MONTH_MS - 1


@pytest.mark.requirement("LIF-04", "LIF-03")
async def test_how_an_account_ended_decides_what_its_client_is_told(world: World) -> None:
    """Deleted by its user, or never there: not enlisted. Un-enlisted: expired."""
    deleted, expired = await world.enlisted("dan"), await world.enlisted("eve")
    await world.deletion.delete(deleted)
    world.clock.advance(MONTH_MS)
    await world.sweep()
    for account, reason, cause in (
        (deleted, Reason.NOT_ENLISTED, "deleted by its user"),
        (expired, Reason.ENLISTMENT_EXPIRED, ""),
    ):
        with refused(reason) as caught:
            await world.logins.log_in(world.login(account))
        assert caught.value.cause == cause
    with refused(Reason.NOT_ENLISTED) as caught:
        await world.logins.log_in(world.login(deleted, account_number=12_345))
    assert caught.value.cause == "never enlisted"


@pytest.mark.requirement("LIF-05")
async def test_peers_are_told_the_same_of_every_account_that_is_not_there(world: World) -> None:
    """Deleted, un-enlisted or never enlisted: only the operator's cause differs."""
    deleted, expired, user = await world.enlisted("dan"), await world.enlisted("eve"), await world.opted_in()
    await world.deletion.delete(deleted)
    world.clock.advance(MONTH_MS)
    await world.sweep()
    jids = [deleted.jid, expired.jid, f"{BATS}-77@interop"]
    sent = await world.router.send_messages(user, [message(jid, f"m{at}") for at, jid in enumerate(jids)])
    taken = await world.prekeys.take(user, jids)
    resolved = await world.optin.resolve(user, [(name, BATS) for name in ("dan", "eve", "nobody")])
    for answers in ([outcome.refusal for outcome in sent], taken, resolved):
        for answer in answers:
            assert isinstance(answer, Refusal)
            told = (answer.reason, answer.detail, answer.retry_after_ms)
            assert told == (Reason.RECIPIENT_NOT_REACHABLE, "", None)
    causes = [outcome.refusal.cause for outcome in sent if outcome.refusal]
    assert len(set(causes)) == 3
    assert "deleted" in causes[0] and "un-enlisted" in causes[1] and "no such" in causes[2]


def enlistment(world: World, number: int) -> NewEnlistment:
    return NewEnlistment(
        BATS, f"u{number}", f"{BATS}-{number + 1}@interop", ClientKeys().auth_key, ClientKeys().published, 1, NOW_MS
    )


@pytest.mark.requirement("LIF-04")
async def test_who_is_connected_is_not_absent(world: World) -> None:
    """However long ago they connected; and a WhatsApp user never is."""
    ada, user = await world.enlisted(), await world.whatsapp_user()
    world.clock.advance(2 * MONTH_MS)
    world.connections.online.add(ada.account_id)
    assert await world.absence.is_over(ada) is False
    assert await world.absence.is_over(user) is False
    world.connections.online.clear()
    assert await world.absence.is_over(ada) is True
    assert await world.absence.is_over(ada) is False
