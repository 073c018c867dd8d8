"""Post-quantum prekeys through a running server on which they are switched on: published, taken, withdrawn, refused."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from google.protobuf.message import Message

from interop_api.v1 import prekeys_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.messaging.events import PqDowngrade, PreKeysCompared, PreKeysLow, TextReceived
from interop_client.signal import MissingKemPreKey
from interop_protocol.xeddsa_keys import sign_xeddsa
from interop_server.core.limits import Limits
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.keys.test_flows_keys import digest_of
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import one_time_prekeys, refused

pytestmark = pytest.mark.requirement("KEY-15")

NO_REFILL = ClientOptions(refill_count=0)
SERVICE = "/interop_api.v1.PreKeyService/"
LAST_RESORT_ID = 1_000


@pytest_asyncio.fixture
async def kem_world(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[World]:
    """A world in which KEM prekeys are on."""
    async with own_world(tmp_path, signing_keys, Limits(kem_prekeys=True)) as (world, _):
        yield world


def kem_prekey(owner: InteropClient, key_id: int, **changes: object) -> prekeys_pb2.KemPreKey:
    """Returns a KEM prekey that an account's identity key has signed, with fields changed."""
    public_key = MLKEM1024PrivateKey.generate().public_key().public_bytes_raw()
    signature = sign_xeddsa(owner.state.signal.identity.private_key, public_key, os.urandom(64))
    fields: dict[str, object] = {"key_id": key_id, "public_key": public_key, "signature": signature}
    return prekeys_pb2.KemPreKey(**(fields | changes))  # type: ignore[arg-type]


async def add(
    owner: InteropClient,
    one_time: Iterable[prekeys_pb2.KemPreKey],
    last_resort: prekeys_pb2.KemPreKey | None = None,
) -> prekeys_pb2.AddKemPreKeysResponse:
    """Adds KEM prekeys."""
    kem_prekeys = prekeys_pb2.KemPreKeys(one_time=one_time, last_resort=last_resort)
    request = prekeys_pb2.AddKemPreKeysRequest(kem_prekeys=kem_prekeys)
    return await owner.transport.call(f"{SERVICE}AddKemPreKeys", request, prekeys_pb2.AddKemPreKeysResponse)


async def withdraw(owner: InteropClient) -> None:
    """Withdraws all KEM prekeys."""
    request = prekeys_pb2.DeleteKemPreKeysRequest()
    await owner.transport.call(f"{SERVICE}DeleteKemPreKeys", request, prekeys_pb2.DeleteKemPreKeysResponse)


async def take(taker: InteropClient, of: InteropClient) -> prekeys_pb2.PreKeyBundle:
    """Takes one bundle as it is."""
    request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[of.jid])
    response = await taker.transport.call(f"{SERVICE}TakePreKeyBundles", request, prekeys_pb2.TakePreKeyBundlesResponse)
    return response.results[0].bundles[0]


async def counted(world: World, name: str) -> int:
    """How often something was counted."""
    return (await world.admin.get_statistics()).counted[name]


async def test_one_time_ones_are_given_out_once_and_then_the_last_resort(kem_world: World) -> None:
    """Alice takes three bundles of bob, who has two one-time KEM prekeys: two of those, then the last resort."""
    alice, bob = await kem_world.whatsapp(), await kem_world.third_party("bob", NO_REFILL)
    one_time, last_resort = [kem_prekey(bob, key_id) for key_id in (7, 8)], kem_prekey(bob, LAST_RESORT_ID)
    assert (await add(bob, one_time, last_resort)).count_low
    held = await digest_of(bob)
    assert (list(held.kem_prekey_ids), held.kem_last_resort_id) == ([7, 8], LAST_RESORT_ID)

    bundles = [await take(alice, bob) for _ in range(3)]

    assert [bundle.kem_prekey for bundle in bundles] == [*one_time, last_resort]
    assert [bundle.kem_is_last_resort for bundle in bundles] == [False, False, True]
    assert not any(bundle.kem_withdrawn for bundle in bundles)
    request = prekeys_pb2.CountOneTimePreKeysRequest()
    count = await bob.transport.call(f"{SERVICE}CountOneTimePreKeys", request, prekeys_pb2.CountOneTimePreKeysResponse)
    assert count.kem_count == 0
    read = [response.entry async for response in kem_world.admin.read_journal(action="prekey.take_kem")]
    assert [(entry.actor, entry.subject, entry.detail) for entry in read] == [
        (alice.jid, bob.jid, "1 left"),
        (alice.jid, bob.jid, "0 left"),
    ]


@pytest.mark.requirement("KEY-16")
async def test_a_withdrawal_shows_in_every_bundle_until_it_is_made_good(kem_world: World) -> None:
    """Withdrawn, or left out when all keys are set: the bundle says so, and the operator sees it (KEY-16, T14)."""
    alice, bob = await kem_world.whatsapp(), await kem_world.third_party("bob", NO_REFILL)
    assert not (await take(alice, bob)).kem_withdrawn
    await add(bob, [], kem_prekey(bob, LAST_RESORT_ID))
    for number, way in enumerate((withdraw(bob), bob.publish_prekeys(20)), 1):
        await way
        bundle = await take(alice, bob)
        assert (bundle.HasField("kem_prekey"), bundle.kem_withdrawn) == (False, True)
        assert await counted(kem_world, "kem_downgrade") == number
        await add(bob, [], kem_prekey(bob, LAST_RESORT_ID + number))
        bundle = await take(alice, bob)
        assert (bundle.HasField("kem_prekey"), bundle.kem_withdrawn) == (True, False)
    read = [response.entry async for response in kem_world.admin.read_journal(action="prekey.kem_downgrade")]
    assert [(entry.actor, entry.subject, entry.requirement) for entry in read] == [(alice.jid, bob.jid, "KEY-16")] * 2


@pytest.mark.requirement("KEY-13")
async def test_bad_ones_are_refused_and_change_nothing(kem_world: World) -> None:
    """Keys, ids and signatures of the wrong form, repeated keys, none at all: the reason says what to make anew."""
    bob = await kem_world.third_party("bob", NO_REFILL)
    last_resort, known = kem_prekey(bob, LAST_RESORT_ID), kem_prekey(bob, 1)
    with refused("KEY_MALFORMED", "no last resort"):
        await add(bob, [known])
    await add(bob, [known], last_resort)
    before = await digest_of(bob)
    other = await kem_world.third_party("carol", NO_REFILL)
    rows: list[tuple[str, list[prekeys_pb2.KemPreKey], str]] = [
        ("nothing", [], "REQUEST_MALFORMED"),
        ("too many", [kem_prekey(bob, 2)] * 5_001, "TOO_MANY_ITEMS"),
        ("id 0", [kem_prekey(bob, 0)], "KEY_MALFORMED"),
        ("id of four bytes", [kem_prekey(bob, 1 << 24)], "KEY_MALFORMED"),
        ("a Curve25519 key", [kem_prekey(bob, 2, public_key=os.urandom(32))], "KEY_MALFORMED"),
        ("no signature", [kem_prekey(bob, 2, signature=b"")], "KEY_MALFORMED"),
        ("another signer", [kem_prekey(other, 2)], "PREKEY_SIGNATURE_INVALID"),
        ("one id twice", [kem_prekey(bob, 2), kem_prekey(bob, 2)], "PREKEY_ID_DUPLICATE"),
        ("an id that is there", [kem_prekey(bob, 1)], "PREKEY_REUSED"),
        ("a key that is there", [known], "PREKEY_REUSED"),
        ("the last resort as a one-time one", [last_resort], "PREKEY_REUSED"),
    ]
    for name, one_time, reason in rows:
        with refused(reason, name):
            await add(bob, one_time)
    assert await digest_of(bob) == before


async def test_they_are_refused_where_they_are_off(world: World) -> None:
    """Which is everywhere unless the operator has said so: nothing is published, the rest goes on."""
    bob = await world.third_party("bob", NO_REFILL)
    kem_prekeys = prekeys_pb2.KemPreKeys(last_resort=kem_prekey(bob, LAST_RESORT_ID))
    keys = bob.state.signal.publishable
    everything = prekeys_pb2.SetPreKeysRequest(
        registration_id=keys.registration_id,
        key_type=b"\x05",
        identity_key=keys.identity_key,
        signed_prekey=prekeys_pb2.SignedPreKey(
            key_id=keys.signed_prekey.key_id,
            public_key=keys.signed_prekey.public_key,
            signature=keys.signed_prekey.signature,
        ),
        one_time_prekeys=one_time_prekeys(3, 500),
        kem_prekeys=kem_prekeys,
    )
    before = await digest_of(bob)
    attempts: list[tuple[str, Message, type[Message]]] = [
        ("SetPreKeys", everything, prekeys_pb2.SetPreKeysResponse),
        ("AddKemPreKeys", prekeys_pb2.AddKemPreKeysRequest(kem_prekeys=kem_prekeys), prekeys_pb2.AddKemPreKeysResponse),
        ("DeleteKemPreKeys", prekeys_pb2.DeleteKemPreKeysRequest(), prekeys_pb2.DeleteKemPreKeysResponse),
    ]
    for method, request, response_type in attempts:
        with refused("KEM_PREKEYS_OFF", method):
            await bob.transport.call(SERVICE + method, request, response_type)
    assert await digest_of(bob) == before


PUBLISHES = ClientOptions(refill_count=0, kem_prekeys=12)


@pytest.mark.requirement("KEY-16")
async def test_a_client_publishes_them_and_another_misses_them_when_they_go(kem_world: World) -> None:
    """Bob's SDK publishes KEM prekeys, alice's verifies and remembers them.

    1. Their sessions are as without: messages go both ways.
    2. Bob withdraws. Alice, who begins a new session, is told, and goes on; bob reads what she writes.
    3. Strict carol, who has never seen any, is told by the server's word; she begins no session until she accepts it.
    """
    alice, bob = await kem_world.whatsapp(), await kem_world.third_party("bob", PUBLISHES)
    carol = await kem_world.whatsapp(options=ClientOptions(refuses_pq_downgrade=True))
    assert len((await digest_of(bob)).kem_prekey_ids) == 12
    assert await bob.has_intact_prekeys()
    await alice.send_text(bob.jid, "Hello")
    await bob.send_text(alice.jid, "Hello yourself", reply_to=await bob.wait_for(TextReceived))
    assert (await alice.wait_for(TextReceived)).text == "Hello yourself"

    await withdraw(bob)
    alice.state.signal.delete_session(bob.jid)
    await alice.send_text(bob.jid, "Are you still there?")
    assert await alice.wait_for(PqDowngrade) == PqDowngrade(bob.jid)
    assert (await bob.wait_for(TextReceived)).text == "Are you still there?"

    for _ in range(2):
        with pytest.raises(MissingKemPreKey):
            await carol.send_text(bob.jid, "not sent")
        assert await carol.wait_for(PqDowngrade) == PqDowngrade(bob.jid)
    assert await counted(kem_world, "kem_downgrade") == 2  # carol's second attempt took no second bundle
    await carol.accept_pq_downgrade(bob.jid)
    await carol.send_text(bob.jid, "all the same")
    assert (await bob.wait_for(TextReceived)).text == "all the same"


@pytest.mark.requirement("KEY-09")
async def test_a_client_refills_them_by_itself(kem_world: World) -> None:
    """The notice has both counts; only what is short is added, and the last resort stays (KEY-09)."""
    alice = await kem_world.whatsapp()
    bob = await kem_world.third_party("bob", ClientOptions(refill_count=5, kem_prekeys=12))
    before = await digest_of(bob)
    for _ in range(3):
        await take(alice, bob)

    low = await bob.wait_for(lambda event: isinstance(event, PreKeysLow) and event.count > 0)

    assert low == PreKeysLow(17, 9)
    async with asyncio.timeout(10):
        while len((held := await digest_of(bob)).kem_prekey_ids) < 9 + 12:
            pass
    assert len(held.one_time_prekey_ids) == 17
    assert held.kem_last_resort_id == before.kem_last_resort_id
    assert await bob.has_intact_prekeys()


@pytest.mark.requirement("KEY-10")
async def test_a_comparison_covers_them(kem_world: World) -> None:
    """The server holds a KEM prekey that bob's device does not know: he publishes everything anew when it asks."""
    bob = await kem_world.third_party("bob", PUBLISHES)
    await add(bob, [kem_prekey(bob, 5_000)])
    assert not await bob.has_intact_prekeys()
    await kem_world.admin.request_key_digest(bob.jid)
    assert await bob.wait_for(PreKeysCompared) == PreKeysCompared(were_intact=False)
    assert await bob.has_intact_prekeys()
    assert 5_000 not in (await digest_of(bob)).kem_prekey_ids


async def test_who_withdrew_them_can_publish_them_again(kem_world: World) -> None:
    """The last resort from before is never taken again, so the SDK makes another (KEY-13)."""
    bob = await kem_world.third_party("bob", PUBLISHES)
    before = (await digest_of(bob)).kem_last_resort_id
    await withdraw(bob)
    await bob.publish_prekeys(20)
    assert (await digest_of(bob)).kem_last_resort_id != before
    assert await bob.has_intact_prekeys()


async def test_a_client_that_publishes_them_where_they_are_off_is_told(world: World) -> None:
    """Nothing is published behind its back without them."""
    bob = await world.third_party("bob", NO_REFILL)
    eager = InteropClient(bob.transport, bob.state, options=PUBLISHES)
    with refused("KEM_PREKEYS_OFF"):
        await eager.publish_prekeys(20)
