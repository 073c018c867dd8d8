"""A server that lies about keys and about itself: what a client sees of each lie, and what is kept."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop_api.v1 import prekeys_pb2
from interop_client.client import InteropClient
from interop_client.errors import ConnectionEnded, LoginRefused, ServerRefusal
from interop_client.messaging.events import ReceiptReceived, TextReceived
from interop_client.signal import SignalError, UntrustedIdentity
from interop_client.state import ClientState
from interop_protocol.certificates import CertificateError
from interopsim import Simulator
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.operator.faults import counts, fault, ordered, until_held
from tests.e2e.raw import QUIET

SERVICE = "PreKeyService"
TAKE, CONNECT = f"{SERVICE}.TakePreKeyBundles", "ChatService.Connect"
THEIRS = ClientState.generate().signal.publishable


def replaced(**values: bytes | None) -> dict[str, Any]:
    """The action that replaces parts; None leaves a part out, or turns a bit over."""
    parts = [
        {"part": part} if value is None else {"part": part, "value": value.hex()} for part, value in values.items()
    ]
    return {"replacements": parts}


async def take(taker: InteropClient, *jids: str) -> list[prekeys_pb2.PreKeyBundle]:
    """Takes bundles as they come."""
    response = await taker.transport.call(
        f"/interop_api.v1.{SERVICE}/TakePreKeyBundles",
        prekeys_pb2.TakePreKeyBundlesRequest(jids=jids),
        prekeys_pb2.TakePreKeyBundlesResponse,
    )
    return [bundle for result in response.results for bundle in result.bundles]


Read = Callable[[prekeys_pb2.PreKeyBundle], bytes]
PARTS: list[tuple[str, Read]] = [
    ("identity_key", lambda bundle: bundle.identity_key),
    ("signed_prekey", lambda bundle: bundle.signed_prekey.public_key),
    ("signed_prekey_signature", lambda bundle: bundle.signed_prekey.signature),
    ("one_time_prekey", lambda bundle: bundle.one_time_prekey.public_key),
]


@pytest.mark.parametrize(("part", "read"), PARTS, ids=[part for part, _ in PARTS])
async def test_a_part_of_a_bundle_is_replaced(world: World, part: str, read: Read) -> None:
    """By what the fault says, or damaged, or left out; only of the peer who is named, and only this part."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    eve = await world.third_party("eve", QUIET)
    [honest] = await take(alice, bob.jid)
    match = {"call": TAKE, "actor": alice.jid, "peer": bob.jid}
    async with ordered(world.admin, fault("other", match, replace_keys=replaced(**{part: bytes(32)}))):
        bobs, eves = await take(alice, bob.jid, eve.jid)
    assert read(bobs) == bytes(32) != read(eves)
    async with ordered(world.admin, fault("damaged", match, replace_keys=replaced(**{part: None}))):
        [damaged] = await take(alice, bob.jid)
    if part == "one_time_prekey":
        assert not damaged.HasField("one_time_prekey")
    else:
        assert read(damaged) == bytes((read(honest)[0] ^ 1, *read(honest)[1:]))
    for other, look in PARTS:
        if other not in (part, "one_time_prekey"):
            assert look(damaged) == look(bobs) == look(honest)
    [again] = await take(alice, bob.jid)
    assert read(again) == read(honest) or part == "one_time_prekey"
    assert await bob.count_prekeys() == 16 and await bob.has_intact_prekeys()


async def test_a_kem_prekey_is_stripped(world: World) -> None:
    """As it would be by a server that wants clients to do without."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    match = {"call": TAKE, "actor": alice.jid}
    async with ordered(world.admin, fault("classic", match, replace_keys=replaced(kem_prekey=None))):
        [bundle] = await take(alice, bob.jid)
        assert not bundle.HasField("kem_prekey") and bundle.HasField("one_time_prekey")
        assert (await counts(world.admin, "classic"))[1] == 1


async def test_a_client_notices_a_signature_that_does_not_verify(world: World) -> None:
    """It sends nothing, and what it wanted to say arrives once the server is honest."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    match = {"call": TAKE, "actor": alice.jid}
    async with ordered(world.admin, fault("unsigned", match, replace_keys=replaced(signed_prekey_signature=None))):
        with pytest.raises(SignalError):
            await alice.send_text(bob.jid, "secret")
    await alice.send_text(bob.jid, "secret")
    assert (await bob.wait_for(TextReceived)).text == "secret"


async def test_a_client_notices_the_bundle_of_somebody_else(world: World) -> None:
    """A whole good bundle of another's, for somebody with whom it has talked: the identity is not the one it knows."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await alice.send_text(bob.jid, "Hello")
    await bob.wait_for(TextReceived)
    theirs = replaced(
        identity_key=THEIRS.identity_key,
        signed_prekey=THEIRS.signed_prekey.public_key,
        signed_prekey_signature=THEIRS.signed_prekey.signature,
        one_time_prekey=None,
    )
    match = {"call": TAKE, "actor": alice.jid, "peer": bob.jid}
    async with ordered(world.admin, fault("impostor", match, replace_keys=theirs)):
        bundle = await alice.take_prekey_bundle(bob.jid)
        with pytest.raises(UntrustedIdentity):
            alice.state.signal.process_bundle(bob.jid, bundle)


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        ("WRONG_ROOT", "WRONG_ROOT"),
        ("WRONG_LEAF", "WRONG_LEAF_KEY"),
        ("EXPIRED", "EXPIRED"),
        ("REPLAYED", "WRONG_LEAF_KEY"),
    ],
)
async def test_a_client_is_shown_certificates_that_prove_nothing(world: World, chain: str, reason: str) -> None:
    """It leaves before it has said who it is, and gets in at the next attempt."""
    alice = await world.whatsapp_device(QUIET)
    shown = fault("shown", {"call": CONNECT}, present_certificates={"chain": chain}, times=1)
    async with ordered(world.admin, shown):
        with pytest.raises(CertificateError) as caught:
            await alice.connect()
        assert caught.value.reason == reason
        assert alice.jid not in [connection.jid for connection in await world.admin.list_connections()]
        await alice.connect()
        assert await counts(world.admin, "shown") == (2, 1, 0)


async def test_certificates_have_expired_by_every_clock(tmp_path: Path) -> None:
    """Also where the simulator's has moved on by days: a client goes by the machine's."""
    async with Simulator() as sim:
        await sim.admin.advance_clock(30 * 86_400_000)
        async with open_world(sim.endpoint, SigningKeys(), tmp_path) as world:
            alice = await world.whatsapp_device(QUIET)
            shown = fault("shown", {"call": CONNECT}, present_certificates={"chain": "EXPIRED"}, times=1)
            async with ordered(world.admin, shown):
                with pytest.raises(CertificateError) as caught:
                    await alice.connect()
    assert caught.value.reason == "EXPIRED"


async def test_a_login_is_refused(world: World) -> None:
    """In the channel, with the code of its reason and the delay of the fault; the account is as it was."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    refuse = {"reason": "SERVER_DRAINING", "retry_after_ms": 5}
    async with ordered(world.admin, fault("closed", {"call": CONNECT, "actor": bob.jid}, refuse=refuse, times=1)):
        with pytest.raises(LoginRefused) as caught:
            await bob.connect()
        assert (caught.value.reason, caught.value.code) == ("SERVER_DRAINING", 503)
        await bob.connect()
    assert await bob.count_prekeys() == 20


@pytest.mark.parametrize(("ending", "reason"), [("CLEAN", "OK"), ("RESET", "UNAVAILABLE")])
async def test_a_stream_ends_before_the_login_has_an_outcome(world: World, ending: str, reason: str) -> None:
    """The client cannot know what became of it, and comes again."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    match = {"call": CONNECT, "actor": bob.jid}
    async with ordered(world.admin, fault("ended", match, close={"ending": ending}, times=1)):
        with pytest.raises((ConnectionEnded, ServerRefusal)) as caught:
            await bob.connect()
        assert caught.value.reason == reason
        await bob.connect()
    await bob.ping()


async def test_a_login_is_held(world: World) -> None:
    """Nobody is connected until it is released."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    async with ordered(world.admin, fault("held", {"call": CONNECT, "actor": bob.jid, "mode": "DIRECT"}, hold={})):
        connecting = asyncio.create_task(bob.connect())
        await until_held(world.admin, "held")
        assert bob.jid not in [connection.jid for connection in await world.admin.list_connections()]
        await world.admin.release_fault("held")
        await connecting


async def test_only_the_connection_mode_that_is_named_is_met(world: World) -> None:
    """A proxied client meets what a direct one does not, in its logins, calls and stanzas."""
    direct, proxied = await world.third_party("ada", QUIET), await world.proxied("bob", QUIET)
    rules = [
        fault("login", {"call": CONNECT, "mode": "PROXY", "integrator": world.integrator}, delay={"delay_ms": 1}),
        fault("call", {"call": f"{SERVICE}.SetPreKeys", "mode": "PROXY", "integrator": world.integrator}, hold={}),
    ]
    async with ordered(world.admin, *rules):
        await proxied.connect()
        await direct.publish_prekeys(5)
        publishing = asyncio.create_task(proxied.publish_prekeys(5))
        await until_held(world.admin, "call")
        await world.admin.release_fault("call")
        await publishing
        assert [(await counts(world.admin, name))[:2] for name in ("login", "call")] == [(1, 1), (1, 1)]


async def test_a_made_up_receipt_is_told_by_the_sdk(world: World) -> None:
    """No client can see from a receipt alone that its server made it up; it acks it and goes on."""
    alice, bob = await world.whatsapp(), await world.third_party("bob", QUIET)
    match = {"stanza": "message", "direction": "to_server", "actor": alice.jid}
    async with ordered(world.admin, fault("liar", match, forge_receipt={"type": "READ"}, times=1)):
        sent = await alice.send_text(bob.jid, "unread")
        receipt = await alice.wait_for(lambda event: isinstance(event, ReceiptReceived) and event.is_read)
        assert isinstance(receipt, ReceiptReceived) and sent.id in receipt.message_ids
    assert (await bob.wait_for(TextReceived)).text == "unread"
