"""Reachability pings: who lets them through, how many are outstanding, how many were sent."""

import asyncio

import pytest

from interop_server.core.consent.store import PingsUsedUp
from interop_server.core.mailbox_content import ReachabilityPing, encode
from interop_server.core.messages import MailboxItem
from interop_server.core.model import (
    Account,
    PartnerStatus,
    PingBounds,
    PingFacts,
    PingFate,
    Platform,
    ReachabilitySettings,
)
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, World, key, partner

MANY = PingBounds(counted_since_ms=0, most_counted=100, outstanding_since_ms=0, most_outstanding=100)
DELIVERED, DROPPED, OUTSTANDING, CROWDED = PingFate


def notice(sender: Account, recipient: Account, at_ms: int = NOW_MS) -> MailboxItem:
    return encode(ReachabilityPing(BATS, "Bats", "Ada"), recipient.account_id, at_ms, sender_id=sender.account_id)


async def test_everybody_lets_pings_through_at_first(store: Store, world: World) -> None:
    """What is chosen replaces what was, and leaves the other choices as they are (OPT-11)."""
    user = await world.whatsapp_user("491")
    assert await store.reachability.get(user.account_id) == ReachabilitySettings(True, frozenset())
    await store.opt_in.put(user.account_id, [BATS])
    for settings in (
        ReachabilitySettings(False, frozenset({BATS, 999})),
        ReachabilitySettings(True, frozenset({OWLS})),
        ReachabilitySettings(True, frozenset()),
    ):
        await store.reachability.put(user.account_id, settings)
        assert await store.reachability.get(user.account_id) == settings
    chosen = await store.opt_in.get(user.account_id)
    assert (chosen.enabled, chosen.integrators) == (True, {BATS})


async def test_facts_of_a_ping_are_the_recipients_as_the_sender_meets_them(store: Store, world: World) -> None:
    """Each by itself: partner, opt-in, both switches, block (OPT-11)."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    expected = PingFacts("Partner 100", True, user, False, True, False, False)
    assert user == Account(user.account_id, "491@s.whatsapp.net", 0, "491", key(1), Platform.ANDROID)

    async def facts() -> PingFacts:
        return await store.reachability.get_ping_facts(ada, "491")

    assert await facts() == expected
    await store.opt_in.put(user.account_id, [OWLS])
    assert await facts() == expected
    await store.opt_in.put(user.account_id, [BATS])
    assert await facts() == expected._replace(opted_in=True)
    await store.opt_in.put_enabled(user.account_id, False)
    assert await facts() == expected
    await store.reachability.put(user.account_id, ReachabilitySettings(False, frozenset({OWLS})))
    assert await facts() == expected._replace(enabled=False)
    await store.reachability.put(user.account_id, ReachabilitySettings(True, frozenset({BATS})))
    assert await facts() == expected._replace(partner_muted=True)
    await store.reachability.put(user.account_id, ReachabilitySettings())
    await store.blocklist.put(ada.account_id, user.jid)
    assert await facts() == expected
    await store.blocklist.put(user.account_id, ada.jid)
    assert await facts() == expected._replace(recipient_blocked_sender=True)
    await store.partners.put(partner(BATS, name="Bats & Sons", status=PartnerStatus.SUSPENDED))
    suspended = expected._replace(partner_name="Bats & Sons", partner_active=False, recipient_blocked_sender=True)
    assert await facts() == suspended
    for number in ("492", "user1", ""):
        nobody = suspended._replace(recipient=None, recipient_blocked_sender=False)
        assert await store.reachability.get_ping_facts(ada, number) == nobody


async def test_one_ping_at_most_is_outstanding_per_pair(store: Store, world: World) -> None:
    """The other way round, and to others, it is another pair; one that is too old makes room (OPT-12)."""
    users = [await world.whatsapp_user(number) for number in ("491", "492")]
    ada, bea = await world.third_party_user(1), await world.third_party_user(2)

    async def ping(sender: Account, user: Account, at_ms: int, since_ms: int = 0) -> PingFate:
        bounds = MANY._replace(outstanding_since_ms=since_ms)
        return await store.reachability.put_ping(sender.account_id, at_ms, bounds, notice(sender, user, at_ms))

    assert await ping(ada, users[0], NOW_MS) is DELIVERED
    assert await ping(ada, users[0], NOW_MS + 1) is OUTSTANDING
    assert await ping(ada, users[0], NOW_MS + 2, NOW_MS - 1) is OUTSTANDING
    assert [await ping(ada, users[1], NOW_MS + 3), await ping(bea, users[0], NOW_MS + 3)] == [DELIVERED] * 2
    assert await ping(ada, users[0], NOW_MS + 4, NOW_MS) is DELIVERED
    assert await ping(ada, users[0], NOW_MS + 5, NOW_MS + 3) is OUTSTANDING
    assert await world.waiting(users[0]) == [
        notice(ada, users[0]), notice(bea, users[0], NOW_MS + 3), notice(ada, users[0], NOW_MS + 4)
    ]  # fmt: skip


async def test_concurrent_pings_of_a_pair_are_delivered_once(store: Store, world: World) -> None:
    """Fifty at once, and no more than may be (OPT-12)."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    bounds = MANY._replace(most_counted=20)
    calls = [store.reachability.put_ping(ada.account_id, NOW_MS, bounds, notice(ada, user)) for _ in range(50)]
    fates = await asyncio.gather(*calls, return_exceptions=True)
    assert [fates.count(fate) for fate in PingFate] == [1, 0, 19, 0]
    assert sum(isinstance(fate, PingsUsedUp) for fate in fates) == 30
    assert len(await world.waiting(user)) == 1


async def test_as_many_as_may_be_are_outstanding_for_one_recipient(store: Store, world: World) -> None:
    """Whoever sent them; those that are too old do not count, nor do others' (OPT-12)."""
    user, other = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    senders = [await world.third_party_user(number) for number in range(1, 6)]
    bounds = MANY._replace(most_outstanding=2)
    await store.reachability.put_ping(senders[0].account_id, NOW_MS, bounds, notice(senders[0], other))
    fates = [
        await store.reachability.put_ping(sender.account_id, NOW_MS + n, bounds, notice(sender, user))
        for n, sender in enumerate(senders)
    ]
    assert fates == [DELIVERED, DELIVERED, CROWDED, CROWDED, CROWDED]
    later = bounds._replace(outstanding_since_ms=NOW_MS)
    assert (
        await store.reachability.put_ping(senders[4].account_id, NOW_MS + 9, later, notice(senders[4], user))
        is DELIVERED
    )


@pytest.mark.parametrize("how", ["opt in", "enabled"])
async def test_opting_in_answers_the_pings_of_that_partners_users(store: Store, world: World, how: str) -> None:
    """Those of others stay outstanding; all of them still count for their senders (OPT-12)."""
    user, other = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    ada, owl = await world.third_party_user(1), await world.third_party_user(2, OWLS)
    if how == "enabled":
        await store.opt_in.put(user.account_id, [BATS])
        await store.opt_in.put_enabled(user.account_id, False)
    for sender, recipient in ((ada, user), (owl, user), (ada, other)):
        assert (
            await store.reachability.put_ping(sender.account_id, NOW_MS, MANY, notice(sender, recipient)) is DELIVERED
        )
    if how == "enabled":
        await store.opt_in.put_enabled(user.account_id, False)
        assert await store.reachability.put_ping(ada.account_id, NOW_MS, MANY, notice(ada, user)) is OUTSTANDING
        await store.opt_in.put_enabled(user.account_id, True)
    else:
        await store.opt_in.put(user.account_id, [BATS])
    fates = [
        await store.reachability.put_ping(sender.account_id, NOW_MS, MANY, notice(sender, recipient))
        for sender, recipient in ((ada, user), (owl, user), (ada, other))
    ]
    assert fates == [DELIVERED, OUTSTANDING, OUTSTANDING]
    with pytest.raises(PingsUsedUp):
        await store.reachability.put_ping(ada.account_id, NOW_MS, MANY._replace(most_counted=4), None)


async def test_a_sender_sends_as_many_as_may_be(store: Store, world: World) -> None:
    """Dropped or delivered; one that is refused is none. It says which one has to grow old first (OPT-12)."""
    user, ada, bea = (
        await world.whatsapp_user("491"),
        await world.third_party_user(1),
        await world.third_party_user(2),
    )
    bounds = MANY._replace(counted_since_ms=NOW_MS - 1, most_counted=3)
    assert await store.reachability.put_ping(ada.account_id, NOW_MS - 1, bounds, None) is DROPPED
    assert await store.reachability.put_ping(ada.account_id, NOW_MS, bounds, notice(ada, user)) is DELIVERED
    assert await store.reachability.put_ping(ada.account_id, NOW_MS + 1, bounds, notice(ada, user)) is OUTSTANDING
    assert await store.reachability.put_ping(ada.account_id, NOW_MS + 2, bounds, None) is DROPPED
    before = await store.count_rows()
    for ping in (None, notice(ada, user)):
        with pytest.raises(PingsUsedUp) as refused:
            await store.reachability.put_ping(ada.account_id, NOW_MS + 3, bounds, ping)
        assert refused.value.first_at_ms == NOW_MS
    assert await store.count_rows() == before
    assert await store.reachability.put_ping(bea.account_id, NOW_MS + 3, bounds, None) is DROPPED
    later = bounds._replace(counted_since_ms=NOW_MS)
    assert await store.reachability.put_ping(ada.account_id, NOW_MS + 4, later, None) is DROPPED
    with pytest.raises(PingsUsedUp) as none_at_all:
        await store.reachability.put_ping(bea.account_id, NOW_MS + 5, bounds._replace(most_counted=0), None)
    assert none_at_all.value.first_at_ms == NOW_MS + 5


async def test_pings_go_with_time_and_with_their_people(store: Store, world: World) -> None:
    """Each on its own; what was delivered stays in the mailbox as long as anything else (OPT-12)."""
    user, ada = await world.whatsapp_user("491"), await world.third_party_user(1)
    assert await store.reachability.oldest_ping_ms() is None
    for at_ms, ping in ((NOW_MS, notice(ada, user)), (NOW_MS + 1, None), (NOW_MS + 2, None)):
        await store.reachability.put_ping(ada.account_id, at_ms, MANY, ping)
    assert await store.reachability.oldest_ping_ms() == NOW_MS
    assert await store.reachability.delete_expired_pings(NOW_MS + 2, 1_000) == 2
    assert await store.reachability.delete_expired_pings(NOW_MS + 2, 1_000) == 0
    assert await store.reachability.oldest_ping_ms() == NOW_MS + 2
    await store.accounts.delete(ada.account_id)
    assert await store.reachability.oldest_ping_ms() is None
    assert await store.reachability.put_ping(ada.account_id, NOW_MS, MANY, None) is DROPPED
    assert await store.reachability.put_ping(ada.account_id, NOW_MS, MANY, notice(ada, user)) is OUTSTANDING
    assert (await store.count_rows())["reachability_ping"] == 0
    assert len(await world.waiting(user)) == 1
