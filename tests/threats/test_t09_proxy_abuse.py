"""T9: a messenger's proxy does more than relay: hides its clients, shares connections, keeps them, reads along."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp
import grpc.aio
import pytest
from google.protobuf.message import Message

from interop_api.v1 import prekeys_pb2, stanza_pb2
from interop_client.connection.calls import M, unary_call
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.messaging.events import TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, WAIT_SECONDS, RawStream, hello_request
from tests.e2e.wire import sealed_message
from tests.threats.doors import log_in, message_from
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T9"), pytest.mark.requirement("SIM-06")]

PUBLIC_IP = "203.0.113.7"
CANARY = "canary-77aa in plaintext"


async def enlisted(world: World, user: str) -> ThirdPartyClient:
    """A user whose connections the test holds itself, as a proxy does."""
    client = world.device(user, QUIET)
    await client.enlist(world.partner.issue_token(user))
    return client


def proxied(world: World, client: ThirdPartyClient, user: str) -> bytes:
    """The login that a proxy makes for a user."""
    login = third_party_login(client.jid, world.partner.issue_token(user), LoginOptions(client_ip=PUBLIC_IP))
    return login.SerializeToString()


async def connected_jids(world: World) -> list[str]:
    """Who is connected, users of the world's messenger only."""
    jids = [connection.jid for connection in await world.admin.list_connections()]
    return [jid for jid in jids if jid.startswith(f"{world.integrator}-")]


@pytest.mark.requirement("PRX-01", "PRX-02")
async def test_a_proxy_cannot_hide_its_client(world: World, attack: Attack) -> None:
    """Without the client's public address, or without an agreement, there is no connection."""
    bob = await enlisted(world, "bob")
    key = bob.state.auth_private_key
    attack.tries("Connecting for a client without its address, with a private or made-up one, and without an agreement")

    async def attempt(client_ip: str) -> str:
        login = third_party_login(bob.jid, world.partner.issue_token("bob"), LoginOptions(client_ip="-"))
        login.client_ip = client_ip
        return await log_in(world, key, login)

    for address in ("", "127.0.0.1", "10.1.2.3", "fe80::1", "0.0.0.0", "::", "localhost", f"{PUBLIC_IP}:1"):
        assert await attempt(address) == "CLIENT_ADDRESS_INVALID", address
    direct = third_party_login(bob.jid, world.partner.issue_token("bob"))
    direct.client_ip = PUBLIC_IP
    assert await log_in(world, key, direct) == "LOGIN_MALFORMED"
    partner = await world.register()
    partner.proxy_allowed = False
    await world.admin.put_partner(partner)
    assert await attempt(PUBLIC_IP) == "PROXY_NOT_ALLOWED"
    assert not await connected_jids(world)
    attack.holds("CLIENT_ADDRESS_INVALID, LOGIN_MALFORMED and PROXY_NOT_ALLOWED: nothing is connected")


@pytest.mark.requirement("PRX-03")
async def test_a_proxy_cannot_share_a_connection(world: World, attack: Attack) -> None:
    """Two users behind one proxy: each needs a connection; each one's session is its own."""
    alice, bob, carol = await world.whatsapp(), await enlisted(world, "bob"), await enlisted(world, "carol")
    attack.tries("Sending a second user's messages over the first one's connection, and a second handshake on it")
    async with RawStream(world.endpoint.grpc) as stream:
        await stream.shake_hands(bob.state.auth_private_key, proxied(world, bob, "bob"))
        await stream.read_login()
        await stream.send_stanzas(stanza_pb2.Stanza(message=message_from(carol.jid, alice.jid)))
        acks = (await stream.receive_kind("send_acks")).send_acks.acks
        assert [ack.error.requirement for ack in acks] == ["PRX-03"]
        receipt = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_DELIVERED, to_jid=alice.jid, message_ids=["m"])
        receipt.from_jid = carol.jid
        await stream.send_stanzas(stanza_pb2.Stanza(receipt=receipt))
        assert (await stream.receive_kind("stanza_refused")).stanza_refused.error.requirement == "PRX-03"
        await stream.send(hello_request(bytes(range(32))))
        await stream.check_ends("HANDSHAKE_OUT_OF_ORDER")
    attack.holds("CONNECTION_MULTIPLEXED for messages and receipts; a second handshake ends the stream")


@pytest.mark.requirement("PRX-04")
async def test_a_connection_ends_with_its_client(world: World, attack: Attack) -> None:
    """The proxy says that the client has closed, and goes on: in the same frame, after it, with the session token."""
    alice, bob = await world.whatsapp(), await enlisted(world, "bob")
    attack.tries("Sending, reading and calling on after the client has closed, to collect messages while it is away")
    async with RawStream(world.endpoint.grpc) as stream:
        await stream.shake_hands(bob.state.auth_private_key, proxied(world, bob, "bob"))
        session_token = (await stream.read_login()).session_token
        closed = stanza_pb2.Stanza(client_closed=stanza_pb2.ClientClosed())
        await stream.send_stanzas(closed, sealed_message(alice.jid, "too-late"))
        assert (await stream.ending()).reason == "OK"
    await alice.send_encrypted(sealed_message(bob.jid, "while-away").message)
    assert not await connected_jids(world)
    request = prekeys_pb2.CountOneTimePreKeysRequest()
    metadata = (("authorization", f"Bearer {session_token}"),)
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        method = "/interop_api.v1.PreKeyService/CountOneTimePreKeys"
        call = unary_call(channel, method, request, prekeys_pb2.CountOneTimePreKeysResponse, metadata)
        assert await refused(call) == "SESSION_DEAD"
    await alice.close()
    async with RawStream(world.endpoint.grpc) as stream:
        await stream.shake_hands(bob.state.auth_private_key, proxied(world, bob, "bob"))
        await stream.read_login()
        assert (await stream.receive_kind("offline_preview")).offline_preview.messages == 1
    attack.holds("The server ends stream and session at once; messages wait at WhatsApp; what is sent after it is lost")


class Glass(ProxyTransport):
    """A client behind the real proxy; what the proxy can see in the clear is kept."""

    seen: bytes = b""

    async def send(self, *stanzas: stanza_pb2.Stanza) -> None:
        self._see(*stanzas)
        await super().send(*stanzas)

    async def receive(self) -> AsyncIterator[Sequence[stanza_pb2.Stanza]]:
        async for stanzas in super().receive():
            self._see(*stanzas)
            yield stanzas

    async def call(self, method: str, request: Message, response_type: type[M]) -> M:
        response = await super().call(method, request, response_type)
        self._see(request, response)
        return response

    def _see(self, *messages: Message) -> None:
        self.seen += b"".join(message.SerializeToString() for message in messages)


@pytest.mark.requirement("PRX-06")
async def test_a_proxy_reads_nothing(world: World, attack: Attack) -> None:
    """The real proxy, looked at from inside: every stanza and call that passes through it in the clear."""
    alice = await world.whatsapp()
    state = ClientState.generate()

    async def get_token() -> str:
        return world.partner.issue_token("bob")

    attack.tries("Reading along at the proxy: searching all stanzas and calls that pass for what people wrote")
    url = f"{world.partner.base_url}/proxy/authkey"
    async with aiohttp.ClientSession() as http, http.get(url, params={"user": "bob"}) as response:
        auth_key = bytes.fromhex((await response.json())["public_key"])
    enlisting = ThirdPartyClient(Glass(world.partner.proxy_url, ProxyLogin("bob", "", get_token)), state)
    jid = await enlisting.enlist_over_http(world.endpoint.http, world.partner.issue_token("bob"), auth_key)
    glass = Glass(world.partner.proxy_url, ProxyLogin("bob", jid, get_token), PUBLIC_IP)
    async with ThirdPartyClient(glass, state) as bob:
        await bob.publish_prekeys(20)
        await bob.send_text(alice.jid, CANARY)
        assert (await alice.wait_for(TextReceived, WAIT_SECONDS)).text == CANARY
        await alice.send_text(jid, CANARY)
        assert (await bob.wait_for(TextReceived, WAIT_SECONDS)).text == CANARY
    assert len(glass.seen) > 500
    assert CANARY.encode() not in glass.seen
    assert state.auth_private_key not in glass.seen
    async with asyncio.timeout(WAIT_SECONDS):
        while jid in await connected_jids(world):
            pass
    attack.holds("What people wrote is not in what the proxy sees; and its connection goes as soon as the client does")
