"""T27: keys that protect nothing: of low order, zero, or one key in two encodings."""

import grpc.aio
import pytest

from interop_api.v1 import enlistment_pb2, prekeys_pb2
from interop_client.connection.calls import unary_call
from interop_client.errors import refusal_from_stanza_error
from interop_client.state import ClientState
from tests.e2e.conftest import World
from tests.e2e.keys.test_refusals_keys import call, set_prekeys
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, RawStream, check, enlistment, hello_request, signed_prekey
from tests.threats.report import Attack
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL, with_top_bit

pytestmark = [pytest.mark.threat("T27"), pytest.mark.requirement("SIM-06")]

WEAK = [*LOW_ORDER, *NOT_CANONICAL]


def added(*keys: bytes, first_id: int = 9_000) -> prekeys_pb2.AddOneTimePreKeysRequest:
    """A request that adds keys."""
    return prekeys_pb2.AddOneTimePreKeysRequest(
        one_time_prekeys=[
            prekeys_pb2.OneTimePreKey(key_id=key_id, public_key=key) for key_id, key in enumerate(keys, first_id)
        ]
    )


async def enlist(world: World, token: str, field: str, key: bytes) -> str:
    """Enlists with one bad key; returns the reason of the refusal, empty when the form is taken."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        form = enlistment(ClientState.generate(), token, **{field: key})
        response = await unary_call(
            channel, "/interop_api.v1.EnlistmentService/Enlist", form, enlistment_pb2.EnlistResponse
        )
    return refusal_from_stanza_error(response.failure.error).reason if response.HasField("failure") else ""


@pytest.mark.requirement("KEY-02", "ENL-10")
async def test_a_weak_key_comes_in_nowhere(world: World, attack: Attack) -> None:
    """In every field of every call that takes a key; nothing changes."""
    bob = await world.third_party("bob", QUIET)
    before = await world.stored()
    attack.tries(f"Enlisting and publishing with {len(WEAK)} keys of low order, zero or not canonical, in each field")
    for key in WEAK:
        for field in ("authkey", "e_ident", "e_skey_val"):
            assert await enlist(world, world.partner.issue_token("mallory"), field, key) == "KEY_MALFORMED", key.hex()
        one_time = [prekeys_pb2.OneTimePreKey(key_id=9_000, public_key=key)]
        signed = signed_prekey(bob.state.signal, public_key=key)
        for method, request in (
            ("SetPreKeys", set_prekeys(bob, identity_key=key)),
            ("SetPreKeys", set_prekeys(bob, signed_prekey=signed)),
            ("SetPreKeys", set_prekeys(bob, one_time_prekeys=one_time)),
            ("AddOneTimePreKeys", added(key)),
            ("RotateSignedPreKey", prekeys_pb2.RotateSignedPreKeyRequest(signed_prekey=signed)),
        ):
            assert await refused(call(bob, method, request)) == "KEY_MALFORMED", (method, key.hex())
        reason = await refused(world.admin.put_whatsapp_user("+4915155512345", key))
        assert reason == "KEY_MALFORMED", key.hex()
    assert await world.stored() == before
    attack.holds("KEY_MALFORMED for each of them in each field, and nothing is stored")


@pytest.mark.requirement("CHN-03")
async def test_a_handshake_ends_at_a_weak_key(world: World, attack: Attack) -> None:
    """Before a secret is made that everybody knows."""
    attack.tries("Beginning a handshake with each of these keys, with and without the top bit")
    for key in (*WEAK, *map(with_top_bit, LOW_ORDER)):
        async with RawStream(world.endpoint.grpc) as stream:
            await stream.send(hello_request(key))
            check(await stream.ending(), "HANDSHAKE_MALFORMED")
    attack.holds("HANDSHAKE_MALFORMED for each, before the server says anything")


@pytest.mark.requirement("KEY-04")
async def test_a_key_is_not_published_twice_by_its_top_bit(world: World, attack: Attack) -> None:
    """Neither in one list nor in two, and not after the first was taken."""
    bob, key = await world.third_party("bob", QUIET), ClientState.generate().auth_public_key
    attack.tries("Publishing one key twice, the second time with its top bit set")
    assert await refused(call(bob, "AddOneTimePreKeys", added(key, with_top_bit(key)))) == "PREKEY_REUSED"
    await call(bob, "AddOneTimePreKeys", added(key))
    twin = added(with_top_bit(key), first_id=9_500)
    assert await refused(call(bob, "AddOneTimePreKeys", twin)) == "PREKEY_REUSED"
    await call(bob, "DeleteOneTimePreKeys", prekeys_pb2.DeleteOneTimePreKeysRequest(key_ids=[9_000]))
    assert await refused(call(bob, "AddOneTimePreKeys", twin)) == "PREKEY_REUSED"
    attack.holds("PREKEY_REUSED: it is the same key")
