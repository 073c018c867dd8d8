"""Taking prekeys: once each, only by who may write, and not over and over."""

import asyncio

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import DeviceAddress, KnownDevice, PreKeyCounts
from tests.unit.core.world import OWLS, World, refused

from .publishers import GOOD, ONE_TIME, OTHER, BuildWorld, bundle_of, known, publisher, reason_of


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
    [refusal] = await world.prekeys.take(ada, [(await world.opted_in("+491511234568")).jid])
    assert isinstance(refusal, Refusal) and refusal.cause == "the recipient has published no keys"
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


async def test_the_owner_is_told_when_the_store_runs_low(build_world: BuildWorld) -> None:
    """From the take that leaves fewer than the threshold on, with the count that is left (KEY-09)."""
    world = await build_world(prekeys_low_count=3)
    ada, user = await publisher(world, 5), await world.opted_in()
    for _ in range(4):
        await world.prekeys.take(user, [ada.jid])
    assert world.connections.low == [(ada.account_id, PreKeyCounts(left), ONE_TIME) for left in (2, 1)]


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
async def test_nobody_takes_everybodys_bundles(build_world: BuildWorld) -> None:
    """Over all users there is a limit too; a call that goes over it takes nothing at all (KEY-14)."""
    world = await build_world(bundle_burst=3, bundle_per_second=1.0, bundle_target_burst=2)
    ada, bea = await publisher(world, 20), await world.enlisted("bea", keys=OTHER)
    user = await world.opted_in()
    await world.prekeys.take(user, [ada.jid, bea.jid])
    with refused(Reason.TOO_MANY_ITEMS):  # no waiting would help
        await world.prekeys.take(user, [ada.jid, bea.jid, "100-1@interop", "100-2@interop"])
    with refused(Reason.RATE_LIMITED) as caught:
        await world.prekeys.take(user, [ada.jid, bea.jid])
    assert world.prekeys.counts == {"prekey_taken": 1, "prekey_exhausted": 1, "prekey_fetch_limited": 1}
    assert (await world.prekeys.count(ada)).one_time == 19
    bundle_of((await world.prekeys.take(user, [ada.jid]))[0])
    assert caught.value.retry_after_ms is not None

    world.clock.advance(caught.value.retry_after_ms + 1_000)
    # Of ada no more, and what is not taken is not counted: bea's bundle is the second of two that are allowed now.
    limited, taken = await world.prekeys.take(user, [ada.jid, bea.jid])
    assert reason_of(limited) is Reason.RATE_LIMITED
    assert bundle_of(taken).keys == OTHER.published


@pytest.mark.requirement("KEY-14")
async def test_a_drained_store_shows(build_world: BuildWorld) -> None:
    """The journal names who took each key and how many were left, never a key; counters say how often (KEY-14)."""
    world = await build_world(bundle_target_burst=3)
    ada, user = await publisher(world, 2), await world.opted_in()
    for _ in range(5):
        await world.prekeys.take(user, [ada.jid])
    assert taken_entries(world) == [(user.jid, ada.jid, "1 left"), (user.jid, ada.jid, "0 left")]
    assert world.prekeys.counts == {"prekey_taken": 2, "prekey_exhausted": 1, "prekey_fetch_limited": 2}
