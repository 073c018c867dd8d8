"""Publishing prekeys, and keeping them: checked, bounded, never the same twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_protocol.digest import key_digest
from interop_server.core.errors import Reason
from interop_server.core.keys import prekeys
from interop_server.core.limits import DAY_MS
from interop_server.core.mailbox_content import IdentityChanged, decode
from interop_server.core.messages import StanzaKind
from interop_server.core.model import (
    Account,
    KemPreKeys,
    OneTimePreKey,
    PreKeyCounts,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from tests.unit.core.world import ClientKeys, World, message, refused

from .publishers import GOOD, KEYS, ONE_TIME, OTHER, BuildWorld, bundle_of, publisher

LOW = 10


@pytest.mark.requirement("KEY-01", "KEY-03")
async def test_publishing_replaces_and_adding_appends(world: World) -> None:
    """`set` is all there is afterwards, `add` goes on top, `delete` takes away, `count` counts (KEY-01, KEY-03)."""
    ada = await publisher(world, 5)
    await world.prekeys.publish(ada, GOOD, KEYS.one_time(11, 3))
    assert (await world.prekeys.count(ada)).one_time == 3
    await world.prekeys.add(ada, KEYS.one_time(21, 2))
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [11, 12, 13, 21, 22]
    await world.prekeys.delete(ada, [12, 22, 999])
    await world.prekeys.delete(ada, [12])
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [11, 13, 21]
    assert (await world.prekeys.count(ada)).one_time == 3


@pytest.mark.requirement("KEY-03")
async def test_an_account_stores_so_many_prekeys(build_world: BuildWorld) -> None:
    """Those that were taken or deleted make room; one too many is refused, and none of its list is added (KEY-03)."""
    world = await build_world(stored_prekeys=5)
    ada = await publisher(world, 4)
    with refused(Reason.QUOTA_EXCEEDED, "KEY-03"):
        await world.prekeys.add(ada, KEYS.one_time(11, 2))
    await world.prekeys.add(ada, KEYS.one_time(21, 1))
    with refused(Reason.QUOTA_EXCEEDED, "KEY-03"):
        await world.prekeys.add(ada, KEYS.one_time(31, 1))
    await world.prekeys.delete(ada, [1])
    await world.prekeys.add(ada, KEYS.one_time(31, 1))
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [2, 3, 4, 21, 31]


@pytest.mark.requirement("KEY-03")
async def test_an_account_publishes_so_many_prekeys_at_once(build_world: BuildWorld) -> None:
    """By any call, and refused ones count; after a pause some more; another account is not concerned (KEY-03)."""
    world = await build_world(prekey_publish_burst=10, prekey_publish_per_second=2.0)
    ada, bea = await publisher(world), await world.enlisted("bea", keys=OTHER)
    await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 4))
    await world.prekeys.add(ada, KEYS.one_time(11, 3))
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.add(ada, KEYS.one_time(11, 2))
    with refused(Reason.RATE_LIMITED) as caught:
        await world.prekeys.add(ada, KEYS.one_time(21, 1))
    assert (caught.value.retry_after_ms, caught.value.requirement) == (501, "KEY-03")
    with refused(Reason.RATE_LIMITED):
        await world.prekeys.publish(ada, GOOD, [])
    await world.prekeys.add(bea, OTHER.one_time(1, 10))
    world.clock.advance(501)
    await world.prekeys.add(ada, KEYS.one_time(21, 1))
    assert (await world.prekeys.count(ada)).one_time == 8


@pytest.mark.requirement("KEY-04")
async def test_the_newest_prekeys_are_remembered(build_world: BuildWorld) -> None:
    """So many, whatever became of them, and those that are still there; older ones are forgotten (KEY-04)."""
    world = await build_world(remembered_prekeys=5)
    ada = await publisher(world)
    await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 4))
    await world.prekeys.delete(ada, [1, 2])
    await world.prekeys.add(ada, KEYS.one_time(11, 4))
    assert (await world.store.count_rows())["one_time_prekey_history"] == 6
    await world.prekeys.delete(ada, [11, 12])
    for remembered in (KEYS.one_time(3, 2), KEYS.one_time(11, 1), KEYS.one_time(12, 1)):
        with refused(Reason.PREKEY_REUSED):
            await world.prekeys.add(ada, [key._replace(key_id=key.key_id + 100) for key in remembered])
    await world.prekeys.add(ada, KEYS.one_time(1, 2))
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [1, 2, 3, 4, 13, 14]


def kem(first: int) -> KemPreKeys:
    return KemPreKeys(KEYS.kem(100), tuple(KEYS.kem(key_id) for key_id in range(first, first + 4)))


WAYS_TO_PUBLISH: dict[str, tuple[Callable[[World, Account, int], Awaitable[object]], tuple[str, ...]]] = {
    "publish": (
        lambda world, ada, first: world.prekeys.publish(ada, GOOD, KEYS.one_time(first, 4), kem(first)),
        ("one_time_prekey_history", "kem_prekey_history"),
    ),
    "add": (
        lambda world, ada, first: world.prekeys.add(ada, KEYS.one_time(first, 4)),
        ("one_time_prekey_history",),
    ),
    "add_kem": (
        lambda world, ada, first: world.prekeys.add_kem(ada, kem(first)),
        ("kem_prekey_history",),
    ),
}
"""Each with the tables that remember what it publishes."""


@pytest.mark.requirement("KEY-04")
@pytest.mark.parametrize("way", WAYS_TO_PUBLISH)
async def test_whoever_publishes_again_and_again_is_not_remembered_without_end(
    build_world: BuildWorld, way: str
) -> None:
    """By none of the calls, if no other is ever made (KEY-04)."""
    world = await build_world(remembered_prekeys=4, kem_prekeys=True)
    ada = await publisher(world)
    publish, histories = WAYS_TO_PUBLISH[way]
    for first in (1, 11, 21):
        await publish(world, ada, first)
        await world.prekeys.delete(ada, range(first, first + 4))
    rows = await world.store.count_rows()
    assert {history: rows[history] for history in histories} == dict.fromkeys(histories, 4)


def one_time(*keys: tuple[int, bytes]) -> list[OneTimePreKey]:
    return [OneTimePreKey(*key) for key in keys]


ANY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def with_signed_prekey(**changes: Any) -> PublishedKeys:
    return GOOD._replace(signed_prekey=GOOD.signed_prekey._replace(**changes))


MALFORMED_LISTS: list[Any] = [
    pytest.param(one_time((0, ANY)), Reason.KEY_MALFORMED, id="id 0"),
    pytest.param(one_time((-1, ANY)), Reason.KEY_MALFORMED, id="negative id"),
    pytest.param(one_time((1 << 24, ANY)), Reason.KEY_MALFORMED, id="id of four bytes"),
    pytest.param(one_time((1, ANY[1:])), Reason.KEY_MALFORMED, id="short key"),
    pytest.param(one_time((1, b"\x05" + ANY)), Reason.KEY_MALFORMED, id="key with its type byte"),
    pytest.param(one_time((7, ANY), (7, OTHER_KEY)), Reason.PREKEY_ID_DUPLICATE, id="one id twice"),
    pytest.param(one_time((7, ANY), (8, ANY)), Reason.PREKEY_REUSED, id="one key under two ids"),
    pytest.param(KEYS.one_time(1, 1) * 20_001, Reason.TOO_MANY_ITEMS, id="too many"),
]


@pytest.mark.parametrize(("keys", "reason"), MALFORMED_LISTS)
async def test_a_malformed_list_of_one_time_prekeys_changes_nothing(
    world: World, keys: list[OneTimePreKey], reason: Reason
) -> None:
    """The same checks for `set` and for `add` (KEY-02, KEY-04, KEY-13)."""
    ada = await publisher(world, 2)
    before = await world.prekeys.digest(ada)
    with refused(reason):
        await world.prekeys.add(ada, keys)
    with refused(reason):
        await world.prekeys.publish(ada, GOOD, keys)
    assert await world.prekeys.digest(ada) == before


@pytest.mark.requirement("KEY-02", "KEY-04")
async def test_the_largest_list_and_the_largest_id_are_accepted(world: World) -> None:
    """20,000 keys in a list, ids up to 16,777,215 (KEY-02, KEY-04)."""
    ada = await publisher(world)
    assert not await world.prekeys.publish(ada, GOOD, KEYS.one_time((1 << 24) - 20_000, 20_000))
    assert (await world.prekeys.count(ada)).one_time == 20_000


async def test_a_list_to_add_or_delete_holds_something(world: World) -> None:
    """An empty request is a mistake; deleting is bounded like adding (KEY-03, KEY-04)."""
    ada = await publisher(world)
    with refused(Reason.REQUEST_MALFORMED):
        await world.prekeys.add(ada, [])
    for key_ids, reason in (([], Reason.REQUEST_MALFORMED), ([1] * 20_001, Reason.TOO_MANY_ITEMS)):
        with refused(reason):
            await world.prekeys.delete(ada, key_ids)


async def test_key_material_is_never_published_twice(world: World) -> None:
    """Not after it was taken, not under another id, not by `set`; what is still there may be set again (KEY-04)."""
    ada, user = await publisher(world, 3), await world.opted_in()
    [taken] = await world.prekeys.take(user, [ada.jid])
    used = bundle_of(taken).one_time_prekey
    assert used == KEYS.one_time(1, 1)[0]
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.add(ada, [used])
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.add(ada, [OneTimePreKey(99, used.public_key)])
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 2))
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.add(ada, [OneTimePreKey(2, OTHER_KEY)])
    await world.prekeys.publish(ada, GOOD, KEYS.one_time(2, 2))
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [2, 3]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (GOOD._replace(identity_key=b""), Reason.KEY_MALFORMED),
        (GOOD._replace(identity_key=b"\x05" + GOOD.identity_key), Reason.KEY_MALFORMED),
        (with_signed_prekey(key_id=0), Reason.KEY_MALFORMED),
        (with_signed_prekey(key_id=1 << 24), Reason.KEY_MALFORMED),
        (with_signed_prekey(public_key=b""), Reason.KEY_MALFORMED),
        (with_signed_prekey(signature=bytes(63)), Reason.KEY_MALFORMED),
        (
            with_signed_prekey(signature=bytes(64)),
            Reason.PREKEY_SIGNATURE_INVALID,
        ),
        (GOOD._replace(signed_prekey=OTHER.signed_prekey()), Reason.PREKEY_SIGNATURE_INVALID),
        (OTHER.published, Reason.IDENTITY_KEY_MISMATCH),
    ],
)
async def test_badly_made_keys_are_refused(world: World, keys: Any, reason: Reason) -> None:
    """Lengths, ranges, signature; a partner's user changes its identity by enlisting (KEY-02, KEY-13, ENL-13)."""
    ada = await publisher(world, 2)
    before = await world.prekeys.digest(ada)
    with refused(reason):
        await world.prekeys.publish(ada, keys, [])
    assert await world.prekeys.digest(ada) == before


async def test_whoever_has_not_published_has_nothing_to_add_to(world: World) -> None:
    """A WhatsApp user publishes first; until then there is nothing to count (KEY-01, KEY-03)."""
    user = await world.whatsapp_user()
    for call in (
        world.prekeys.add(user, KEYS.one_time(1, 1)),
        world.prekeys.rotate(user, KEYS.signed_prekey()),
        world.prekeys.digest(user),
    ):
        with refused(Reason.PREKEYS_NOT_SET):
            await call
    assert (await world.prekeys.count(user)).one_time == 0
    assert await world.prekeys.low_counts(user) is None
    await world.prekeys.publish(user, GOOD, KEYS.one_time(1, 1))
    assert (await world.prekeys.count(user)).one_time == 1


async def test_a_whatsapp_users_new_identity_is_told_to_peers_once(world: World) -> None:
    """A notice to everybody they talked with, none when the identity stays (KEY-17)."""
    user, ada, bea = await world.opted_in(), await world.enlisted("ada"), await world.enlisted("bea")
    await world.prekeys.publish(user, GOOD, [])
    await world.router.send_messages(user, [message(ada)])
    world.connections.woken.clear()
    await world.prekeys.publish(user, GOOD, KEYS.one_time(1, 5))
    assert world.connections.woken == []
    await world.prekeys.publish(user, OTHER.published, [])
    await world.prekeys.publish(user, GOOD, [])
    assert world.connections.woken == [ada.account_id] * 2
    *_, notice = await world.waiting(ada)
    assert decode(notice) == IdentityChanged(user.jid)
    assert [item.kind for item in await world.waiting(ada)].count(StanzaKind.NOTIFICATION) == 2  # the mark of trust
    assert await world.waiting(bea) == []


@pytest.mark.requirement("KEY-17")
async def test_a_conversation_is_recent_for_some_days(build_world: BuildWorld) -> None:
    """Both ends' new identities are told to the other until then, and to nobody later (KEY-17)."""
    world = await build_world(recent_chat_days=10)
    user, ada = await world.opted_in(), await world.enlisted("ada")
    await world.prekeys.publish(user, GOOD, [])
    await world.router.send_messages(user, [message(ada)])
    world.clock.advance(10 * DAY_MS)
    world.connections.woken.clear()
    await world.prekeys.publish(user, OTHER.published, [])
    await world.enlisted("ada", keys=ClientKeys(5))
    assert world.connections.woken == [ada.account_id, user.account_id]
    for mailbox in (user, ada):
        deliveries = await world.mailbox.deliveries(mailbox, 0, 100)
        await world.mailbox.forget(mailbox, [delivery.delivery_id for delivery in deliveries])
    world.clock.advance(1)
    world.connections.woken.clear()
    await world.prekeys.publish(user, GOOD, [])
    await world.enlisted("ada", keys=ClientKeys(6))
    assert world.connections.woken == []


@pytest.mark.requirement("KEY-11")
async def test_rotation_replaces_the_signed_prekey_at_once(world: World) -> None:
    """The next bundle has the new one; one-time prekeys and identity stay; a bad one changes nothing (KEY-11)."""
    ada, user = await publisher(world, 2), await world.opted_in()
    new = KEYS.signed_prekey(key_id=2)
    for bad, reason in (
        (OTHER.signed_prekey(), Reason.PREKEY_SIGNATURE_INVALID),
        (SignedPreKey(0, new.public_key, new.signature), Reason.KEY_MALFORMED),
    ):
        with refused(reason):
            await world.prekeys.rotate(ada, bad)
    await world.prekeys.rotate(ada, new)
    [taken] = await world.prekeys.take(user, [ada.jid])
    assert bundle_of(taken) == TakenBundle(GOOD._replace(signed_prekey=new), KEYS.one_time(1, 1)[0], 1)


@pytest.mark.requirement("KEY-10")
async def test_the_digest_is_what_a_client_computes_itself(world: World) -> None:
    """20 bytes over identity, signed prekey, signature and one-time prekeys by id: one missing key shows (KEY-10)."""
    ada = await publisher(world, 4)
    held, signed = await world.prekeys.digest(ada), GOOD.signed_prekey
    expected = key_digest(GOOD.identity_key, signed.public_key, signed.signature, KEYS.one_time(1, 4))
    assert (held.keys, held.one_time_prekey_ids, held.digest) == (GOOD, [1, 2, 3, 4], expected)
    assert len(held.digest) == 20
    await world.prekeys.delete(ada, [3])
    assert (await world.prekeys.digest(ada)).digest != expected


@pytest.mark.requirement("KEY-10", "SIM-06")
@pytest.mark.parametrize("count", [0, 1, 3, 4, 6, 7])
async def test_a_long_list_is_digested_in_parts(world: World, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """So that others get a turn; whether or not the parts come out even, it is the digest of the whole (KEY-10)."""
    ada, signed, parts = await publisher(world, count), GOOD.signed_prekey, list[int]()
    store, read = world.store.prekeys, world.store.prekeys.list_one_time

    async def list_one_time(account_id: int, above_id: int = 0, most: int | None = None) -> list[OneTimePreKey]:
        part = await read(account_id, above_id, most)
        parts.append(len(part))
        return part

    monkeypatch.setattr(prekeys, "_LISTED_AT_ONCE", 3)
    monkeypatch.setattr(store, "list_one_time", list_one_time)
    held = await world.prekeys.digest(ada)
    expected = key_digest(GOOD.identity_key, signed.public_key, signed.signature, KEYS.one_time(1, count))
    assert (held.one_time_prekey_ids, held.digest) == ([*range(1, count + 1)], expected)
    assert max(parts) <= 3 and sum(parts) == count


@pytest.mark.requirement("KEY-09")
@pytest.mark.parametrize(("count", "is_low"), [(0, True), (LOW - 1, True), (LOW, False), (LOW + 1, False)])
async def test_answers_to_publishing_say_when_few_keys_are_left(world: World, count: int, is_low: bool) -> None:
    """Under 10 is few; enough of them allows the next notice (KEY-09)."""
    ada = await world.enlisted(keys=KEYS)
    assert await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, count)) is is_low
    assert world.connections.refilled == ([] if is_low else [(ada.account_id, ONE_TIME)])
    assert await world.prekeys.low_counts(ada) == ((PreKeyCounts(count), ONE_TIME) if is_low else None)


async def test_adding_says_when_few_keys_are_left_all_the_same(world: World) -> None:
    """It counts what is there, not what came (KEY-09)."""
    ada = await publisher(world)
    assert await world.prekeys.add(ada, KEYS.one_time(1, LOW - 1))
    assert world.connections.refilled == []
    assert not await world.prekeys.add(ada, KEYS.one_time(100, 1))
    assert world.connections.refilled == [(ada.account_id, ONE_TIME)]


async def test_the_owner_is_told_when_deleting_leaves_few(build_world: BuildWorld) -> None:
    """However the store runs low, its owner hears of it (KEY-09)."""
    world = await build_world(prekeys_low_count=3)
    ada = await publisher(world, 5)
    for key_id in (1, 2, 3):
        await world.prekeys.delete(ada, [key_id])
    assert world.connections.low == [(ada.account_id, PreKeyCounts(2), ONE_TIME)]
