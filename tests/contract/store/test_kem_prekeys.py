"""KEM prekeys: publishing, adding, withdrawing, taking."""

import asyncio

import pytest

from interop_server.core.keys.store import LastResortMissing, PreKeyReused, PreKeysFull
from interop_server.core.model import KemPreKey, KemPreKeyIds, KemPreKeys, PreKeyCounts
from interop_server.core.store import Store

from .conftest import World, key, one_time_prekeys, published_keys

pytestmark = pytest.mark.requirement("KEY-15")


def kem_prekey(key_id: int, material: int = 0) -> KemPreKey:
    """A prekey whose material is as good as any: stores know nothing of lattices."""
    return KemPreKey(key_id, key(material or key_id, 1_568), key(key_id, 64))


def kem_prekeys(last_resort: int | None, *one_time: int) -> KemPreKeys:
    return KemPreKeys(None if last_resort is None else kem_prekey(last_resort), tuple(map(kem_prekey, one_time)))


async def test_setting_replaces_all_and_adding_adds(store: Store, world: World) -> None:
    """A last-resort prekey that is given replaces the one before."""
    account_id = (await world.third_party_user(1)).account_id
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(None, [])
    assert await store.prekeys.count(account_id) == PreKeyCounts(0, None)
    await store.prekeys.put(account_id, published_keys(7), one_time_prekeys(1, 2), 1, kem=kem_prekeys(900, 3, 1, 2))
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(900, [1, 2, 3])
    assert await store.prekeys.add_kem(account_id, kem_prekeys(None, 4)) == 4
    assert await store.prekeys.add_kem(account_id, kem_prekeys(901)) == 4
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(901, [1, 2, 3, 4])
    assert await store.prekeys.count(account_id) == PreKeyCounts(2, 4)
    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(902, 5))
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(902, [5])
    assert await store.prekeys.count(account_id) == PreKeyCounts(0, 1)


async def test_adding_keeps_to_the_most(store: Store, world: World) -> None:
    """A refused list leaves nothing behind, and its last-resort prekey neither; that alone can always be replaced."""
    account_id = (await world.third_party_user(1)).account_id
    assert await store.prekeys.add_kem(account_id, kem_prekeys(900, 1, 2, 3), 3) == 3
    with pytest.raises(PreKeysFull):
        await store.prekeys.add_kem(account_id, kem_prekeys(901, 4), 3)
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(900, [1, 2, 3])
    assert await store.prekeys.add_kem(account_id, kem_prekeys(901), 2) == 3
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(901, [1, 2, 3])
    assert await store.prekeys.add_kem(account_id, kem_prekeys(None, 4), 4) == 4


async def test_without_a_last_resort_there_are_no_one_time_ones(store: Store, world: World) -> None:
    """A refused call changes nothing, of the other keys neither."""
    account_id = (await world.third_party_user(1)).account_id
    with pytest.raises(LastResortMissing):
        await store.prekeys.add_kem(account_id, kem_prekeys(None, 1))
    with pytest.raises(LastResortMissing):
        await store.prekeys.put(account_id, published_keys(8), one_time_prekeys(1, 2), 1, kem=kem_prekeys(None, 1))
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(None, [])
    assert await store.prekeys.get_published([account_id]) == {account_id: published_keys(7)}
    assert await store.prekeys.count(account_id) == PreKeyCounts(0)


@pytest.mark.parametrize(
    "reused",
    [
        pytest.param(KemPreKeys(None, (kem_prekey(2, 50),)), id="id in the store"),
        pytest.param(KemPreKeys(None, (kem_prekey(900, 50),)), id="id of the last resort"),
        pytest.param(KemPreKeys(kem_prekey(2, 50)), id="last resort with an id in the store"),
        pytest.param(KemPreKeys(kem_prekey(50), (kem_prekey(50, 51),)), id="one id for both"),
        pytest.param(KemPreKeys(kem_prekey(50), (kem_prekey(51, 50),)), id="one key for both"),
        pytest.param(KemPreKeys(None, (kem_prekey(50, 2),)), id="key in the store"),
        pytest.param(KemPreKeys(None, (kem_prekey(50, 900),)), id="key of the last resort"),
        pytest.param(KemPreKeys(None, (kem_prekey(50, 1),)), id="key taken"),
        pytest.param(KemPreKeys(kem_prekey(50, 1)), id="last resort that was taken as a one-time key"),
        pytest.param(KemPreKeys(kem_prekey(50, 800)), id="last resort from before"),
    ],
)
@pytest.mark.requirement("KEY-04")
async def test_adding_a_key_twice_changes_nothing(store: Store, world: World, reused: KemPreKeys) -> None:
    """Neither under another id, nor as the other kind, nor after it was used (KEY-04)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(800, 1, 2, 3))
    await store.prekeys.add_kem(account_id, kem_prekeys(900))
    await store.prekeys.take_bundles([account_id])
    with pytest.raises(PreKeyReused):
        await store.prekeys.add_kem(account_id, reused._replace(one_time=(*reused.one_time, kem_prekey(70))))
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(900, [2, 3])
    # What is good about it was not remembered as published; the last resort may come again, signed anew.
    signed_anew = kem_prekey(900)._replace(signature=key(5, 64))
    assert await store.prekeys.add_kem(account_id, KemPreKeys(signed_anew, (kem_prekey(70),))) == 3


async def test_an_identical_retry_of_set_is_allowed_until_a_key_was_taken(store: Store, world: World) -> None:
    """Also of the last resort, which is never used up (KEY-04)."""
    account_id = (await world.third_party_user(1)).account_id
    for _ in range(2):
        await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(900, 1, 2))
    await store.prekeys.take_bundles([account_id])
    with pytest.raises(PreKeyReused):
        await store.prekeys.put(account_id, published_keys(8), [], 1, kem=kem_prekeys(900, 1, 2))
    assert await store.prekeys.get_published([account_id]) == {account_id: published_keys(7)}
    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(900, 2))
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(900, [2])


async def test_bundles_take_the_lowest_id_first_and_then_the_last_resort(store: Store, world: World) -> None:
    """Who has none is not in the way of who has; the one-time prekeys go on beside them (KEY-05, KEY-15)."""
    one, other = (await world.third_party_user(1)).account_id, (await world.third_party_user(2)).account_id
    await store.prekeys.put(one, published_keys(7), one_time_prekeys(1, 1), 1, kem=kem_prekeys(900, 300, 2))
    taken = [await store.prekeys.take_bundles([one, other]) for _ in range(3)]
    assert [bundles[one].kem_prekey for bundles in taken] == [kem_prekey(2), kem_prekey(300), kem_prekey(900)]
    assert [bundles[one].kem_is_last_resort for bundles in taken] == [False, False, True]
    assert [bundles[one].kem_remaining for bundles in taken] == [1, 0, 0]
    assert [bundles[one].remaining for bundles in taken] == [0, 0, 0]
    for bundles in taken:
        assert (bundles[other].kem_prekey, bundles[other].kem_remaining) == (None, None)
        assert not bundles[one].kem_withdrawn
        assert not bundles[other].kem_withdrawn


async def test_who_does_not_know_them_takes_none(store: Store, world: World) -> None:
    """Neither a one-time one nor a word about them; all are there for the next one who does (KEY-15)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.put(account_id, published_keys(7), one_time_prekeys(1, 2), 1, kem=kem_prekeys(900, 5))
    bundle = (await store.prekeys.take_bundles([account_id], with_kem=False))[account_id]
    assert (bundle.kem_prekey, bundle.kem_remaining, bundle.kem_withdrawn) == (None, None, False)
    assert bundle.one_time_prekey is not None
    assert await store.prekeys.get_kem_ids(account_id) == KemPreKeyIds(900, [5])
    assert (await store.prekeys.take_bundles([account_id]))[account_id].kem_prekey == kem_prekey(5)


@pytest.mark.requirement("KEY-16")
async def test_that_there_were_some_is_never_forgotten(store: Store, world: World) -> None:
    """Withdrawn, left out when all keys are set, or gone with the identity (KEY-16)."""
    account = await world.third_party_user(1)
    await store.prekeys.put(account.account_id, published_keys(7), [], 1, kem=kem_prekeys(900, 1))
    for number, withdraw in enumerate(
        (
            lambda: store.prekeys.delete_kem(account.account_id),
            lambda: store.prekeys.put(account.account_id, published_keys(7), [], 1),
            lambda: world.third_party_user(1, seed=99),
        )
    ):
        await withdraw()
        bundle = (await store.prekeys.take_bundles([account.account_id]))[account.account_id]
        assert (bundle.kem_withdrawn, bundle.kem_prekey, bundle.kem_remaining) == (True, None, None)
        assert await store.prekeys.get_kem_ids(account.account_id) == KemPreKeyIds(None, [])
        assert await store.prekeys.count(account.account_id) == PreKeyCounts(0, None)
        with pytest.raises(PreKeyReused):
            await store.prekeys.add_kem(account.account_id, kem_prekeys(900))
        assert await store.prekeys.add_kem(account.account_id, kem_prekeys(901 + number, 10 + number)) == 1
    await store.prekeys.delete_kem((await world.whatsapp_user("491")).account_id)


@pytest.mark.requirement("KEY-05")
async def test_concurrent_takes_never_get_the_same_one_time_prekey(store: Store, world: World) -> None:
    """60 callers, 40 prekeys: 40 distinct ones, and the last resort 20 times (KEY-05, KEY-15)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(900, *range(1, 41)))
    calls = await asyncio.gather(*(store.prekeys.take_bundles([account_id]) for _ in range(60)))
    taken = [bundles[account_id] for bundles in calls]
    ids = [bundle.kem_prekey.key_id for bundle in taken if bundle.kem_prekey and not bundle.kem_is_last_resort]
    assert sorted(ids) == list(range(1, 41))
    assert [bundle.kem_prekey for bundle in taken if bundle.kem_is_last_resort] == [kem_prekey(900)] * 20


async def test_5_000_in_one_list(store: Store, world: World) -> None:
    """The largest list goes in; the lowest comes out, whole (KEY-15)."""
    account_id = (await world.third_party_user(1)).account_id
    await store.prekeys.put(account_id, published_keys(7), [], 1, kem=kem_prekeys(9_000, *range(1, 5_001)))
    assert await store.prekeys.count(account_id) == PreKeyCounts(0, 5_000)
    assert (await store.prekeys.take_bundles([account_id]))[account_id].kem_prekey == kem_prekey(1)


async def test_a_call_that_is_repeated_adds_nothing(store: Store, world: World) -> None:
    """It says how many there are; so does one of another account, which is none that was repeated."""
    ada, eve = await world.third_party_user(1), await world.third_party_user(2, seed=9)
    for account in (ada, eve):
        await store.prekeys.put(account.account_id, published_keys(7), [], 1, kem=kem_prekeys(900))
    assert await store.prekeys.add_kem(ada.account_id, kem_prekeys(None, 1, 2)) == 2
    assert await store.prekeys.add_kem(ada.account_id, kem_prekeys(None, 1, 2)) == 2
    await store.prekeys.add_kem(ada.account_id, kem_prekeys(None, 3))
    assert await store.prekeys.add_kem(ada.account_id, kem_prekeys(None, 1, 2)) == 3
    assert await store.prekeys.add_kem(eve.account_id, kem_prekeys(None, 1, 2)) == 2
    assert await store.prekeys.get_kem_ids(ada.account_id) == KemPreKeyIds(900, [1, 2, 3])
