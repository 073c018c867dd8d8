"""T14: somebody makes two sides agree on less than both can do: an older protocol, another handshake, weaker keys."""

import itertools
import os
from dataclasses import replace

import pytest

from interop_api.v1 import enlistment_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import PqDowngrade, TextReceived
from interop_client.signal.errors import MissingKemPreKey
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_protocol import noise
from interop_protocol.noise import InitiatorHandshake, RemoteProtocolError
from tests.e2e.conftest import World
from tests.e2e.keys.test_flows_kem import add, counted, kem_prekey, kem_world, take, withdraw
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, RawStream, enlistment, finish_request, no_trace
from tests.e2e.wire import sealed_message
from tests.threats.doors import log_in
from tests.threats.middleman import middleman
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T14"), pytest.mark.requirement("SIM-06")]

__all__ = ["kem_world"]

_ids = itertools.count(10)


@pytest.mark.requirement("ENL-15")
async def test_a_protocol_version_under_the_floor_gets_nothing(world: World, attack: Attack) -> None:
    """At both doors, and before anything else is looked at."""
    bob = await world.third_party("bob", QUIET)
    attack.tries("Enlisting and logging in with protocol version 0")
    async with no_trace(world.admin):
        login = third_party_login(bob.jid, world.partner.issue_token("bob"), LoginOptions(protocol_version=0))
        assert await log_in(world, bob.state.auth_private_key, login) == "PROTOCOL_VERSION_TOO_OLD"
        response = await bob.transport.call(
            "/interop_api.v1.EnlistmentService/Enlist",
            enlistment(ClientState.generate(), world.partner.issue_token("bob"), protocol_version=0),
            enlistment_pb2.EnlistResponse,
        )
        assert response.failure.error.requirement == "ENL-15"
    await bob.ping()
    attack.holds("PROTOCOL_VERSION_TOO_OLD at both; the user's account and connection stay as they were")


async def handshake_reason(world: World, auth_private_key: bytes, payload: bytes) -> str:
    """Shakes hands as the client's side is now, and returns the reason for which that fails."""
    initiator = InitiatorHandshake(auth_private_key, os.urandom(32))
    async with RawStream(world.endpoint.grpc) as stream:
        try:
            hello = await stream.hello(initiator)
            initiator.read_server_hello(hello.ephemeral, hello.static_key, hello.payload)
            await stream.send(finish_request(*initiator.client_finish(payload)))
            return (await stream.ending()).reason
        except (ServerRefusal, RemoteProtocolError) as error:
            return error.reason


@pytest.mark.requirement("CHN-02")
async def test_another_header_or_handshake_is_noticed_by_both_sides(
    world: World, monkeypatch: pytest.MonkeyPatch, attack: Attack
) -> None:
    """Both mix what they speak into the handshake, so whoever changes it for one of them breaks it for both."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    payload = third_party_login(bob.jid, world.partner.issue_token("bob")).SerializeToString()
    attack.tries("Handshakes under an older connection header, without one, and under other names of the protocol")
    for name, value in (
        ("PROLOGUE", bytes.fromhex("57410602")),
        ("PROLOGUE", bytes.fromhex("57410503")),
        ("PROLOGUE", b""),
        ("_PROTOCOL_NAME", b"Noise_NN_25519_AESGCM_SHA256".ljust(32, b"\0")),
        ("_PROTOCOL_NAME", b"Noise_XX_25519_AESGCM_SHA1".ljust(32, b"\0")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(noise, name, value)
            reason = await handshake_reason(world, bob.state.auth_private_key, payload)
        assert reason == "HANDSHAKE_AUTHENTICATION_FAILED", (name, value)
    await bob.connect()
    attack.holds("HANDSHAKE_AUTHENTICATION_FAILED: there is one handshake, and nothing to negotiate")


async def test_a_message_cannot_be_sent_unprotected(world: World, attack: Attack) -> None:
    """A ciphertext says what protects it; there is no kind that does not."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    attack.tries("Sending messages without a ciphertext, with one of no kind, of an unknown kind, or for a group")
    for kind, ciphertext, reason in (
        (stanza_pb2.CIPHERTEXT_TYPE_UNSPECIFIED, b"in the clear", "STANZA_MALFORMED"),
        (77, b"of another kind", "STANZA_MALFORMED"),
        (stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, b"", "STANZA_MALFORMED"),
        (stanza_pb2.CIPHERTEXT_TYPE_SENDER_KEY, b"for a group", "GROUPS_NOT_SUPPORTED"),
    ):
        message = sealed_message(alice.jid, "m", ciphertext).message
        message.enc[0].type = kind  # type: ignore[assignment]
        assert await refused(bob.send_encrypted(message)) == reason
    attack.holds("Each is refused: every message is a Signal message or a PreKeySignalMessage")


@pytest.mark.requirement("KEY-16")
async def test_post_quantum_keys_do_not_vanish_in_silence(kem_world: World, attack: Attack) -> None:
    """Somebody with a stolen session takes them away, in each way there is: who takes a bundle afterwards sees it."""
    alice, bob = await kem_world.whatsapp(options=QUIET), await kem_world.third_party("bob", QUIET)
    attack.tries("Withdrawing a user's post-quantum keys, publishing without them, and draining them")
    await add(bob, [kem_prekey(bob, 1)], kem_prekey(bob, 2))
    taken = [await take(alice, bob) for _ in range(4)]
    assert [bundle.kem_is_last_resort for bundle in taken] == [False, True, True, True]
    for downgrade in (withdraw(bob), bob.publish_prekeys(5)):
        await downgrade
        bundle = await take(await kem_world.whatsapp(options=QUIET), bob)
        assert (bundle.HasField("kem_prekey"), bundle.kem_withdrawn) == (False, True)
        await add(bob, [], kem_prekey(bob, next(_ids)))
    assert await counted(kem_world, "kem_downgrade") == 2
    attack.holds("Drained, the last-resort key stands in; taken away, every bundle says so, and it is counted")


@pytest.mark.requirement("KEY-15")
async def test_post_quantum_keys_are_the_accounts_own(kem_world: World, attack: Attack) -> None:
    """Weak, foreign or unsigned ones are not taken in the place of good ones."""
    bob, mallory = await kem_world.third_party("bob", QUIET), await kem_world.third_party("mallory", QUIET)
    attack.tries("Publishing post-quantum keys that another identity signed, that nobody did, and that are none")
    good, foreign = kem_prekey(bob, 2), kem_prekey(mallory, 1)
    for bad, reason in (
        (foreign, "PREKEY_SIGNATURE_INVALID"),
        (kem_prekey(bob, 1, signature=bytes(64)), "PREKEY_SIGNATURE_INVALID"),
        (kem_prekey(bob, 1, public_key=foreign.public_key), "PREKEY_SIGNATURE_INVALID"),
        (kem_prekey(bob, 1, public_key=bytes(32)), "KEY_MALFORMED"),
    ):
        assert await refused(add(bob, [bad], good)) == reason
        assert await refused(add(bob, [], bad)) == reason
    assert not (await take(await kem_world.whatsapp(options=QUIET), bob)).HasField("kem_prekey")
    attack.holds("Each is refused, and nothing of such a request is kept")


def without_kem(method: str, message: bytes) -> bytes:
    """Strips post-quantum keys, and every word about them, from the bundles that pass."""
    if not method.endswith("/TakePreKeyBundles"):
        return message
    response = prekeys_pb2.TakePreKeyBundlesResponse.FromString(message)
    for bundle in (bundle for result in response.results for bundle in result.bundles):
        for name in ("kem_prekey", "kem_is_last_resort", "kem_withdrawn"):
            bundle.ClearField(name)
    return response.SerializeToString()


@pytest.mark.requirement("KEY-16")
async def test_a_client_misses_post_quantum_keys_that_were_stripped_on_the_way(
    kem_world: World, attack: Attack
) -> None:
    """The server's word is stripped too: the client goes by what it has seen before."""
    alice, bob = await kem_world.whatsapp(), await kem_world.third_party("bob", ClientOptions(kem_prekeys=5))
    await alice.send_text(bob.jid, "Hello")
    await bob.wait_for(TextReceived)
    await alice.close()
    alice.state.signal.delete_session(bob.jid)
    attack.tries("Stripping the post-quantum key from a bundle on its way to a client that has seen one before")
    strict = ClientOptions(refuses_pq_downgrade=True)
    async with middleman(kem_world.endpoint.grpc, without_kem) as address:
        endpoint = replace(kem_world.endpoint, grpc=address)
        async with WhatsAppClient.direct(endpoint, alice.state, options=strict) as client:
            with pytest.raises(MissingKemPreKey):
                await client.send_text(bob.jid, "not sent")
            assert await client.wait_for(PqDowngrade) == PqDowngrade(bob.jid)
    attack.holds("The client says that it is missing, and, told to be strict, sends nothing")
