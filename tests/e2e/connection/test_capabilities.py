"""Each side names at login which optional parts it knows, and is sent nothing that needs another one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import journal_pb2
from interop_api.v1 import chat_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import CAPABILITIES, LoginOptions, third_party_login, whatsapp_login
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.messaging.events import PreKeysLow
from interop_client.options import ClientOptions
from interop_client.third_party import ThirdPartyClient
from interop_protocol.sizes import PROTOCOL_VERSION
from interop_server.core.limits import Limits
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, RawStream
from tests.e2e.wire import Wire, message_ids, sealed_message

pytestmark = pytest.mark.requirement("CHN-06")

NOTHING = LoginOptions(capabilities=())
UNKNOWN = 4_711
TAKE = "/interop_api.v1.PreKeyService/TakePreKeyBundles"


@asynccontextmanager
async def older(
    world: World, client: InteropClient, options: LoginOptions = NOTHING
) -> AsyncIterator[tuple[RawStream, stanza_pb2.LoginSuccess]]:
    """A stream of an account whose client knows only the base of the protocol, up to the preview of its backlog."""
    state = client.state
    if state.jid.endswith("@interop"):
        payload = third_party_login(state.jid, world.partner.issue_token("bob"), options)
    else:
        payload = whatsapp_login(state.jid, options)
    async with RawStream(world.endpoint.grpc) as stream:
        yield stream, await stream.log_in(state.auth_private_key, payload)


async def until_end(stream: RawStream) -> list[stanza_pb2.Stanza]:
    """Asks for the backlog and returns it, its end included."""
    await stream.send_stanzas(stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=200)))
    stanzas: list[stanza_pb2.Stanza] = []
    while not (stanzas and stanzas[-1].HasField("offline_end")):
        stanzas += await stream.receive()
    return [stanza for stanza in stanzas if not stanza.HasField("offline_preview")]


async def until_pong(stream: RawStream) -> list[stanza_pb2.Stanza]:
    """Returns what came before the answer to a ping."""
    await stream.send_stanzas(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1)))
    stanzas: list[stanza_pb2.Stanza] = []
    while not (stanzas and stanzas[-1].HasField("pong")):
        stanzas += await stream.receive()
    return stanzas[:-1]


async def test_the_server_says_what_it_knows(world: World) -> None:
    """All but post-quantum prekeys, which are off; its release; and which protocol versions it takes (ENL-15)."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    async with older(world, bob) as (_, login):
        assert set(login.capabilities) == set(CAPABILITIES) - {chat_pb2.CAPABILITY_KEM_PREKEYS}
        assert login.server_version == version("interopsim")
        assert (login.min_protocol_version, login.max_protocol_version) == (1, PROTOCOL_VERSION)


async def test_nobodys_typing_is_shown_to_a_client_that_does_not_know_it(world: World) -> None:
    """It is dropped as if the client were away; one that names typing, and numbers of tomorrow, sees it (MSG-13)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    tomorrow = chat_pb2.Capability.ValueType(UNKNOWN)
    knowing = LoginOptions(capabilities=(tomorrow, chat_pb2.CAPABILITY_TYPING))
    for options, shown in ((NOTHING, []), (knowing, ["typing"])):
        async with older(world, bob, options) as (stream, _):
            await stream.receive_kind("offline_end")
            await alice.send_typing(bob.jid)
            await alice.ping()
            assert [stanza.WhichOneof("kind") for stanza in await until_pong(stream)] == shown
    action = "stanza.typing"
    outcomes = [answer.entry.outcome async for answer in world.admin.read_journal(actor=alice.jid, action=action)]
    assert outcomes == [journal_pb2.JOURNAL_OUTCOME_DROPPED, journal_pb2.JOURNAL_OUTCOME_ACCEPTED]


@pytest.mark.requirement("MSG-10")
async def test_a_stored_notification_that_needs_more_ends_as_if_nacked(world: World) -> None:
    """In its turn, without using up what was asked for; it is counted and journalled, and does not come again."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.close()
    for number in range(2):
        await alice.send_encrypted(sealed_message(bob.jid, f"m{number}").message)
        await world.admin.request_key_digest(bob.jid)
    before = (await world.admin.get_statistics()).counted["nack_488"]
    async with older(world, bob) as (stream, _):
        preview = (await stream.receive_kind("offline_preview")).offline_preview
        assert (preview.messages, preview.notifications >= 1) == (2, True)
        *deliveries, end = await until_end(stream)
        assert message_ids(deliveries) == ["m0", "m1"] and len(deliveries) == end.offline_end.count == 2
        await world.admin.request_key_digest(bob.jid)  # also what comes while the client is there
        await alice.send_encrypted(sealed_message(bob.jid, "m2").message)
        assert (await stream.receive_kind("message")).message.id == "m2"
    withheld = preview.notifications + 1
    assert (await world.admin.get_statistics()).counted["nack_488"] >= before + withheld
    read = world.admin.read_journal(actor="server", action="stanza.nack", requirement="MSG-10")
    entries = [answer.entry async for answer in read if answer.entry.subject == bob.jid]
    assert len(entries) == withheld
    assert all("KEY_DIGESTS" in entry.detail or "TRUSTED_CONTACTS" in entry.detail for entry in entries)

    async with Wire(bob.transport) as wire:
        assert (wire.preview.messages, wire.preview.notifications) == (3, 0)


@pytest.mark.requirement("OPT-14")
async def test_a_message_request_is_a_message_to_a_client_that_does_not_know_it(world: World) -> None:
    """It comes all the same, without its state (OPT-14)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await alice.close()
    await bob.send_encrypted(sealed_message(alice.jid, "m").message)
    requested = stanza_pb2.MESSAGE_REQUEST_STATE_REQUESTED
    knowing = LoginOptions(capabilities=(chat_pb2.CAPABILITY_MESSAGE_REQUESTS,))
    for options, state in ((NOTHING, stanza_pb2.MESSAGE_REQUEST_STATE_UNSPECIFIED), (knowing, requested)):
        async with older(world, alice, options) as (stream, _):
            [delivery, _] = await until_end(stream)
            assert (delivery.message.id, delivery.message.request_state) == ("m", state)
            assert delivery.message.inbox_mode == stanza_pb2.INBOX_MODE_SEPARATE


@pytest.mark.requirement("KEY-15")
async def test_a_client_without_kem_prekeys_takes_none(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Its bundle says nothing of them, and they are left for others; the server names them when they are on."""
    async with own_world(tmp_path, signing_keys, Limits(kem_prekeys=True)) as (world, _):
        alice = await world.whatsapp(options=QUIET)
        bob = world.device("bob", ClientOptions(refill_count=0, kem_prekeys=2))
        await bob.enlist(world.partner.issue_token("bob"))
        await bob.connect()
        await bob.publish_prekeys(20)
        await bob.wait_for(PreKeysLow)  # of KEM prekeys there are few from the start
        await alice.close()
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[bob.jid])
        async with older(world, alice) as (stream, login):
            assert chat_pb2.CAPABILITY_KEM_PREKEYS in login.capabilities
            take = stream.grpc_channel.unary_unary(
                TAKE,
                request_serializer=prekeys_pb2.TakePreKeyBundlesRequest.SerializeToString,
                response_deserializer=prekeys_pb2.TakePreKeyBundlesResponse.FromString,
            )
            response = await take(request, metadata=(("authorization", f"Bearer {login.session_token}"),))
            [bundle] = response.results[0].bundles
            assert bundle.HasField("one_time_prekey") and not bundle.HasField("kem_prekey")
        await alice.connect()
        assert (await alice.take_prekey_bundle(bob.jid)).kem_prekey is not None


async def test_behind_a_proxy_it_is_the_end_client_that_names_them(world: World) -> None:
    """The proxy passes them on as they are, also numbers that it does not know itself (PRX-01)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.proxied("bob", QUIET)

    async def get_token() -> str:
        return world.partner.issue_token("bob")

    for capabilities, shown in (((UNKNOWN,), []), ((UNKNOWN, chat_pb2.CAPABILITY_TYPING), ["typing"])):
        login = ProxyLogin("bob", bob.jid, get_token, capabilities=capabilities)
        transport = ProxyTransport(world.partner.proxy_url, login, "203.0.113.9")
        world.close_later(ThirdPartyClient(transport, bob.state))
        async with Wire(transport) as wire:
            assert chat_pb2.CAPABILITY_TYPING in wire.login.capabilities
            await wire.take_until("offline_end")
            await alice.send_typing(bob.jid)
            await alice.ping()
            kinds = [stanza.WhichOneof("kind") for stanza in await wire.ping()]
            assert [kind for kind in kinds if kind == "typing"] == shown
