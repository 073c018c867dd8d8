"""Keys through the running server: published, taken once, counted, rotated, and replaced with all that they opened."""

import asyncio

import pytest

from interop_api.v1 import prekeys_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.messaging.events import (
    ConnectionLost,
    Event,
    IdentityChanged,
    OfflineEnd,
    OfflinePreview,
    PreKeysLow,
    TextReceived,
)
from interop_client.signal import PreKeyBundle
from interop_client.state import ClientState
from tests.e2e import raw
from tests.e2e.conftest import World
from tests.e2e.outcomes import ended, refused
from tests.e2e.wire import Wire, sealed_message

NO_REFILL = ClientOptions(refill_count=0)
SERVICE = "/interop_api.v1.PreKeyService"
TAKERS, ONE_TIME_PREKEYS = 50, 30
LOW = 10
REFILL = 40


async def events_until(client: InteropClient, last: type[Event]) -> list[Event]:
    """Takes events in order, up to and including the first of a class."""
    taken: list[Event] = [await client.wait_for(lambda event: True)]
    while not isinstance(taken[-1], last):
        taken.append(await client.wait_for(lambda event: True))
    return taken


def few_left(event: Event) -> bool:
    """Whether this is the notice, and not the one at the first login, when nothing was published yet."""
    return isinstance(event, PreKeysLow) and event.count > 0


async def delete_prekeys(client: InteropClient, *key_ids: int) -> None:
    request = prekeys_pb2.DeleteOneTimePreKeysRequest(key_ids=key_ids)
    await client.transport.call(f"{SERVICE}/DeleteOneTimePreKeys", request, prekeys_pb2.DeleteOneTimePreKeysResponse)


async def digest_of(client: InteropClient) -> prekeys_pb2.GetKeyDigestResponse:
    request = prekeys_pb2.GetKeyDigestRequest()
    return await client.transport.call(f"{SERVICE}/GetKeyDigest", request, prekeys_pb2.GetKeyDigestResponse)


async def take_missing(client: InteropClient, jid: str, registration_id: int) -> prekeys_pb2.MissingPreKeyBundleResult:
    device = prekeys_pb2.KnownDevice(device_id=0, registration_id=registration_id)
    known = prekeys_pb2.KnownRegistration(jid=jid, devices=[device])
    response = await client.transport.call(
        f"{SERVICE}/TakeMissingPreKeyBundles",
        prekeys_pb2.TakeMissingPreKeyBundlesRequest(users=[known]),
        prekeys_pb2.TakeMissingPreKeyBundlesResponse,
    )
    return response.results[0]


@pytest.mark.requirement("KEY-03", "KEY-10")
async def test_one_time_prekeys_are_published_added_counted_and_deleted(world: World) -> None:
    """Publishing replaces, adding adds, deleting an id that is not there changes nothing (KEY-03).

    The digest follows every step, so the client always knows that the server holds what it thinks (KEY-10).
    """
    bob = await world.third_party("bob", NO_REFILL)
    assert await bob.count_prekeys() == 20
    await bob.publish_prekeys(12)
    assert await bob.count_prekeys() == 12
    await bob.add_prekeys(5)
    assert await bob.count_prekeys() == 17

    before = await digest_of(bob)
    first, second, *rest = before.one_time_prekey_ids
    await delete_prekeys(bob, first, second, 16_000_000)
    await delete_prekeys(bob, first)
    after = await digest_of(bob)
    assert await bob.count_prekeys() == 15
    assert list(after.one_time_prekey_ids) == rest
    assert after.digest != before.digest
    assert await bob.has_intact_prekeys()


@pytest.mark.requirement("KEY-11")
async def test_a_rotated_signed_prekey_is_in_every_bundle_from_then_on(world: World) -> None:
    """The one before it is in none, and a session begun with it still works (KEY-11)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    old = await alice.take_prekey_bundle(bob.jid)
    await bob.rotate_signed_prekey()
    new = await alice.take_prekey_bundle(bob.jid)

    assert new.signed_prekey != old.signed_prekey
    assert new.identity_key == old.identity_key
    assert (await digest_of(bob)).signed_prekey_id == new.signed_prekey_id
    assert await bob.has_intact_prekeys()
    alice.state.signal.process_bundle(bob.jid, old)
    await alice.send_text(bob.jid, "begun with the signed prekey before")
    assert (await bob.wait_for(TextReceived)).text == "begun with the signed prekey before"


@pytest.mark.requirement("KEY-05", "KEY-06")
async def test_a_one_time_prekey_is_given_out_once_however_many_ask_at_once(world: World) -> None:
    """50 people on connections of their own ask for one user with 30 one-time prekeys (KEY-05, KEY-06).

    30 get one each, no two the same; 20 get a bundle without one.
    """
    bob = await world.third_party("bob", NO_REFILL)
    await bob.publish_prekeys(ONE_TIME_PREKEYS)
    published = set((await digest_of(bob)).one_time_prekey_ids)
    takers = await asyncio.gather(*(world.whatsapp() for _ in range(TAKERS)))

    bundles = await asyncio.gather(*(taker.take_prekey_bundle(bob.jid) for taker in takers))

    for bundle in bundles:
        bundle.verify()
    taken = [bundle.one_time_prekey_id for bundle in bundles if bundle.one_time_prekey is not None]
    assert len(taken) == len(set(taken)) == ONE_TIME_PREKEYS
    assert set(taken) == published
    assert len(bundles) - len(taken) == TAKERS - ONE_TIME_PREKEYS
    assert await bob.count_prekeys() == 0


@pytest.mark.requirement("KEY-06")
async def test_a_session_begins_without_a_one_time_prekey_too(world: World) -> None:
    """An empty store still gives a bundle, and the message that it opens arrives (KEY-06)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    await bob.publish_prekeys(0)

    await alice.send_text(bob.jid, "Hello")

    assert (await bob.wait_for(TextReceived)).text == "Hello"
    assert (await alice.take_prekey_bundle(bob.jid)).one_time_prekey is None


@pytest.mark.requirement("KEY-09")
async def test_few_one_time_prekeys_are_told_once_until_they_are_refilled(world: World) -> None:
    """The notice comes when the count falls under ten, not at each key after; a refill allows the next (KEY-09)."""
    alice, carol = await world.whatsapp(), await world.whatsapp()
    bob = await world.third_party("bob", NO_REFILL)
    await bob.publish_prekeys(LOW + 1)
    await take(alice, bob, 1)
    await take(alice, bob, 1)
    assert await bob.wait_for(few_left) == PreKeysLow(LOW - 1)
    await take(alice, bob, 3)

    await bob.add_prekeys(LOW)
    await take(carol, bob, 6)
    await take(alice, bob, 1)

    # Notices come in order: one for the three keys in between would be before this one, with another count.
    assert await bob.wait_for(few_left) == PreKeysLow(LOW - 1)


async def test_a_client_refills_by_itself(world: World) -> None:
    """The SDK answers the notice with new keys, and the server has them (KEY-09)."""
    alice = await world.whatsapp()
    bob = await world.third_party("bob", ClientOptions(refill_count=REFILL))
    await bob.publish_prekeys(LOW)
    await take(alice, bob, 1)

    await bob.wait_for(few_left)

    async with asyncio.timeout(10):
        while await bob.count_prekeys() < LOW - 1 + REFILL:
            pass
    assert await bob.has_intact_prekeys()


@pytest.mark.requirement("ENL-13", "ENL-14", "KEY-17")
async def test_a_new_device_ends_the_old_one_and_all_that_it_could_read(world: World) -> None:
    """Bob enlists again with new keys (ENL-13, ENL-14, KEY-17).

    1. The JID stays; the old connection ends, and its session with it.
    2. What waited for the old device is gone: nobody can read it any more.
    3. Alice is told once, and what she writes then opens on the new device.
    """
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await bob.send_text(alice.jid, "from the old device")
    await alice.wait_for(TextReceived)
    await bob.close()
    new_bob = world.device("bob")
    async with Wire(bob.transport) as wire:
        await wire.ask(200)
        await wire.take_until("offline_end")
        await alice.send_encrypted(sealed_message(bob.jid, "for-the-old-device").message)
        await wire.take_until("message")

        assert await new_bob.enlist(world.partner.issue_token("bob")) == bob.jid

        assert await ended(wire.take_until("stream_error")) == "KEYS_REPLACED"
        assert await refused(bob.count_prekeys()) == "SESSION_DEAD"
    await new_bob.connect()
    await new_bob.publish_prekeys(20)
    assert await new_bob.wait_for(OfflinePreview) == OfflinePreview(0, 0, 0)
    await new_bob.wait_for(OfflineEnd)

    assert await alice.wait_for(IdentityChanged) == IdentityChanged(bob.jid)
    await alice.send_text(bob.jid, "to the new device")
    received = await new_bob.wait_for(TextReceived)
    assert received.text == "to the new device"
    await new_bob.send_text(alice.jid, "from the new device", reply_to=received)
    seen = await events_until(alice, TextReceived)
    assert not [event for event in seen if isinstance(event, IdentityChanged)]


@pytest.mark.requirement("CHN-07")
async def test_the_old_device_cannot_come_back(world: World) -> None:
    """Its auth key is no longer the account's (CHN-07)."""
    bob, new_bob = await world.third_party("bob"), world.device("bob")
    await new_bob.enlist(world.partner.issue_token("bob"))

    assert (await bob.wait_for(ConnectionLost)).reason == "KEYS_REPLACED"
    assert await refused(bob.connect()) == "AUTH_KEY_MISMATCH"


@pytest.mark.requirement("ENL-17")
async def test_enlisting_again_with_the_same_keys_changes_nothing(world: World) -> None:
    """The connection stays open and what waits stays (ENL-13)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    jid = bob.jid

    assert await bob.enlist(world.partner.issue_token("bob")) == jid

    await bob.ping()
    await alice.send_text(jid, "still here")
    assert (await bob.wait_for(TextReceived)).text == "still here"


@pytest.mark.requirement("KEY-12")
async def test_only_bundles_of_changed_registrations_are_taken(world: World) -> None:
    """Who has the registration id that the caller knows costs no key; who has a new one gives a bundle (KEY-12)."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    known = (await alice.take_prekey_bundle(bob.jid)).registration_id
    left = await bob.count_prekeys()

    assert await take_missing(alice, bob.jid, known) == prekeys_pb2.MissingPreKeyBundleResult(jid=bob.jid)
    assert await bob.count_prekeys() == left

    new_bob = world.device("bob", state=ClientState.generate())
    await new_bob.enlist(world.partner.issue_token("bob"))
    result = await take_missing(alice, bob.jid, known)
    [bundle] = result.bundles
    assert bundle.registration_id == new_bob.state.signal.publishable.registration_id != known
    assert bundle.identity_key == new_bob.state.signal.publishable.identity_key
    assert (bundle.device.jid, bundle.device.device_id) == (bob.jid, 0)
    missing = await take_missing(alice, f"{world.integrator}-10000000000001@interop", known)
    assert missing.error.requirement == "OPT-09"

    device = prekeys_pb2.KnownDevice(device_id=0, registration_id=known)
    for reason, devices in (("REQUEST_MALFORMED", [device] * 2), ("TOO_MANY_ITEMS", [device] * 101)):
        request = prekeys_pb2.TakeMissingPreKeyBundlesRequest(
            users=[prekeys_pb2.KnownRegistration(jid=bob.jid, devices=devices)]
        )
        with raw.refused(reason):
            await alice.transport.call(
                f"{SERVICE}/TakeMissingPreKeyBundles", request, prekeys_pb2.TakeMissingPreKeyBundlesResponse
            )


async def take(taker: InteropClient, user: InteropClient, count: int) -> list[PreKeyBundle]:
    """Takes bundles, one after the other."""
    return [await taker.take_prekey_bundle(user.jid) for _ in range(count)]
