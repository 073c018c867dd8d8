"""Public keys: publishing, counting, taking."""

import asyncio

import pytest

from interop_server.core.keys.store import MAX_PUBLICATIONS, PreKeyReused, PreKeysFull
from interop_server.core.mailbox_content import IdentityChanged, decode
from interop_server.core.messages import StanzaKind
from interop_server.core.model import Account, KemPreKey, KemPreKeys, OneTimePreKey, SignedPreKey, TakenBundle
from interop_server.core.store import Store

from .conftest import NOW_MS, World, key, one_time_prekeys, published_keys


async def test_setting_replaces_all_keys(store: Store, world: World) -> None:
    """One-time prekeys come back by id ascending, and those from before are gone."""
    user = await world.whatsapp_user("491")
    await store.prekeys.put(user.account_id, published_keys(1), one_time_prekeys(1, 3), 1)
    await store.prekeys.put(user.account_id, published_keys(2), one_time_prekeys(10, 2)[::-1], 1)
    assert await store.prekeys.get_published([user.account_id]) == {user.account_id: published_keys(2)}
    assert await store.prekeys.list_one_time(user.account_id) == one_time_prekeys(10, 2)
    assert (await store.prekeys.count(user.account_id)).one_time == 2


async def test_the_first_publication_is_no_identity_change(store: Store, world: World) -> None:
    """Only a changed identity key tells the chat peers, each once (KEY-17)."""
    user, friend = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.mailbox.put([world.message(user, friend, "m")])
    assert await store.prekeys.put(user.account_id, published_keys(1), [], 1) == []
    assert await store.prekeys.put(user.account_id, published_keys(1), [], 1) == []
    assert await store.prekeys.put(user.account_id, published_keys(2), [], NOW_MS + 5) == [friend.account_id]
    assert await store.prekeys.put(user.account_id, published_keys(3), [], NOW_MS + 6) == [friend.account_id]
    notices = [item for item in await world.waiting(friend) if item.kind is StanzaKind.NOTIFICATION]
    assert [(decode(notice), notice.timestamp_ms) for notice in notices] == [(IdentityChanged(user.jid), NOW_MS + 6)]


async def test_an_identical_retry_of_set_is_allowed_until_a_key_was_taken(store: Store, world: World) -> None:
    """A taken key is in the history but not in the store: it was used (KEY-04)."""
    user = await world.whatsapp_user("491")
    keys = one_time_prekeys(1, 3)
    for _ in range(2):
        await store.prekeys.put(user.account_id, published_keys(1), keys, 1)
    await store.prekeys.take_bundles([user.account_id])
    with pytest.raises(PreKeyReused):
        await store.prekeys.put(user.account_id, published_keys(2), keys, 1)
    assert await store.prekeys.get_published([user.account_id]) == {user.account_id: published_keys(1)}
    assert await store.prekeys.list_one_time(user.account_id) == keys[1:]
    await store.prekeys.put(user.account_id, published_keys(1), keys[1:], 1)


@pytest.mark.requirement("KEY-04")
async def test_a_repeated_call_is_answered_as_the_first_time(store: Store, world: World) -> None:
    """Its answer may have been lost: also when keys of it were taken meanwhile, and nothing is there twice (KEY-04)."""
    user = await world.whatsapp_user("491")
    first, more = one_time_prekeys(1, 3), one_time_prekeys(4, 2)
    await store.prekeys.put(user.account_id, published_keys(1), first, 1)
    assert await store.prekeys.add_one_time(user.account_id, more) == 5
    assert await store.prekeys.add_one_time(user.account_id, more) == 5
    await store.prekeys.take_bundles([user.account_id])
    assert await store.prekeys.add_one_time(user.account_id, more) == 4
    assert await store.prekeys.put(user.account_id, published_keys(1), first, 1) == []
    assert await store.prekeys.list_one_time(user.account_id) == [*first[1:], *more]
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(user.account_id, more[:1])


@pytest.mark.requirement("KEY-04")
async def test_a_call_is_no_repetition_after_its_keys_were_deleted_or_replaced(store: Store, world: World) -> None:
    """The first answer is not true any more, and a key is never published twice (KEY-04)."""
    user, keys = await world.third_party_user(1), one_time_prekeys(1, 2)
    await store.prekeys.add_one_time(user.account_id, keys)
    await store.prekeys.delete_one_time(user.account_id, [1])
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(user.account_id, keys)
    other = one_time_prekeys(5, 2)
    await store.prekeys.add_one_time(user.account_id, other)
    await store.prekeys.put(user.account_id, published_keys(1), [], 1)
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(user.account_id, other)


@pytest.mark.requirement("KEY-04")
async def test_the_newest_calls_are_remembered(store: Store, world: World) -> None:
    """However many there were: who adds a key at a time costs no more than so many rows (KEY-04)."""
    account_id = (await world.third_party_user(1)).account_id
    calls = [one_time_prekeys(number, 1) for number in range(1, MAX_PUBLICATIONS + 5)]
    for call in calls:
        await store.prekeys.add_one_time(account_id, call)
    assert (await store.count_rows())["prekey_publication"] == MAX_PUBLICATIONS
    await store.prekeys.add_one_time(account_id, calls[-MAX_PUBLICATIONS])
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(account_id, calls[0])


async def test_one_request_cannot_hold_the_same_key_twice(store: Store, world: World) -> None:
    """Neither in set nor in add."""
    account_id = (await world.third_party_user(1)).account_id
    twice = [OneTimePreKey(1, key(5)), OneTimePreKey(2, key(5))]
    with pytest.raises(PreKeyReused):
        await store.prekeys.put(account_id, published_keys(7), twice, 1)
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(account_id, twice)
    assert (await store.prekeys.count(account_id)).one_time == 0


async def test_adding_returns_how_many_there_are_now(store: Store, world: World) -> None:
    """Those from before stay."""
    account_id = (await world.third_party_user(1)).account_id
    assert await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 3)) == 3
    assert await store.prekeys.add_one_time(account_id, one_time_prekeys(4, 2)) == 5
    assert await store.prekeys.list_one_time(account_id) == one_time_prekeys(1, 5)


async def test_prekeys_are_listed_in_parts(store: Store, world: World) -> None:
    """Those with an id above the last, and no more than asked for: a part that is empty is the end (KEY-10)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 5))
    assert await store.prekeys.list_one_time(account_id, 0, 2) == one_time_prekeys(1, 2)
    assert await store.prekeys.list_one_time(account_id, 2, 2) == one_time_prekeys(3, 2)
    assert await store.prekeys.list_one_time(account_id, 4, 2) == one_time_prekeys(5, 1)
    assert await store.prekeys.list_one_time(account_id, 5, 2) == []
    assert await store.prekeys.list_one_time(account_id, 3) == one_time_prekeys(4, 2)


async def test_adding_keeps_to_the_most(store: Store, world: World) -> None:
    """Also when lists come at once: each alone would fit. What is refused leaves nothing behind (KEY-03)."""
    account_id = (await world.third_party_user(1)).account_id
    adding = [store.prekeys.add_one_time(account_id, one_time_prekeys(1 + 3 * n, 3), 7) for n in range(4)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [3, 6]
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, int)] == [PreKeysFull] * 2
    held = await store.prekeys.list_one_time(account_id)
    assert len(held) == (await store.prekeys.count(account_id)).one_time == 6
    refused = next(n for n, outcome in enumerate(outcomes) if isinstance(outcome, PreKeysFull))
    assert await store.prekeys.add_one_time(account_id, one_time_prekeys(1 + 3 * refused, 1), 7) == 7


@pytest.mark.parametrize(
    "reused",
    [
        pytest.param(OneTimePreKey(2, key(900)), id="key id in the store"),
        pytest.param(OneTimePreKey(901, key(2)), id="key material in the store"),
        pytest.param(OneTimePreKey(902, key(1)), id="key material taken"),
        pytest.param(OneTimePreKey(903, key(3)), id="key material deleted"),
    ],
)
async def test_adding_a_key_twice_changes_nothing(store: Store, world: World, reused: OneTimePreKey) -> None:
    """The good key beside it is not added either (KEY-04)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 4))
    await store.prekeys.take_bundles([account_id])
    await store.prekeys.delete_one_time(account_id, [3])
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_one_time(account_id, [OneTimePreKey(700, key(700)), reused])
    assert [found.key_id for found in await store.prekeys.list_one_time(account_id)] == [2, 4]
    assert await store.prekeys.add_one_time(account_id, [OneTimePreKey(1, key(701))]) == 3


async def test_two_accounts_may_have_the_same_key_ids_and_keys(store: Store, world: World) -> None:
    """Ids and history are an account's own."""
    for number in (1, 2):
        account_id = (await world.third_party_user(number)).account_id
        assert await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 2)) == 2


async def test_deleting_one_time_prekeys_is_idempotent(store: Store, world: World) -> None:
    """Unknown ids do nothing, and the count follows."""
    account_id = (await world.third_party_user(1)).account_id
    other_id = (await world.third_party_user(2)).account_id
    await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 3))
    await store.prekeys.add_one_time(other_id, one_time_prekeys(1, 3))
    for _ in range(2):
        await store.prekeys.delete_one_time(account_id, [1, 3, 16_777_215])
    assert await store.prekeys.list_one_time(account_id) == one_time_prekeys(2, 1)
    assert (await store.prekeys.count(account_id)).one_time == 1
    assert (await store.prekeys.count(other_id)).one_time == 3


async def test_published_keys_of_those_who_have_published(store: Store, world: World) -> None:
    """Nobody else is in the answer, and reading consumes nothing."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    await store.prekeys.add_one_time(account.account_id, one_time_prekeys(1, 1))
    found = await store.prekeys.get_published([user.account_id, account.account_id, 10**9])
    assert found == {account.account_id: published_keys(7)}
    assert (await store.prekeys.count(account.account_id)).one_time == 1
    assert (await store.prekeys.count(user.account_id)).one_time == 0


async def test_bundles_take_the_lowest_key_id_first_until_none_is_left(store: Store, world: World) -> None:
    """Then the bundle comes without (KEY-06); each says how many are left."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.add_one_time(account_id, one_time_prekeys(300, 1) + one_time_prekeys(2, 1))
    taken = [(await store.prekeys.take_bundles([account_id]))[account_id] for _ in range(3)]
    keys = published_keys(7)
    assert taken == [
        TakenBundle(keys, OneTimePreKey(2, key(2)), 1),
        TakenBundle(keys, OneTimePreKey(300, key(300)), 0),
        TakenBundle(keys, None, 0),
    ]
    assert await store.prekeys.list_one_time(account_id) == []


async def test_one_call_takes_of_256_accounts_and_skips_who_has_not_published(store: Store, world: World) -> None:
    """Each account gives its own key; a name that comes twice gives one (KEY-07)."""
    user = await world.whatsapp_user("491")
    ids = [(await world.third_party_user(number)).account_id for number in range(255)]
    for account_id in ids[:-1]:
        await store.prekeys.add_one_time(account_id, [OneTimePreKey(1, key(account_id))])
    taken = await store.prekeys.take_bundles([*ids, user.account_id, ids[0]])
    assert set(taken) == set(ids)
    assert [taken[account_id].one_time_prekey for account_id in ids] == [
        *(OneTimePreKey(1, key(account_id)) for account_id in ids[:-1]),
        None,
    ]


@pytest.mark.requirement("KEY-05")
async def test_concurrent_takes_never_get_the_same_key(store: Store, world: World) -> None:
    """100 callers, 60 keys: 60 distinct keys and 40 bundles without (KEY-05)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.add_one_time(account_id, one_time_prekeys(1, 60))
    calls = await asyncio.gather(*(store.prekeys.take_bundles([account_id]) for _ in range(100)))
    taken = [bundles[account_id].one_time_prekey for bundles in calls]
    assert {found.key_id for found in taken if found is not None} == set(range(1, 61))
    assert taken.count(None) == 40
    assert sorted(bundles[account_id].remaining for bundles in calls) == [0] * 41 + list(range(1, 60))


async def test_rotation_replaces_the_signed_prekey_only(store: Store, world: World) -> None:
    """False when the account has not published (KEY-11)."""
    user, account = await world.whatsapp_user("491"), await world.third_party_user(1)
    rotated = SignedPreKey(16_777_215, key(31), key(32, 64))
    assert await store.prekeys.rotate_signed(user.account_id, rotated) is False
    assert await store.prekeys.rotate_signed(account.account_id, rotated) is True
    expected = published_keys(7)._replace(signed_prekey=rotated)
    assert await store.prekeys.get_published([account.account_id]) == {account.account_id: expected}


@pytest.mark.requirement("KEY-04")
async def test_20_000_prekeys_in_one_list(store: Store, world: World) -> None:
    """The largest list goes in and comes out (KEY-04)."""
    account_id = (await world.third_party_user(1)).account_id
    keys = one_time_prekeys(1, 20_000)
    await store.prekeys.put(account_id, published_keys(7)._replace(registration_id=2**32 - 1), keys, 1)
    assert await store.prekeys.list_one_time(account_id) == keys


@pytest.mark.requirement("KEY-04")
@pytest.mark.parametrize(("most", "forgotten"), [(0, 4), (1, 4), (2, 4), (3, 3), (5, 1), (6, 0), (7, 0)])
async def test_the_oldest_of_what_was_published_is_forgotten(
    store: Store, world: World, most: int, forgotten: int
) -> None:
    """But so many, the newest, and those that are still there; each account by itself."""
    ada, eve = await world.third_party_user(1), await world.third_party_user(2, seed=9)
    for account in (ada, eve):
        for first in (1, 3, 5):
            await store.prekeys.add_one_time(account.account_id, one_time_prekeys(first, 2))
        await store.prekeys.delete_one_time(account.account_id, [1, 2, 3, 4])
    await store.prekeys.forget_published(ada.account_id, most)

    async def is_known(account: Account, number: int) -> bool:
        try:
            await store.prekeys.add_one_time(account.account_id, [OneTimePreKey(number + 100, key(number))])
        except PreKeyReused:
            return True
        return False

    assert [await is_known(ada, number) for number in range(1, 7)] == [False] * forgotten + [True] * (6 - forgotten)
    assert all([await is_known(eve, number) for number in range(1, 7)])


@pytest.mark.requirement("KEY-04", "KEY-15")
async def test_of_kem_prekeys_the_oldest_are_forgotten_too(store: Store, world: World) -> None:
    """Also those that are still there: which they are is known from their hashes alone."""
    account_id = (await world.third_party_user(1)).account_id

    def kem(number: int) -> KemPreKey:
        return KemPreKey(number, key(number, 1_568), key(1, 64))

    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=KemPreKeys(kem(900), (kem(1), kem(2))))
    await store.prekeys.add_kem(account_id, KemPreKeys(None, (kem(3),)))
    await store.prekeys.forget_published(account_id, 2)

    async def is_known(number: int) -> bool:
        try:
            await store.prekeys.add_kem(account_id, KemPreKeys(None, (kem(number)._replace(key_id=number + 100),)))
        except PreKeyReused:
            return True
        return False

    assert [await is_known(number) for number in (1, 2, 900, 3)] == [False, False, True, True]
