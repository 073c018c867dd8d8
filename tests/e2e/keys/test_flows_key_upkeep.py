"""A client keeps its keys in order by itself: compared when the server asks, made anew when it refuses them."""

import os
from dataclasses import replace

import pytest

from interop_api.v1 import enlistment_pb2, prekeys_pb2
from interop_client.client import ClientOptions, InteropClient
from interop_client.messaging.events import DigestRequested, PreKeysCompared, TextReceived
from interop_client.state import ClientState
from tests.e2e.conftest import World
from tests.e2e.keys.test_flows_keys import delete_prekeys, digest_of
from tests.e2e.raw import enlistment, one_time_prekeys, refused, signed_prekey

NO_REFILL = ClientOptions(refill_count=0)
SERVICE = "/interop_api.v1.PreKeyService"
FOREIGN_ID = 9_000_000


async def set_prekeys(client: InteropClient, **changes: object) -> None:
    """Publishes a client's keys by hand, with fields changed."""
    keys = client.state.signal.publishable
    fields: dict[str, object] = {
        "registration_id": keys.registration_id,
        "key_type": b"\x05",
        "identity_key": keys.identity_key,
        "signed_prekey": signed_prekey(client.state.signal),
    }
    request = prekeys_pb2.SetPreKeysRequest(**(fields | changes))  # type: ignore[arg-type]
    await client.transport.call(f"{SERVICE}/SetPreKeys", request, prekeys_pb2.SetPreKeysResponse)


async def add_prekeys(client: InteropClient, *prekeys: prekeys_pb2.OneTimePreKey) -> None:
    """Adds one-time prekeys by hand."""
    request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=prekeys)
    await client.transport.call(f"{SERVICE}/AddOneTimePreKeys", request, prekeys_pb2.AddOneTimePreKeysResponse)


@pytest.mark.requirement("KEY-10")
async def test_intact_keys_stay_when_the_server_asks_for_a_comparison(world: World) -> None:
    """Also when some were taken, or were deleted behind the client's back: their messages may be on the way."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    await alice.take_prekey_bundle(bob.jid)
    await delete_prekeys(bob, max((await digest_of(bob)).one_time_prekey_ids))
    before = await digest_of(bob)

    await world.admin.request_key_digest(bob.jid)

    await bob.wait_for(DigestRequested)
    assert await bob.wait_for(PreKeysCompared) == PreKeysCompared(were_intact=True)
    assert await digest_of(bob) == before


@pytest.mark.requirement("KEY-10")
async def test_a_broken_store_is_repaired_when_the_server_asks(world: World) -> None:
    """The server holds prekeys whose private halves nobody has: who takes one writes what bob cannot read.

    The request waits for bob, once however often it was made; he compares, and publishes everything anew.
    """
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    await delete_prekeys(bob, *(await digest_of(bob)).one_time_prekey_ids)
    await add_prekeys(bob, *one_time_prekeys(15, FOREIGN_ID))
    assert not await bob.has_intact_prekeys()
    await bob.close()
    await world.admin.request_key_digest(bob.jid)
    await world.admin.request_key_digest(bob.jid)

    await bob.connect()

    assert await bob.wait_for(PreKeysCompared) == PreKeysCompared(were_intact=False)
    assert await bob.has_intact_prekeys()
    held = await digest_of(bob)
    assert held.one_time_prekey_ids
    assert FOREIGN_ID not in held.one_time_prekey_ids
    await alice.send_text(bob.jid, "readable")
    assert (await bob.wait_for(TextReceived)).text == "readable"
    await bob.wait_for(DigestRequested)
    with pytest.raises(TimeoutError):
        await bob.wait_for(DigestRequested, timeout_seconds=0)


@pytest.mark.requirement("KEY-10")
async def test_a_restored_state_is_found_out(world: World) -> None:
    """Bob's device goes on from a backup: a signed prekey made since then is at the server, and lost here."""
    bob = await world.third_party("bob", NO_REFILL)
    backup = bob.state.to_bytes()
    await bob.rotate_signed_prekey()
    await bob.close()
    restored = world.device("bob", NO_REFILL, state=ClientState.from_bytes(backup))
    await restored.connect()
    assert not await restored.has_intact_prekeys()

    await world.admin.request_key_digest(bob.jid)

    assert await restored.wait_for(PreKeysCompared) == PreKeysCompared(were_intact=False)
    assert await restored.has_intact_prekeys()


@pytest.mark.requirement("KEY-10")
async def test_only_accounts_can_be_asked_for_a_comparison(world: World) -> None:
    """Nobody else has a mailbox."""
    with refused("NOT_REGISTERED"):
        await world.admin.request_key_digest(f"{world.integrator}-10000000000001@interop")
    with refused("USER_VISIBLE_IDENTIFIER"):
        await world.admin.request_key_digest("bob")


@pytest.mark.requirement("KEY-13")
async def test_bad_keys_come_back_with_the_code_on_which_keys_are_made_anew(world: World) -> None:
    """Malformed, badly signed, doubled and repeated keys: 406 in the status and in the outcome of an enlistment."""
    bob = await world.third_party("bob", NO_REFILL)
    known, *_ = one_time_prekeys(1, FOREIGN_ID)
    await add_prekeys(bob, known)
    twice = prekeys_pb2.OneTimePreKey(key_id=known.key_id, public_key=os.urandom(32))
    before = await digest_of(bob)
    for reason, attempt in (
        ("KEY_MALFORMED", set_prekeys(bob, key_type=b"\x06")),
        ("KEY_MALFORMED", add_prekeys(bob, prekeys_pb2.OneTimePreKey(key_id=7, public_key=bytes(31)))),
        (
            "PREKEY_SIGNATURE_INVALID",
            set_prekeys(bob, signed_prekey=signed_prekey(bob.state.signal, signature=bytes(64))),
        ),
        (
            "PREKEY_ID_DUPLICATE",
            add_prekeys(bob, twice, prekeys_pb2.OneTimePreKey(key_id=twice.key_id, public_key=b"k" * 32)),
        ),
        ("PREKEY_REUSED", add_prekeys(bob, known, *one_time_prekeys(1, FOREIGN_ID + 1))),
    ):
        with refused(reason) as caught:
            await attempt
        assert caught.value.code == 406
    assert await digest_of(bob) == before

    request = enlistment(bob.state, world.partner.issue_token("bob"), e_skey_sig=bytes(64))
    response = await bob.transport.call(
        "/interop_api.v1.EnlistmentService/Enlist", request, enlistment_pb2.EnlistResponse
    )
    assert response.failure.error.code == 406


@pytest.mark.requirement("KEY-13")
async def test_trouble_that_passes_has_the_code_on_which_a_client_waits(world: World) -> None:
    """A messenger's key server is away: 503; when it is back, the same keys are taken."""
    carol = world.device("carol")
    await world.register(base_url="http://127.0.0.1:1")
    with refused("JWKS_UNAVAILABLE") as caught:
        await carol.enlist(world.partner.issue_token("carol"))
    assert caught.value.code == 503
    await world.register()
    assert await carol.enlist(world.partner.issue_token("carol"))


def break_signed_prekey(client: InteropClient) -> int:
    """Spoils the signature of a client's signed prekey, and returns its id."""
    signal = client.state.signal
    key_id = signal.publishable.signed_prekey.key_id
    signal.signed_prekeys[key_id] = replace(signal.signed_prekeys[key_id], signature=bytes(64))
    return key_id


@pytest.mark.requirement("KEY-13")
async def test_a_client_makes_its_keys_anew_when_they_are_refused(world: World) -> None:
    """Bob's signed prekey has lost its signature: publishing and enlisting make others, and what alice writes opens."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", NO_REFILL)
    first = break_signed_prekey(bob)

    await bob.publish_prekeys(20)

    second = (await digest_of(bob)).signed_prekey_id
    assert second != first
    break_signed_prekey(bob)
    await bob.enlist(world.partner.issue_token("bob"))
    assert (await digest_of(bob)).signed_prekey_id not in (first, second)
    assert await bob.has_intact_prekeys()
    await alice.send_text(bob.jid, "Hello")
    assert (await bob.wait_for(TextReceived)).text == "Hello"


@pytest.mark.requirement("KEY-13")
async def test_prekeys_that_a_backup_would_publish_twice_are_replaced(world: World) -> None:
    """From a backup, bob adds prekeys under ids that the server has: refused, so he publishes everything anew."""
    bob = await world.third_party("bob", NO_REFILL)
    backup = bob.state.to_bytes()
    await bob.add_prekeys(5)
    await bob.close()
    restored = world.device("bob", NO_REFILL, state=ClientState.from_bytes(backup))
    await restored.connect()

    await restored.add_prekeys(5)

    assert await restored.count_prekeys() == 5
    assert await restored.has_intact_prekeys()
