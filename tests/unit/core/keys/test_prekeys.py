"""Publishing prekeys, and taking them: once each, and only by who may write."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interop_protocol.digest import key_digest
from interop_server.core.errors import Reason, Refusal
from interop_server.core.keys.prekeys import BundleOutcome
from interop_server.core.limits import DAY_MS
from interop_server.core.mailbox_content import IdentityChanged, decode
from interop_server.core.messages import StanzaKind
from interop_server.core.model import (
    Account,
    DeviceAddress,
    KnownDevice,
    OneTimePreKey,
    PreKeyCounts,
    PreKeyKind,
    PublishedKeys,
    SignedPreKey,
    TakenBundle,
)
from tests.unit.core.world import OWLS, ClientKeys, World, message, refused

BuildWorld = Callable[..., Awaitable[World]]

KEYS, OTHER = ClientKeys(seed=1), ClientKeys(seed=2)
GOOD = KEYS.published
LOW = 10
ONE_TIME = frozenset({PreKeyKind.ONE_TIME})


async def publisher(world: World, count: int = 0) -> Account:
    """An enlisted user with that many one-time prekeys."""
    ada = await world.enlisted("ada", keys=KEYS)
    if count:
        await world.prekeys.add(ada, KEYS.one_time(1, count))
    return ada


def reason_of(outcome: BundleOutcome) -> Reason:
    assert isinstance(outcome, Refusal)
    return outcome.reason


def known(registration_id: int) -> list[KnownDevice]:
    """What a taker knows of a user's one device."""
    return [KnownDevice(0, registration_id)]


def bundle_of(outcome: BundleOutcome) -> TakenBundle:
    assert not isinstance(outcome, Refusal)
    [bundle] = outcome
    assert bundle.device.device_id == 0
    return bundle.taken


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
    with refused(Reason.QUOTA_EXCEEDED):
        await world.prekeys.add(ada, KEYS.one_time(11, 2))
    await world.prekeys.add(ada, KEYS.one_time(21, 1))
    with refused(Reason.QUOTA_EXCEEDED):
        await world.prekeys.add(ada, KEYS.one_time(31, 1))
    await world.prekeys.delete(ada, [1])
    await world.prekeys.add(ada, KEYS.one_time(31, 1))
    assert (await world.prekeys.digest(ada)).one_time_prekey_ids == [2, 3, 4, 21, 31]


def one_time(*keys: tuple[int, bytes]) -> list[OneTimePreKey]:
    return [OneTimePreKey(*key) for key in keys]


ANY = bytes(range(32))


def with_signed_prekey(**changes: Any) -> PublishedKeys:
    return GOOD._replace(signed_prekey=GOOD.signed_prekey._replace(**changes))


MALFORMED_LISTS: list[Any] = [
    pytest.param(one_time((0, ANY)), Reason.KEY_MALFORMED, id="id 0"),
    pytest.param(one_time((-1, ANY)), Reason.KEY_MALFORMED, id="negative id"),
    pytest.param(one_time((1 << 24, ANY)), Reason.KEY_MALFORMED, id="id of four bytes"),
    pytest.param(one_time((1, ANY[1:])), Reason.KEY_MALFORMED, id="short key"),
    pytest.param(one_time((1, b"\x05" + ANY)), Reason.KEY_MALFORMED, id="key with its type byte"),
    pytest.param(one_time((7, ANY), (7, bytes(32))), Reason.PREKEY_ID_DUPLICATE, id="one id twice"),
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
        await world.prekeys.publish(ada, GOOD, KEYS.one_time(1, 3))
    with refused(Reason.PREKEY_REUSED):
        await world.prekeys.add(ada, [OneTimePreKey(2, bytes(32))])
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


async def test_a_one_time_prekey_leaves_with_the_first_who_takes_it(world: World) -> None:
    """The lowest id goes first; when none is left, bundles go on without (KEY-05, KEY-06)."""
    ada, user = await publisher(world, 3), await world.opted_in()
    taken = [bundle_of((await world.prekeys.take(user, [ada.jid]))[0]) for _ in range(5)]
    assert [bundle.one_time_prekey and bundle.one_time_prekey.key_id for bundle in taken] == [1, 2, 3, None, None]
    assert [bundle.remaining for bundle in taken] == [2, 1, 0, 0, 0]
    assert {bundle.keys for bundle in taken} == {GOOD}


@pytest.mark.requirement("KEY-05")
async def test_concurrent_takers_never_get_the_same_one_time_prekey(world: World) -> None:
    """More takers at once than keys: each key goes to one of them (KEY-05)."""
    ada = await publisher(world, 40)
    users = [await world.opted_in(f"+49151123456{number:02}") for number in range(10)]
    outcomes = await asyncio.gather(*(world.prekeys.take(users[number % 10], [ada.jid]) for number in range(50)))
    given = [bundle_of(outcome).one_time_prekey for [outcome] in outcomes]
    ids = sorted(key.key_id for key in given if key is not None)
    assert ids == list(range(1, 41))
    assert given.count(None) == 10


@pytest.mark.requirement("KEY-07")
async def test_one_bad_user_does_not_fail_the_rest(world: World) -> None:
    """One entry per user, in the order of asking (KEY-07)."""
    ada, bea, user = await publisher(world), await world.enlisted("bea", keys=OTHER), await world.opted_in()
    owl = await world.enlisted("owl", OWLS)
    jids = [bea.jid, "bea", "100-10000000000000@interop", owl.jid, ada.jid, user.jid]
    outcomes = await world.prekeys.take(user, jids)
    assert (bundle_of(outcomes[0]).keys, bundle_of(outcomes[4]).keys) == (OTHER.published, GOOD)
    assert [reason_of(outcomes[index]) for index in (1, 2, 3, 5)] == [
        Reason.USER_VISIBLE_IDENTIFIER,
        Reason.RECIPIENT_NOT_REACHABLE,
        Reason.SENDER_NOT_OPTED_IN,
        Reason.ROUTE_NOT_SUPPORTED,
    ]


@pytest.mark.parametrize(
    ("jids", "reason"),
    [
        ([], Reason.REQUEST_MALFORMED),
        ([f"100-{number}@interop" for number in range(1, 258)], Reason.TOO_MANY_ITEMS),
        (["100-1@interop", "100-1@interop"], Reason.REQUEST_MALFORMED),
        (["100-1@interop", "100-1:0@interop"], Reason.REQUEST_MALFORMED),
        (["nonsense", "nonsense"], Reason.REQUEST_MALFORMED),
    ],
)
async def test_a_request_names_each_user_once(world: World, jids: list[str], reason: Reason) -> None:
    """Up to 256 of them; written otherwise is still the same user (KEY-05, KEY-07)."""
    user = await world.opted_in()
    with refused(reason):
        await world.prekeys.take(user, jids)
    with refused(reason):
        await world.prekeys.take_missing(user, [(jid, known(0)) for jid in jids])


async def test_bundles_are_gated_like_messages(world: World) -> None:
    """Who may not write gets no bundle and consumes no key (OPT-01, T6, T7)."""
    ada, user = await publisher(world, 3), await world.whatsapp_user()
    await world.prekeys.publish(user, OTHER.published, OTHER.one_time(1, 3))
    assert reason_of((await world.prekeys.take(user, [ada.jid]))[0]) is Reason.SENDER_NOT_OPTED_IN
    assert reason_of((await world.prekeys.take(ada, [user.jid]))[0]) is Reason.RECIPIENT_NOT_REACHABLE
    assert ((await world.prekeys.count(ada)).one_time, (await world.prekeys.count(user)).one_time) == (3, 3)
    await world.accept_terms(user)
    await world.optin.opt_in(user, [ada.integrator])
    assert bundle_of((await world.prekeys.take(ada, [user.jid]))[0]).keys == OTHER.published


async def test_a_blocked_taker_sees_no_difference(world: World) -> None:
    """As with messages: the block must not show (ABU-02, OPT-09)."""
    ada, user = await publisher(world, 3), await world.opted_in()
    await world.prekeys.publish(user, OTHER.published, OTHER.one_time(1, 3))
    await world.blocklist.block(user, ada.jid)
    assert bundle_of((await world.prekeys.take(ada, [user.jid]))[0]).keys == OTHER.published


async def test_who_has_not_published_looks_like_nobody(world: World) -> None:
    """An opted-in WhatsApp user without keys cannot be written to (OPT-09, KEY-06)."""
    ada, user = await publisher(world), await world.opted_in()
    [outcome] = await world.prekeys.take(ada, [user.jid])
    [nobody] = await world.prekeys.take(ada, ["4915100000000@s.whatsapp.net"])
    assert reason_of(outcome) is reason_of(nobody) is Reason.RECIPIENT_NOT_REACHABLE


async def test_a_known_registration_id_costs_no_key(world: World) -> None:
    """Only who has changed gets a new bundle; the rest is confirmed by silence (KEY-12)."""
    ada, bea, user = await publisher(world, 2), await world.enlisted("bea", keys=OTHER), await world.opted_in()
    nobody = "100-10000000000000@interop"
    outcomes = await world.prekeys.take_missing(
        user, [(ada.jid, known(GOOD.registration_id)), (bea.jid, known(1)), (nobody, known(1))]
    )
    assert outcomes[0] == ()
    assert bundle_of(outcomes[1]).keys == OTHER.published
    assert reason_of(outcomes[2]) is Reason.RECIPIENT_NOT_REACHABLE
    assert (await world.prekeys.count(ada)).one_time == 2


@pytest.mark.requirement("KEY-08", "KEY-12")
async def test_a_bundle_is_that_of_a_device(world: World) -> None:
    """It names the account by its JID and the device by its number, however the taker wrote the JID (KEY-08).

    Who knows no device gets the bundle of each, and devices that the user does not have change nothing.
    """
    ada, user = await publisher(world, 5), await world.opted_in()
    for outcome in await world.prekeys.take(user, [ada.jid.replace("@", ":0@")]):
        assert not isinstance(outcome, Refusal)
        assert [bundle.device for bundle in outcome] == [DeviceAddress(ada.jid, 0)]
    right = known(GOOD.registration_id)
    for devices, taken in (([], 1), ([KnownDevice(1, GOOD.registration_id)], 1), ([KnownDevice(1, 1), *right], 0)):
        [outcome] = await world.prekeys.take_missing(user, [(ada.jid, devices)])
        assert not isinstance(outcome, Refusal) and len(outcome) == taken
    most = [KnownDevice(number, 1) for number in range(100)]
    await world.prekeys.take_missing(user, [(ada.jid, most)])
    with refused(Reason.TOO_MANY_ITEMS):
        await world.prekeys.take_missing(user, [(ada.jid, [*most, KnownDevice(100, 1)])])
    with refused(Reason.REQUEST_MALFORMED):
        await world.prekeys.take_missing(user, [(ada.jid, [*right, *known(7)])])


async def test_an_account_deleted_while_it_is_asked_for_is_not_reachable(world: World) -> None:
    """Between the look and the taking it may go: that is an answer, not a crash (LIF-05)."""
    ada, user = await publisher(world, 2), await world.opted_in()
    outcomes, _ = await asyncio.gather(world.prekeys.take(user, [ada.jid]), world.deletion.delete(ada))
    assert reason_of(outcomes[0]) is Reason.RECIPIENT_NOT_REACHABLE


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


async def test_the_owner_is_told_when_the_store_runs_low(build_world: Callable[..., Awaitable[World]]) -> None:
    """From the take that leaves fewer than the threshold on, with the count that is left (KEY-09)."""
    world = await build_world(prekeys_low_count=3)
    ada, user = await publisher(world, 5), await world.opted_in()
    for _ in range(4):
        await world.prekeys.take(user, [ada.jid])
    assert world.connections.low == [(ada.account_id, PreKeyCounts(left), ONE_TIME) for left in (2, 1)]


async def test_the_owner_is_told_when_deleting_leaves_few(build_world: Callable[..., Awaitable[World]]) -> None:
    """However the store runs low, its owner hears of it (KEY-09)."""
    world = await build_world(prekeys_low_count=3)
    ada = await publisher(world, 5)
    for key_id in (1, 2, 3):
        await world.prekeys.delete(ada, [key_id])
    assert world.connections.low == [(ada.account_id, PreKeyCounts(2), ONE_TIME)]


def taken_entries(world: World) -> list[tuple[str, str, str]]:
    """What the journal says of one-time prekeys that were consumed: by whom, whose, and what it has to add."""
    entries, _ = world.journal.after(0, 10_000)
    return [(entry.actor, entry.subject, entry.detail) for entry in entries if entry.action == "prekey.take"]


@pytest.mark.requirement("KEY-14")
async def test_nobody_takes_somebodys_bundles_over_and_over(world: World) -> None:
    """Six at once, then one in a hundred seconds; another user's, and another taker's, do not count (KEY-14)."""
    ada, bea = await publisher(world, 20), await world.enlisted("bea", keys=OTHER)
    user, other = await world.opted_in(), await world.opted_in("+491511234568")
    for _ in range(6):
        bundle_of((await world.prekeys.take(user, [ada.jid]))[0])
    limited, unlimited = await world.prekeys.take(user, [ada.jid, bea.jid])
    assert reason_of(limited) is Reason.RATE_LIMITED
    assert bundle_of(unlimited).keys == OTHER.published
    assert bundle_of((await world.prekeys.take(other, [ada.jid]))[0]).one_time_prekey is not None
    assert (await world.prekeys.count(ada)).one_time == 13

    assert isinstance(limited, Refusal) and limited.retry_after_ms is not None
    world.clock.advance(limited.retry_after_ms)
    bundle_of((await world.prekeys.take(user, [ada.jid]))[0])
    assert reason_of((await world.prekeys.take(user, [ada.jid]))[0]) is Reason.RATE_LIMITED


@pytest.mark.requirement("KEY-12", "KEY-14")
async def test_only_what_is_taken_counts(world: World) -> None:
    """Asking for news of a session that is still good is free, and so is asking for who has no bundle (KEY-14)."""
    ada, user, silent = await publisher(world, 20), await world.opted_in(), await world.opted_in("+491511234568")
    for _ in range(20):
        assert reason_of((await world.prekeys.take(ada, [silent.jid]))[0]) is Reason.RECIPIENT_NOT_REACHABLE
        assert await world.prekeys.take_missing(user, [(ada.jid, known(GOOD.registration_id))]) == [()]
        assert reason_of((await world.prekeys.take(user, ["100-1@interop"]))[0]) is Reason.RECIPIENT_NOT_REACHABLE
    for _ in range(6):
        bundle_of((await world.prekeys.take_missing(user, [(ada.jid, known(1))]))[0])
    assert reason_of((await world.prekeys.take_missing(user, [(ada.jid, known(1))]))[0]) is Reason.RATE_LIMITED
    assert await world.prekeys.take_missing(user, [(ada.jid, known(GOOD.registration_id))]) == [()]


@pytest.mark.requirement("KEY-14")
async def test_nobody_takes_everybodys_bundles(build_world: Callable[..., Awaitable[World]]) -> None:
    """Over all users there is a limit too; a call that goes over it takes nothing at all (KEY-14)."""
    world = await build_world(bundle_burst=3, bundle_per_second=1.0, bundle_target_burst=2)
    ada, bea = await publisher(world, 20), await world.enlisted("bea", keys=OTHER)
    user = await world.opted_in()
    await world.prekeys.take(user, [ada.jid, bea.jid])
    with refused(Reason.RATE_LIMITED) as caught:
        await world.prekeys.take(user, [ada.jid, bea.jid])
    assert (await world.prekeys.count(ada)).one_time == 19
    bundle_of((await world.prekeys.take(user, [ada.jid]))[0])
    assert caught.value.retry_after_ms is not None

    world.clock.advance(caught.value.retry_after_ms + 1_000)
    # Of ada no more, and what is not taken is not counted: bea's bundle is the second of two that are allowed now.
    limited, taken = await world.prekeys.take(user, [ada.jid, bea.jid])
    assert reason_of(limited) is Reason.RATE_LIMITED
    assert bundle_of(taken).keys == OTHER.published


@pytest.mark.requirement("KEY-14")
async def test_a_drained_store_shows(build_world: Callable[..., Awaitable[World]]) -> None:
    """The journal names who took each key and how many were left, never a key; counters say how often (KEY-14)."""
    world = await build_world(bundle_target_burst=3)
    ada, user = await publisher(world, 2), await world.opted_in()
    for _ in range(5):
        await world.prekeys.take(user, [ada.jid])
    assert taken_entries(world) == [(user.jid, ada.jid, "1 left"), (user.jid, ada.jid, "0 left")]
    assert world.prekeys.counts == {"prekey_taken": 2, "prekey_exhausted": 1, "prekey_fetch_limited": 2}
