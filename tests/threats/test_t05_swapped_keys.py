"""T5: whoever runs or reaches the server, or the messenger's own, puts keys of their own in the place of people's."""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from interop_api.v1 import chat_pb2, prekeys_pb2
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import IdentityChanged, TextReceived
from interop_client.signal import SignalError, UntrustedIdentity
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import simulator
from interop_protocol.certificates import CertificateError
from interop_protocol.noise import RemoteProtocolError
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import flipped
from tests.threats.middleman import Change, middleman
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T5"), pytest.mark.requirement("SIM-06")]

TAKE = "/interop_api.v1.PreKeyService/TakePreKeyBundles"
CONNECT = "/interop_api.v1.ChatService/Connect"


async def alice_through(world: World, stack: AsyncExitStack, change: Change) -> WhatsAppClient:
    """A WhatsApp user, opted in, whose connection leads through somebody who changes what comes back."""
    alice = await world.whatsapp()
    await alice.close()
    address = await stack.enter_async_context(middleman(world.endpoint.grpc, change))
    return await stack.enter_async_context(WhatsAppClient.direct(replace(world.endpoint, grpc=address), alice.state))


def swapped_bundle(keys: ClientState, *, whole: bool) -> Change:
    """Puts an attacker's signed prekey, or a whole good bundle of theirs, into every bundle that passes."""
    theirs = keys.signal.publishable

    def change(method: str, message: bytes) -> bytes:
        if method != TAKE:
            return message
        response = prekeys_pb2.TakePreKeyBundlesResponse.FromString(message)
        for result in response.results:
            [bundle] = result.bundles
            bundle.signed_prekey.public_key = theirs.signed_prekey.public_key
            if whole:
                bundle.identity_key = theirs.identity_key
                bundle.signed_prekey.signature = theirs.signed_prekey.signature
        return response.SerializeToString()

    return change


async def test_a_swapped_prekey_is_not_used(world: World, attack: Attack) -> None:
    """It is not signed by the identity key beside it, and clients check that."""
    bob = await world.third_party("bob")
    attack.tries("Changing the signed prekey in a bundle on its way to a client")
    async with AsyncExitStack() as stack:
        alice = await alice_through(world, stack, swapped_bundle(ClientState.generate(), whole=False))
        with pytest.raises(SignalError):
            await alice.send_text(bob.jid, "secret")
        assert not alice.state.signal.has_session(bob.jid)
    attack.holds("The client refuses the bundle, because its signature does not verify, and sends nothing")


async def test_a_swapped_identity_is_not_used_in_place_of_a_known_one(world: World, attack: Attack) -> None:
    """A whole good bundle of the attacker's, for somebody with whom Alice has talked before."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await alice.send_text(bob.jid, "Hello")
    await bob.wait_for(TextReceived)
    await alice.close()
    attack.tries("Giving a client a whole bundle of the attacker's, in order, for somebody it has talked with before")
    change = swapped_bundle(ClientState.generate(), whole=True)
    async with middleman(world.endpoint.grpc, change) as address:
        client = WhatsAppClient.direct(replace(world.endpoint, grpc=address), alice.state)
        async with client:
            bundle = await client.take_prekey_bundle(bob.jid)
            with pytest.raises(UntrustedIdentity):
                client.state.signal.process_bundle(bob.jid, bundle)
    attack.holds("The client has pinned the identity key and stops; at a first contact only comparing keys would tell")


@pytest.mark.requirement("KEY-17")
async def test_a_messengers_server_cannot_swap_its_users_keys_in_secret(world: World, attack: Attack) -> None:
    """It signs the tokens, so it can enlist other keys for Bob. Everybody who knows Bob is told."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    carol = await world.whatsapp()
    for peer in (alice, carol):
        await peer.send_text(bob.jid, "Hello")
        await bob.wait_for(TextReceived)
    attack.tries("Enlisting keys of the messenger's own in the name of its user, three times over")
    for _ in range(3):
        fake = world.device("bob")
        assert await fake.enlist(world.partner.issue_token("bob")) == bob.jid
        for peer in (alice, carol):
            assert await peer.wait_for(IdentityChanged) == IdentityChanged(bob.jid)
            assert not peer.state.signal.has_session(bob.jid)
    attack.holds("Every peer is told of each change before anything goes to the new keys, and drops its session")


@pytest.mark.requirement("ENL-10", "ENL-13")
async def test_keys_that_are_not_ones_own_are_not_taken_from_an_account(world: World, attack: Attack) -> None:
    """A thief of a session token cannot publish another identity, nor a prekey that it did not sign."""
    bob, mallory = await world.third_party("bob"), ClientState.generate().signal.publishable
    own = bob.state.signal.publishable
    attack.tries("Publishing another identity key, or a prekey signed by another, with a stolen session token")

    async def publish(identity_key: bytes, public_key: bytes, signature: bytes) -> str:
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=own.registration_id,
            key_type=b"\x05",
            identity_key=identity_key,
            signed_prekey=prekeys_pb2.SignedPreKey(key_id=1, public_key=public_key, signature=signature),
        )
        method = "/interop_api.v1.PreKeyService/SetPreKeys"
        return await refused(bob.transport.call(method, request, prekeys_pb2.SetPreKeysResponse))

    theirs = mallory.signed_prekey
    assert await publish(mallory.identity_key, theirs.public_key, theirs.signature) == "IDENTITY_KEY_MISMATCH"
    assert await publish(own.identity_key, theirs.public_key, theirs.signature) == "PREKEY_SIGNATURE_INVALID"
    assert await bob.has_intact_prekeys()
    attack.holds("The server refuses both: only a new enlistment changes an identity, and that is told to all peers")


@pytest.mark.requirement("CHN-04")
async def test_another_server_is_recognised(world: World, tmp_path: Path, attack: Attack) -> None:
    """A second server, complete and running, but certified by another root; and a changed handshake."""
    alice = await world.whatsapp()
    await alice.close()
    attack.tries("Passing off another server for the real one, and changing single bits of the server's handshake")
    async with simulator(tmp_path / "impostor.log") as impostor:
        client = WhatsAppClient.direct(replace(world.endpoint, grpc=str(impostor.ready["grpc"])), alice.state)
        with pytest.raises(CertificateError):
            await client.connect()
        await client.close()
    for part in ("ephemeral", "static", "payload"):
        async with middleman(world.endpoint.grpc, flipped_hello(part)) as address:
            client = WhatsAppClient.direct(replace(world.endpoint, grpc=address), alice.state)
            with pytest.raises((RemoteProtocolError, ServerRefusal)):
                await client.connect()
            await client.close()
    await alice.connect()
    attack.holds(
        "The client checks the certificate chain up to its root, and every bit of the handshake, and never logs in"
    )


def flipped_hello(part: str) -> Change:
    """Changes one bit of a part of the server's hello."""

    def change(method: str, message: bytes) -> bytes:
        response = chat_pb2.ConnectResponse.FromString(message)
        if method != CONNECT or not response.handshake.HasField("server_hello"):
            return message
        hello = response.handshake.server_hello
        setattr(hello, part, flipped(getattr(hello, part), 7))
        return response.SerializeToString()

    return change
