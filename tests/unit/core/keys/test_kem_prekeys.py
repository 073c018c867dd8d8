"""Post-quantum prekeys: published when they are switched on, given out once, and missed when they are gone."""

import asyncio
from typing import Any

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.keys.kem_prekeys import check_kem_prekeys
from interop_server.core.model import (
    Account,
    KemPreKey,
    KemPreKeyIds,
    KemPreKeys,
    PreKeyCounts,
    PreKeyKind,
    TakenBundle,
)
from tests.unit.core.conftest import BuildWorld
from tests.unit.core.world import ClientKeys, World, refused

pytestmark = pytest.mark.requirement("KEY-15")

KEYS, OTHER = ClientKeys(seed=1), ClientKeys(seed=2)
GOOD = KEYS.published
LAST = KEYS.kem(100)
KEM = frozenset({PreKeyKind.KEM})
ONE_TIME = frozenset({PreKeyKind.ONE_TIME})


@pytest.fixture
async def world(build_world: BuildWorld) -> World:
    """A world in which KEM prekeys are on."""
    return await build_world(kem_prekeys=True, bundle_target_burst=100)


def kem(*key_ids: int, last_resort: KemPreKey | None = LAST) -> KemPreKeys:
    return KemPreKeys(last_resort, tuple(KEYS.kem(key_id) for key_id in key_ids))


async def publisher(world: World, *key_ids: int) -> Account:
    """An enlisted user with a last-resort KEM prekey and one-time ones of these ids."""
    ada = await world.enlisted("ada", keys=KEYS)
    await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 20), kem(*key_ids))
    return ada


async def take(world: World, user: Account, of: Account) -> TakenBundle:
    [outcome] = await world.prekeys.take(user, [of.jid])
    assert not isinstance(outcome, Refusal)
    [bundle] = outcome
    return bundle.taken


def entries(world: World, action: str) -> list[tuple[str, str, str]]:
    found, _ = world.journal.after(0, 10_000)
    return [(entry.actor, entry.subject, entry.detail) for entry in found if entry.action == action]


async def test_they_are_off_unless_switched_on(build_world: BuildWorld) -> None:
    """Nothing is published; everything else goes on."""
    world = await build_world()
    ada = await world.enlisted("ada", keys=KEYS)
    for call in (
        world.prekeys.publish(ada, GOOD, [], kem(1)),
        world.prekeys.add_kem(ada, kem(1)),
        world.prekeys.delete_kem(ada),
    ):
        with refused(Reason.KEM_PREKEYS_OFF):
            await call
    assert (await world.prekeys.digest(ada)).kem_ids == KemPreKeyIds(None, [])
    assert not await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 20))


async def test_one_time_ones_go_first_and_the_last_resort_again_and_again(world: World) -> None:
    """The lowest id first, each once; none is left then but the last resort, which stays (KEY-15)."""
    ada, user = await publisher(world, 7, 3), await world.opted_in()
    taken = [await take(world, user, ada) for _ in range(4)]
    assert [bundle.kem_prekey for bundle in taken] == [KEYS.kem(3), KEYS.kem(7), LAST, LAST]
    assert [bundle.kem_is_last_resort for bundle in taken] == [False, False, True, True]
    assert [bundle.kem_remaining for bundle in taken] == [1, 0, 0, 0]
    assert all(bundle.one_time_prekey is not None for bundle in taken)
    assert entries(world, "prekey.take_kem") == [(user.jid, ada.jid, "1 left"), (user.jid, ada.jid, "0 left")]
    assert world.prekeys.counts["prekey_kem_taken"] == 2


async def test_who_publishes_none_has_none_in_the_bundle(world: World) -> None:
    """And nobody misses them (KEY-16)."""
    ada, user = await world.enlisted("ada", keys=KEYS), await world.opted_in()
    bundle = await take(world, user, ada)
    assert (bundle.kem_prekey, bundle.kem_withdrawn, bundle.kem_remaining) == (None, False, None)
    assert world.prekeys.counts["kem_downgrade"] == 0


@pytest.mark.requirement("KEY-15")
async def test_an_account_stores_so_many_kem_prekeys(build_world: BuildWorld) -> None:
    """Counted apart from the other one-time prekeys; the last-resort one is not counted."""
    world = await build_world(kem_prekeys=True, stored_prekeys=2)
    ada = await world.enlisted("ada", keys=KEYS)
    await world.prekeys.add(ada, KEYS.one_time(1, 2))
    await world.prekeys.add_kem(ada, kem(1, 2))
    with refused(Reason.QUOTA_EXCEEDED, "KEY-03"):
        await world.prekeys.add_kem(ada, kem(3, last_resort=None))
    await world.prekeys.add_kem(ada, kem(last_resort=KEYS.kem(101)))
    assert (await world.prekeys.count(ada)).kem == 2


async def test_adding_appends_and_replaces_the_last_resort(world: World) -> None:
    """The digest has the ids; the count counts the one-time ones."""
    ada = await publisher(world, 1)
    assert (await world.prekeys.count(ada)) == PreKeyCounts(20, 1)
    assert await world.prekeys.add_kem(ada, kem(2, 3, last_resort=None))
    assert (await world.prekeys.digest(ada)).kem_ids == KemPreKeyIds(100, [1, 2, 3])
    await world.prekeys.add_kem(ada, kem(last_resort=KEYS.kem(101)))
    assert (await world.prekeys.digest(ada)).kem_ids == KemPreKeyIds(101, [1, 2, 3])
    assert (await world.prekeys.count(ada)) == PreKeyCounts(20, 3)
    await world.prekeys.publish(ada, GOOD, [], kem(4, last_resort=KEYS.kem(101)))
    assert (await world.prekeys.digest(ada)).kem_ids == KemPreKeyIds(101, [4])


async def test_a_taker_that_does_not_know_them_leaves_them(world: World) -> None:
    """Its bundle says nothing of them, and nobody is told that few are left (KEY-15)."""
    ada, user = await publisher(world, 1), await world.opted_in()
    for outcome in (
        *(await world.prekeys.take(user, [ada.jid], with_kem=False)),
        *(await world.prekeys.take_missing(user, [(ada.jid, [])], with_kem=False)),
    ):
        assert not isinstance(outcome, Refusal)
        assert [bundle.taken.kem_prekey for bundle in outcome] == [None]
    assert await world.prekeys.count(ada) == PreKeyCounts(18, 1)
    assert world.connections.low == []
    assert (await take(world, user, ada)).kem_prekey == KEYS.kem(1)


def changed(**changes: Any) -> KemPreKey:
    return KEYS.kem(5)._replace(**changes)


UNREDUCED = b"\xff" * 1_568
MALFORMED: list[Any] = [
    pytest.param([changed(key_id=0)], Reason.KEY_MALFORMED, id="id 0"),
    pytest.param([changed(key_id=1 << 24)], Reason.KEY_MALFORMED, id="id of four bytes"),
    pytest.param([changed(public_key=LAST.public_key[:-1])], Reason.KEY_MALFORMED, id="short key"),
    pytest.param([changed(public_key=bytes(32))], Reason.KEY_MALFORMED, id="a key of the other kind"),
    pytest.param([changed(signature=bytes(63))], Reason.KEY_MALFORMED, id="short signature"),
    pytest.param(
        [changed(public_key=UNREDUCED, signature=KEYS.signature(UNREDUCED))], Reason.KEY_MALFORMED, id="no such key"
    ),
    pytest.param([changed(signature=bytes(64))], Reason.PREKEY_SIGNATURE_INVALID, id="no signature"),
    pytest.param([OTHER.kem(5)], Reason.PREKEY_SIGNATURE_INVALID, id="signed by another"),
    pytest.param([KEYS.kem(5), OTHER.kem(5)], Reason.PREKEY_ID_DUPLICATE, id="one id twice"),
    pytest.param([KEYS.kem(100)], Reason.PREKEY_ID_DUPLICATE, id="the id of the last resort"),
    pytest.param([KEYS.kem(5), changed(key_id=6)], Reason.PREKEY_REUSED, id="one key under two ids"),
    pytest.param([changed()] * 5_001, Reason.TOO_MANY_ITEMS, id="too many"),
]


@pytest.mark.requirement("KEY-13")
@pytest.mark.parametrize(("one_time", "reason"), MALFORMED)
async def test_malformed_ones_change_nothing(world: World, one_time: list[KemPreKey], reason: Reason) -> None:
    """The same checks when publishing and adding, and for the last resort (KEY-15, KEY-13)."""
    ada = await publisher(world, 1)
    before = await world.prekeys.digest(ada)
    rule = "KEY-15" if reason in (Reason.KEY_MALFORMED, Reason.PREKEY_SIGNATURE_INVALID) else ""
    with refused(reason, rule):
        await world.prekeys.add_kem(ada, KemPreKeys(LAST, tuple(one_time)))
    with refused(reason, rule):
        await world.prekeys.publish(ada, GOOD, [], KemPreKeys(LAST, tuple(one_time)))
    if len(one_time) == 1 and one_time[0].key_id != LAST.key_id:
        with refused(reason, rule):
            await world.prekeys.add_kem(ada, KemPreKeys(one_time[0]))
    assert await world.prekeys.digest(ada) == before


async def test_one_time_ones_never_stand_alone(world: World) -> None:
    """Without a last resort a bundle would lack a KEM prekey as soon as they are used up."""
    ada = await world.enlisted("ada", keys=KEYS)
    alone = kem(1, last_resort=None)
    for call in (world.prekeys.add_kem(ada, alone), world.prekeys.publish(ada, GOOD, [], alone)):
        with refused(Reason.KEY_MALFORMED):
            await call
    with refused(Reason.REQUEST_MALFORMED):
        await world.prekeys.add_kem(ada, KemPreKeys(None))
    with refused(Reason.PREKEYS_NOT_SET):
        await world.prekeys.add_kem(await world.whatsapp_user(), kem(1))


@pytest.mark.requirement("KEY-04")
async def test_key_material_is_never_published_twice(world: World) -> None:
    """Not after it was taken, not as the other kind; what is still there may be set again."""
    ada, user = await publisher(world, 1, 2), await world.opted_in()
    await take(world, user, ada)
    for again in (
        kem(1),
        kem(2),
        KemPreKeys(KEYS.kem(1)),
        KemPreKeys(KEYS.kem(2)),
        kem(9)._replace(last_resort=KEYS.kem(1)),
    ):
        with refused(Reason.PREKEY_REUSED):
            await world.prekeys.add_kem(ada, again)
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.publish(ada, GOOD, [], kem(1))
    await world.prekeys.publish(ada, GOOD, [], kem(2))
    await world.prekeys.add_kem(ada, kem(3))
    assert (await world.prekeys.digest(ada)).kem_ids == KemPreKeyIds(100, [2, 3])


@pytest.mark.requirement("KEY-16")
@pytest.mark.parametrize("way", ["deleted", "published without", "enlisted anew"])
async def test_withdrawn_ones_are_missed(world: World, way: str) -> None:
    """However they went, the bundle says so, and the operator sees it; until there are some again (KEY-16, T14)."""
    ada, user = await publisher(world, 1), await world.opted_in()
    keys = KEYS
    if way == "deleted":
        await world.prekeys.delete_kem(ada)
        await world.prekeys.delete_kem(ada)
    elif way == "published without":
        await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 20))
    else:
        keys = OTHER
        ada = await world.enlisted("ada", keys=OTHER)
    bundle = await take(world, user, ada)
    assert (bundle.kem_prekey, bundle.kem_withdrawn, bundle.kem_remaining) == (None, True, None)
    assert entries(world, "prekey.kem_downgrade") == [(user.jid, ada.jid, "")]
    assert world.prekeys.counts["kem_downgrade"] == 1
    assert (await world.prekeys.count(ada)).kem is None

    await world.prekeys.add_kem(ada, KemPreKeys(keys.kem(200)))
    bundle = await take(world, user, ada)
    assert (bundle.kem_prekey, bundle.kem_withdrawn) == (keys.kem(200), False)
    assert world.prekeys.counts["kem_downgrade"] == 1


@pytest.mark.requirement("KEY-09")
async def test_the_owner_is_told_when_they_run_low(build_world: BuildWorld) -> None:
    """Either kind counts; a refill of one allows the next notice of that one (KEY-09, KEY-15)."""
    world = await build_world(kem_prekeys=True, prekeys_low_count=2)
    ada, user = await publisher(world, 1, 2, 3), await world.opted_in()
    assert world.connections.refilled == [(ada.account_id, ONE_TIME | KEM)]
    await take(world, user, ada)
    assert world.connections.low == []
    await take(world, user, ada)
    assert world.connections.low == [(ada.account_id, PreKeyCounts(18, 1), KEM)]
    assert await world.prekeys.low_counts(ada) == (PreKeyCounts(18, 1), KEM)
    world.connections.refilled.clear()
    assert not await world.prekeys.add_kem(ada, kem(4, last_resort=None))
    assert world.connections.refilled == [(ada.account_id, KEM)]


@pytest.mark.requirement("KEY-09")
async def test_the_owner_is_told_once_of_both(build_world: BuildWorld) -> None:
    """Of each kind from one under the limit on, whichever of them runs low; a bundle takes one of each (KEY-09)."""
    world = await build_world(kem_prekeys=True, prekeys_low_count=18)
    ada, user = await publisher(world, *range(1, 19)), await world.opted_in()
    for _ in range(3):
        await take(world, user, ada)
    assert world.connections.low == [
        (ada.account_id, PreKeyCounts(19, 17), KEM),
        (ada.account_id, PreKeyCounts(18, 16), KEM),
        (ada.account_id, PreKeyCounts(17, 15), ONE_TIME | KEM),
    ]


async def test_others_have_their_turn_while_many_are_checked(world: World) -> None:
    """A long list takes long to check; it is checked to its end, and whoever else runs meanwhile is not held up."""
    ada = await world.enlisted("ada", keys=KEYS)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    many = kem(*range(1, 50))
    with refused(Reason.PREKEY_SIGNATURE_INVALID):
        await world.prekeys.add_kem(ada, many._replace(last_resort=OTHER.kem(100)))
    turns_before = turns
    await check_kem_prekeys(GOOD.identity_key, many, world.clock)
    counting.cancel()
    await asyncio.gather(counting, return_exceptions=True)
    assert turns >= turns_before + 3


@pytest.mark.requirement("KEY-03", "SIM-06")
async def test_a_list_that_is_too_long_counts_as_the_longest(build_world: BuildWorld) -> None:
    """It is refused, and so many keys are used up of what may be published: as many as anybody publishes at once."""
    world = await build_world(kem_prekeys=True, prekey_publish_burst=60_000)
    ada = await publisher(world)
    before = world.prekeys.publish_rate.available(ada.account_id)
    with refused(Reason.TOO_MANY_ITEMS):
        await world.prekeys.add_kem(ada, KemPreKeys(LAST, (KEYS.kem(1),) * 40_000))
    assert before - world.prekeys.publish_rate.available(ada.account_id) == 25_002
