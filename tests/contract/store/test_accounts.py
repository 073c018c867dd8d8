"""Accounts, their JIDs, and what enlistment and deletion do to everything else."""

from dataclasses import replace

import pytest

from interop_server.core.mailbox_content import IdentityChanged, decode
from interop_server.core.model import AccountEnd, PartnerStatus, PartnerTerms, Platform
from interop_server.core.shared_store import JidTaken
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, World, key, one_time_prekeys, partner, published_keys


async def test_enlisting_adds_an_account_with_its_keys(store: Store, world: World) -> None:
    """The account is found by JID and by (integrator, external id)."""
    enlisted = await store.accounts.enlist(world.enlistment(1))
    account = enlisted.account
    assert (account.jid, account.integrator, account.external_id) == ("100-1@interop", BATS, "user1")
    assert (account.auth_key, account.platform) == (key(10), None)
    assert enlisted[1:] == (False, False, [])
    assert await store.accounts.get("100-1@interop") == account
    assert await store.accounts.get_by_external_id(BATS, "user1") == account
    assert await store.accounts.get_by_external_id(OWLS, "user1") is None
    assert await store.prekeys.get_published([account.account_id]) == {account.account_id: published_keys(7)}


@pytest.mark.requirement("ENL-13")
async def test_enlisting_again_keeps_the_jid_and_leaves_the_given_one_unused(store: Store, world: World) -> None:
    """One account, one encryption identity per identifier (ENL-13)."""
    first = await store.accounts.enlist(world.enlistment(1))
    again = await store.accounts.enlist(replace(world.enlistment(1), jid="100-99@interop"))
    assert again.account == first.account
    assert await store.accounts.get("100-99@interop") is None
    assert (
        await store.accounts.enlist(replace(world.enlistment(99), jid="100-99@interop"))
    ).account.jid == "100-99@interop"


async def test_an_identical_retry_changes_nothing(store: Store, world: World) -> None:
    """One-time prekeys and mailbox stay (ENL-17)."""
    account, user = await world.third_party_user(1), await world.whatsapp_user("491")
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 3))
    await store.mailbox.put([world.message(user, account, "m")])
    again = await store.accounts.enlist(world.enlistment(1))
    assert (again.identity_changed, again.auth_key_changed, again.notified) == (False, False, [])
    assert (await store.prekeys.count(account.account_id)).one_time == 3
    assert len(await world.waiting(account)) == 1


async def test_new_signed_prekey_and_auth_key_under_the_same_identity(store: Store, world: World) -> None:
    """They are replaced in any case; prekeys and mailbox stay, nobody is notified."""
    account = await world.third_party_user(1)
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 2))
    keys = published_keys(8)._replace(identity_key=published_keys(7).identity_key)
    again = await store.accounts.enlist(replace(world.enlistment(1), keys=keys, auth_key=key(77)))
    assert (again.identity_changed, again.auth_key_changed) == (False, True)
    assert again.account.auth_key == key(77)
    assert await store.accounts.get(account.jid) == again.account
    assert await store.prekeys.get_published([account.account_id]) == {account.account_id: keys}
    assert (await store.prekeys.count(account.account_id)).one_time == 2


@pytest.mark.requirement("ENL-14", "KEY-17")
async def test_a_changed_identity_drops_prekeys_and_mailbox_and_tells_every_chat_peer(
    store: Store, world: World
) -> None:
    """ENL-14 and KEY-17; who never wrote with the account hears nothing."""
    account = await world.third_party_user(1)
    friend, other, stranger = [await world.whatsapp_user(number) for number in ("491", "492", "493")]
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 3))
    await store.mailbox.put([world.message(friend, account, "in"), world.message(account, other, "out")])
    changed = await store.accounts.enlist(replace(world.enlistment(1, seed=50), now_ms=NOW_MS + 5))
    assert (changed.identity_changed, changed.auth_key_changed) == (True, True)
    assert sorted(changed.notified) == [friend.account_id, other.account_id]
    assert await store.prekeys.list_one_time(account.account_id) == []
    assert (await store.prekeys.count(account.account_id)).one_time == 0
    assert await world.waiting(account) == []
    assert await world.waiting(stranger) == []
    [notice] = await world.waiting(friend)
    assert (decode(notice), notice.timestamp_ms) == (IdentityChanged(account.jid), NOW_MS + 5)
    assert (notice.sender_id, notice.stanza_id, notice.message_type) == (account.account_id, "", 0)


async def test_at_most_one_unacked_notice_per_pair(store: Store, world: World) -> None:
    """A second change puts a new one in place of the one that waits, which may have arrived already (KEY-17)."""
    account, friend = await world.third_party_user(1), await world.whatsapp_user("491")
    await store.mailbox.put([world.message(account, friend, "out")])
    assert (await store.accounts.enlist(world.enlistment(1, seed=50))).notified == [friend.account_id]
    _, first = await store.mailbox.list_deliveries(friend.account_id, 0, 10, 0)
    assert (await store.accounts.enlist(world.enlistment(1, seed=60))).notified == [friend.account_id]
    deliveries = await store.mailbox.list_deliveries(friend.account_id, 0, 10, 0)
    assert len(deliveries) == 2
    assert deliveries[1].delivery_id > first.delivery_id
    await store.mailbox.delete(friend.account_id, [delivery.delivery_id for delivery in deliveries])
    assert (await store.accounts.enlist(world.enlistment(1, seed=70))).notified == [friend.account_id]


@pytest.mark.requirement("KEY-17")
async def test_only_recent_peers_are_told_of_a_changed_identity(store: Store, world: World) -> None:
    """With a message since then, in either direction and on the list or not; who heard nothing is not told (KEY-17)."""
    account = await world.third_party_user(1)
    users = [await world.whatsapp_user(f"49{number}") for number in range(1, 6)]
    await store.mailbox.put(
        [
            world.message(account, users[0], "old", NOW_MS - 1),
            world.message(account, users[1], "new", NOW_MS),
            world.message(users[2], account, "new", NOW_MS),
            world.message(account, users[3], "dropped", NOW_MS, is_dropped=True),
            world.message(account, users[4], "deleted", NOW_MS),
        ]
    )
    await store.chats.delete(users[4].account_id, account.jid)
    changed = await store.accounts.enlist(
        replace(world.enlistment(1, seed=50), now_ms=NOW_MS + 5, recent_since_ms=NOW_MS)
    )
    assert sorted(changed.notified) == [users[1].account_id, users[2].account_id]
    for user in users:
        await store.prekeys.put(user.account_id, published_keys(1), [], NOW_MS)
    told = [await store.prekeys.put(user.account_id, published_keys(2), [], NOW_MS + 6, NOW_MS) for user in users]
    assert told == [[], *[[account.account_id]] * 4]


@pytest.mark.requirement("ENL-12")
async def test_a_jid_is_never_given_out_twice(store: Store, world: World) -> None:
    """Neither while its account lives nor after its deletion (ENL-12, LIF-03)."""
    account = await world.third_party_user(1)
    with pytest.raises(JidTaken):
        await store.accounts.enlist(replace(world.enlistment(2), jid=account.jid))
    assert await store.accounts.get_by_external_id(BATS, "user2") is None
    await store.accounts.delete(account.account_id)
    with pytest.raises(JidTaken):
        await store.accounts.enlist(world.enlistment(1))
    fresh = await store.accounts.enlist(replace(world.enlistment(1), jid="100-2@interop"))
    assert fresh.account.account_id > account.account_id


@pytest.mark.requirement("LIF-03")
async def test_deleting_an_account_deletes_all_that_was_its_own(store: Store, world: World) -> None:
    """Keys, mailbox, blocklist, chats, mapping, and nothing of anybody else; twice is as good as once (LIF-03)."""
    account, friend = await world.third_party_user(1), await world.whatsapp_user("491")
    bystander = await world.third_party_user(2)
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 3))
    await store.opt_in.put(friend.account_id, [BATS])
    await store.blocklist.put(account.account_id, "492@s.whatsapp.net")
    await store.blocklist.put(friend.account_id, account.jid)
    await store.mailbox.put(
        [
            world.message(friend, account, "1"),
            world.message(account, friend, "2"),
            world.message(friend, bystander, "3"),
        ]
    )
    await store.accounts.delete(account.account_id)
    await store.accounts.delete(account.account_id)
    rows = await store.count_rows()
    assert rows["account"] == 2
    assert (rows["one_time_prekey"], rows["one_time_prekey_history"], rows["published_keys"]) == (0, 0, 1)
    assert (rows["chat"], rows["blocked"], rows["opt_in"], rows["sent_message"]) == (1, 1, 1, 2)
    assert await store.accounts.get(account.jid) is None
    assert await store.accounts.get_by_external_id(BATS, "user1") is None
    assert await world.waiting(account) == []
    assert [item.stanza_id for item in await world.waiting(friend)] == ["2"]
    assert [item.stanza_id for item in await world.waiting(bystander)] == ["3"]


async def test_a_whatsapp_user_is_added_or_renewed(store: Store, world: World) -> None:
    """Auth key and platform are replaced; account id, number and JID stay."""
    user = await world.whatsapp_user("491")
    assert (user.is_whatsapp, user.external_id, user.platform) == (True, "491", Platform.ANDROID)
    renewed = await store.accounts.put_whatsapp_user("491@s.whatsapp.net", "491", key(9), Platform.IOS, NOW_MS + 1)
    assert renewed == replace(user, auth_key=key(9), platform=Platform.IOS)
    assert await store.accounts.get("491@s.whatsapp.net") == renewed
    assert await store.accounts.get_by_external_id(0, "491") == renewed


async def test_a_whatsapp_user_can_come_back_after_deletion(store: Store, world: World) -> None:
    """The JID is the number, but the account is another one."""
    user = await world.whatsapp_user("491")
    await store.accounts.delete(user.account_id)
    assert (await world.whatsapp_user("491")).account_id > user.account_id


async def test_changing_the_number_changes_the_jid_and_nothing_else(store: Store, world: World) -> None:
    """Mailbox and account id stay; the old JID leads nowhere."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(account, user, "m")])
    await store.accounts.change_number(user.account_id, "499@s.whatsapp.net", "499")
    assert await store.accounts.get("491@s.whatsapp.net") is None
    assert await store.accounts.get("499@s.whatsapp.net") == replace(user, jid="499@s.whatsapp.net", external_id="499")
    assert len(await world.waiting(user)) == 1
    await store.accounts.change_number(user.account_id, "499@s.whatsapp.net", "499")


async def test_a_number_cannot_be_changed_to_somebody_elses(store: Store, world: World) -> None:
    """JidTaken, and both stay what they were."""
    user, other = await world.whatsapp_user("491"), await world.whatsapp_user("492")
    with pytest.raises(JidTaken):
        await store.accounts.change_number(user.account_id, other.jid, "492")
    assert await store.accounts.get(user.jid) == user
    assert await store.accounts.get(other.jid) == other


async def test_a_login_records_the_read_receipt_setting(store: Store, world: World) -> None:
    """It shows in the facts for routing (RCP-01); before the first login receipts are on."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    assert (await store.routes.get_facts(account, [user.jid]))[user.jid].read_receipts is True
    await store.accounts.set_connected(user.account_id, False, NOW_MS)
    assert (await store.routes.get_facts(account, [user.jid]))[user.jid].read_receipts is False


@pytest.mark.requirement("ENL-01", "PRX-01")
async def test_a_login_learns_what_its_partner_allows_at_that_very_moment(store: Store, world: World) -> None:
    """So that nothing can change between the look and the record; who is gone does not log in."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    assert await store.accounts.set_connected(user.account_id, True, NOW_MS) == PartnerTerms(
        PartnerStatus.ACTIVE, False
    )
    assert await store.accounts.set_connected(account.account_id, True, NOW_MS) == PartnerTerms(
        PartnerStatus.ACTIVE, True
    )
    await store.partners.put(partner(BATS, status=PartnerStatus.SUSPENDED, proxy_allowed=False))
    assert await store.accounts.set_connected(account.account_id, True, NOW_MS) == PartnerTerms(
        PartnerStatus.SUSPENDED, False
    )
    await store.accounts.delete(account.account_id)
    assert await store.accounts.set_connected(account.account_id, True, NOW_MS) is None


async def last_connected(store: Store, jid: str) -> int:
    account = await store.accounts.get(jid)
    assert account is not None
    return account.last_connected_at_ms


@pytest.mark.requirement("LIF-04")
async def test_enlistment_login_and_end_of_a_connection_say_when_an_account_was_there(
    store: Store, world: World
) -> None:
    """Each is a time from which an absence is counted; accounts that are gone are passed over."""
    account, other = await world.third_party_user(1), await world.third_party_user(2)
    assert await last_connected(store, account.jid) == NOW_MS
    await store.accounts.enlist(world.enlistment(1, now_ms=NOW_MS + 1))
    assert await last_connected(store, account.jid) == NOW_MS + 1
    await store.accounts.set_connected(account.account_id, True, NOW_MS + 2)
    assert await last_connected(store, account.jid) == NOW_MS + 2
    await store.accounts.set_last_connected([account.account_id, 999_999], NOW_MS + 3)
    assert await last_connected(store, account.jid) == NOW_MS + 3
    assert await last_connected(store, other.jid) == NOW_MS
    await store.accounts.set_last_connected([], NOW_MS + 4)
    assert await last_connected(store, account.jid) == NOW_MS + 3


@pytest.mark.requirement("LIF-04")
async def test_who_is_away_longest_comes_first_and_whatsapp_users_never(store: Store, world: World) -> None:
    """So the next time at which something falls due is one look into an index."""
    assert await store.accounts.oldest_connection_ms() is None
    user = await world.whatsapp_user("491")
    assert await store.accounts.oldest_connection_ms() is None
    accounts = [await world.third_party_user(number) for number in range(1, 5)]
    for account, at_ms in zip(accounts, (40, 20, 30, 10), strict=True):
        await store.accounts.set_last_connected([account.account_id, user.account_id], at_ms)
    assert await store.accounts.oldest_connection_ms() == 10
    ids = [account.account_id for account in accounts]
    assert await store.accounts.list_absent(30, 10) == [ids[3], ids[1], ids[2]]
    assert await store.accounts.list_absent(29, 10) == [ids[3], ids[1]]
    assert await store.accounts.list_absent(40, 2) == [ids[3], ids[1]]
    assert await store.accounts.list_absent(9, 10) == []


@pytest.mark.requirement("LIF-04", "LIF-05")
async def test_un_enlisting_deletes_whoever_was_not_there_since(store: Store, world: World) -> None:
    """As a deletion does, and nobody else; how it ended stays known, and the JID given out."""
    gone, back, deleted = [await world.third_party_user(number) for number in (1, 2, 3)]
    user = await world.whatsapp_user("491")
    await store.accounts.delete(deleted.account_id)
    await store.prekeys.add_one_time(gone.account_id, one_time_prekeys(1, 3))
    await store.mailbox.put([world.message(user, gone, "m")])
    await store.accounts.set_last_connected([back.account_id], NOW_MS + 1)
    ids = [gone.account_id, back.account_id, user.account_id, 999_999]
    assert await store.accounts.unenlist(ids, NOW_MS - 1) == []
    assert await store.accounts.unenlist(ids, NOW_MS) == [gone.jid]
    assert await store.accounts.unenlist(ids, NOW_MS) == []
    assert await store.accounts.get(gone.jid) is None
    assert await store.accounts.get_by_external_id(BATS, "user1") is None
    assert await store.accounts.get(back.jid) == back
    assert await store.accounts.get(user.jid) == user
    rows = await store.count_rows()
    assert (rows["one_time_prekey"], rows["mailbox"], rows["chat"], rows["published_keys"]) == (0, 0, 0, 1)
    with pytest.raises(JidTaken):
        await store.accounts.enlist(world.enlistment(1))
    jids = [gone.jid, back.jid, user.jid, deleted.jid, "100-77@interop"]
    assert await store.accounts.list_ends(jids) == {gone.jid: AccountEnd.EXPIRED, deleted.jid: AccountEnd.DELETED}


async def test_a_whatsapp_users_jid_never_counts_as_ended(store: Store, world: World) -> None:
    """It is the number, and comes back with it."""
    user = await world.whatsapp_user("491")
    await store.accounts.delete(user.account_id)
    assert await store.accounts.list_ends([user.jid]) == {}
