"""A client behind the proxy, the real simulator behind that: what goes through, and how it ends (PRX-01 to PRX-06)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import SHUT_RDWR
from typing import TypeVar

import aiohttp
import pytest

from interop_admin.client import AdminClient
from interop_api.v1 import chat_pb2, interop_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import ClientOptions
from interop_client.connection.proxy_frames import BatchFrame, Ended, Hello, RequestFrame, ResponseFrame, decode_frame
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ConnectionEnded, LoginRefused, ServerRefusal
from interop_client.messaging.events import ConnectionLost, ReceiptReceived, TextReceived
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_client.whatsapp import WhatsAppClient
from interop_protocol.endpoint import Endpoint
from interop_server.app import Simulator
from interop_server.config import Config
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.registration import registration

BATS = 100
BOB = "bob@bats.example"
ALICE_PHONE = "+33600000001"
PUBLIC_IP = "203.0.113.7"
C = TypeVar("C", ThirdPartyClient, WhatsAppClient)
CANARY = "canary-7f3a91 in plaintext"
NO_REFILL = ClientOptions(refill_count=0)
COUNT_PREKEYS = "/interop_api.v1.PreKeyService/CountOneTimePreKeys"
RESOLVE = "/interop_api.v1.InteropService/Resolve"


@dataclass
class World:
    """A simulator, a messenger with a proxy, and the people in it."""

    partner: PartnerServer
    endpoint: Endpoint
    admin: AdminClient
    http: aiohttp.ClientSession
    clients: AsyncExitStack

    async def put_partner(self, *, proxy_allowed: bool = True) -> None:
        registered = registration(self.partner, BATS, "Bats", proxy_allowed=proxy_allowed)
        registered.identifier_type = interop_pb2.IDENTIFIER_TYPE_EMAIL
        assert await self.admin.put_partner(registered) == 1

    async def bob(self, client_ip: str = PUBLIC_IP) -> ThirdPartyClient:
        """Bob, enlisted with the auth key that his messenger's proxy holds; not connected."""
        state = ClientState.generate()
        async with self.http.get(f"{self.partner.base_url}/proxy/authkey", params={"user": BOB}) as response:
            auth_key = bytes.fromhex((await response.json())["public_key"])
        enlisting = ThirdPartyClient(self.transport("", client_ip), state)
        jid = await enlisting.enlist_over_http(self.endpoint.http, self.partner.issue_token(BOB), auth_key)
        return self.until_the_end(ThirdPartyClient(self.transport(jid, client_ip), state, options=NO_REFILL))

    def transport(self, jid: str, client_ip: str = PUBLIC_IP) -> ProxyTransport:
        async def get_token() -> str:
            async with self.http.post(f"{self.partner.base_url}/tokens", json={"user": BOB}) as response:
                token: str = (await response.json())["token"]
                return token

        return ProxyTransport(self.partner.proxy_url, ProxyLogin(BOB, jid, get_token), client_ip)

    async def alice(self) -> WhatsAppClient:
        """Alice, a WhatsApp user who is connected and writes with users of the messenger."""
        state = ClientState.generate()
        state.jid = await self.admin.put_whatsapp_user(ALICE_PHONE, state.auth_public_key)
        alice = self.until_the_end(WhatsAppClient.direct(self.endpoint, state))
        await alice.connect()
        await alice.publish_prekeys()
        await alice.accept_terms()
        await alice.opt_in([BATS])
        return alice

    def until_the_end(self, client: C) -> C:
        self.clients.push_async_callback(client.close)
        return client

    async def socket_of(self, bob: ThirdPartyClient) -> aiohttp.ClientWebSocketResponse:
        """Bob's WebSocket without a client's library around it, logged in."""
        socket = await self.http.ws_connect(self.partner.proxy_url, headers={"Forwarded": f"for={PUBLIC_IP}"})
        await socket.send_str(Hello(BOB, self.partner.issue_token(BOB), bob.jid).encode())
        await socket.receive_bytes()
        return socket

    async def wait_until_only(self, *jids: str) -> None:
        """Waits until exactly these people are connected to the simulator."""
        async with asyncio.timeout(10):
            while [connection.jid for connection in await self.admin.list_connections()] != sorted(jids):
                pass


@pytest.fixture
async def world(tmp_path: Path, keys: SigningKeys) -> AsyncIterator[World]:
    simulator = Simulator(Config("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", grace_seconds=0.1))
    addresses = await simulator.start()
    try:
        endpoint = Endpoint(addresses.grpc, addresses.root_public_key, addresses.http, addresses.admin)
        async with (
            PartnerServer(PartnerSettings(tmp_path, endpoint=endpoint), keys) as partner,
            AdminClient(addresses.admin) as admin,
            aiohttp.ClientSession() as http,
            AsyncExitStack() as clients,
        ):
            world = World(partner, endpoint, admin, http, clients)
            await world.put_partner()
            yield world
    finally:
        await simulator.stop()


@pytest.mark.requirement("PRX-01", "KEY-15")
async def test_the_longest_request_goes_through_the_proxy(world: World) -> None:
    """A list of keys under 16 MiB: it is WhatsApp that answers, and the connection goes on."""
    bob = await world.bob()
    await bob.connect()
    request = prekeys_pb2.AddKemPreKeysRequest(request_id="x" * ((16 << 20) - 1_024))
    method = "/interop_api.v1.PreKeyService/AddKemPreKeys"
    with pytest.raises(ServerRefusal) as refused:
        await bob.transport.call(method, request, prekeys_pb2.AddKemPreKeysResponse)
    assert (refused.value.reason, refused.value.requirement) == ("REQUEST_MALFORMED", "SIM-06")
    await bob.ping()


@pytest.mark.requirement("PRX-06")
async def test_two_people_talk_through_the_proxy(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """PRX-06: messages and receipts go both ways, and the proxy neither keeps nor logs what they say."""
    caplog.set_level("DEBUG")
    alice, bob = await world.alice(), await world.bob()
    await bob.connect()
    await bob.publish_prekeys()

    sent = await bob.send_text(alice.jid, CANARY)
    assert (await alice.wait_for(TextReceived)).text == CANARY
    assert (await bob.wait_for(ReceiptReceived)).message_ids == (sent.id,)
    await alice.send_text(bob.jid, CANARY)
    assert (await bob.wait_for(TextReceived)).text == CANARY

    assert CANARY not in caplog.text
    assert not await asyncio.to_thread(_files_with, tmp_path, CANARY.encode())


@pytest.mark.requirement("PRX-01", "PRX-02", "PRX-05")
async def test_whatsapp_learns_the_mode_and_the_address_of_the_client(world: World) -> None:
    """PRX-01, PRX-02, PRX-05."""
    bob = await world.bob()
    await bob.connect()

    [connection] = await world.admin.list_connections()
    assert (connection.jid, connection.client_ip) == (bob.jid, PUBLIC_IP)
    assert connection.mode == chat_pb2.CONNECTION_MODE_PROXY
    assert not connection.connection_signals_available


async def test_an_ipv6_address_goes_through(world: World) -> None:
    bob = await world.bob(client_ip="2a00:1450:4007::1")
    await bob.connect()
    [connection] = await world.admin.list_connections()
    assert connection.client_ip == "2a00:1450:4007::1"


async def test_many_messages_keep_their_order(world: World) -> None:
    """Batches are packed anew on the way; nothing is lost, doubled or overtaken."""
    alice, bob = await world.alice(), await world.bob()
    await bob.connect()
    texts = [f"number {number}" for number in range(300)]

    await asyncio.gather(*(bob.send_text(alice.jid, text) for text in texts))

    assert [(await alice.wait_for(TextReceived)).text for _ in texts] == texts


@pytest.mark.requirement("PRX-04")
async def test_a_client_that_closes_takes_its_connection_with_it_and_is_pushed(world: World) -> None:
    """PRX-04, then LIF-01: with it gone, the next message makes WhatsApp push, with a token that verifies."""
    alice, bob = await world.alice(), await world.bob()
    await bob.connect()
    await bob.publish_prekeys()

    await bob.close()
    await world.wait_until_only(alice.jid)
    await alice.send_text(bob.jid, "while you were away")

    assert json.loads((await world.partner.wait_for_push(BOB, timeout=10)).body) == {"to": BOB}
    await bob.connect()
    assert (await bob.wait_for(TextReceived)).text == "while you were away"


@pytest.mark.requirement("PRX-04")
async def test_a_client_that_vanishes_takes_its_connection_with_it(world: World) -> None:
    """PRX-04: without a close frame, as when a phone loses its network."""
    bob = await world.bob()
    socket = await world.socket_of(bob)
    await world.wait_until_only(bob.jid)

    socket.get_extra_info("socket").shutdown(SHUT_RDWR)

    await world.wait_until_only()
    await socket.close()


async def test_an_address_that_is_not_public_is_refused_by_whatsapp(world: World) -> None:
    """PRX-02: without `Forwarded`, the proxy passes on what it sees: here a loopback address."""
    bob = await world.bob(client_ip="")
    with pytest.raises(LoginRefused) as caught:
        await bob.connect()
    assert (caught.value.reason, caught.value.code, caught.value.requirement) == (
        "CLIENT_ADDRESS_INVALID",
        400,
        "PRX-02",
    )


async def test_a_partner_whose_agreement_has_no_proxy_is_refused(world: World) -> None:
    """PRX-01."""
    bob = await world.bob()
    await world.put_partner(proxy_allowed=False)
    with pytest.raises(LoginRefused) as caught:
        await bob.connect()
    assert (caught.value.reason, caught.value.code) == ("PROXY_NOT_ALLOWED", 403)
    assert caught.value.request_id


async def test_a_second_login_replaces_the_first_and_says_so(world: World) -> None:
    """PRX-03, CHN-11: one connection per user; the reason reaches the client through the proxy."""
    first = await world.bob()
    await first.connect()
    second = world.until_the_end(ThirdPartyClient(world.transport(first.jid), first.state, options=NO_REFILL))
    await second.connect()

    assert (await first.wait_for(ConnectionLost)).reason == "CONNECTION_REPLACED"
    with pytest.raises(ServerRefusal) as caught:
        await first.count_prekeys()
    assert caught.value.reason == "SESSION_DEAD"
    with pytest.raises(ConnectionEnded):
        await first.transport.send(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=1)))
    assert await second.count_prekeys() == 0


async def test_a_refused_call_keeps_its_reason(world: World) -> None:
    """The server's explanation comes through whole."""
    bob = await world.bob()
    await bob.connect()
    with pytest.raises(ServerRefusal) as caught:
        await bob.transport.call(
            RESOLVE,
            interop_pb2.ResolveRequest(users=[interop_pb2.ExternalUser(external_id=f"+336{n:08}") for n in range(257)]),
            interop_pb2.ResolveResponse,
        )
    assert caught.value.reason == "TOO_MANY_ITEMS"
    assert caught.value.requirement
    assert caught.value.request_id


@pytest.mark.parametrize(
    "method",
    [
        "/interop_api.v1.ChatService/Connect",
        "/interop_api.admin.v1alpha1.AdminService/ListPartners",
        "/grpc.health.v1.Health/Check",
    ],
)
async def test_what_is_no_unary_call_of_the_contract_is_not_relayed(world: World, method: str) -> None:
    bob = await world.bob()
    await bob.connect()
    with pytest.raises(ServerRefusal) as caught:
        await bob.transport.call(method, interop_pb2.ResolveRequest(), interop_pb2.ResolveResponse)
    assert caught.value.reason == "UNIMPLEMENTED"


async def test_calls_wait_their_turn_and_all_are_answered(world: World) -> None:
    """More calls at once than the proxy makes at once."""
    bob = await world.bob()
    await bob.connect()
    await bob.publish_prekeys(7)
    assert await asyncio.gather(*(bob.count_prekeys() for _ in range(100))) == [7] * 100


async def test_a_call_before_the_login_is_refused(world: World) -> None:
    request = prekeys_pb2.CountOneTimePreKeysRequest()
    with pytest.raises(ServerRefusal) as caught:
        await world.transport("").call(COUNT_PREKEYS, request, prekeys_pb2.CountOneTimePreKeysResponse)
    assert caught.value.reason == "PROXY_NOT_CONNECTED"


async def test_the_session_token_stays_with_the_proxy(world: World) -> None:
    """The client has no use for it; and a stolen WebSocket must not turn into a session elsewhere."""
    bob = await world.bob()
    transport = world.transport(bob.jid)
    login = await transport.connect()
    await transport.close()
    assert (login.jid, login.session_token) == (bob.jid, "")
    assert login.limits.max_frame_bytes


@pytest.mark.parametrize(
    "frame",
    [b"", b"\x09", b"\x02\x00", b"\x01\xff\xff", ResponseFrame(1, 0, b"").encode(), "text"],
    ids=["empty", "unknown type", "truncated call", "no batch", "an answer", "text"],
)
async def test_a_frame_that_breaks_the_protocol_ends_the_connection(world: World, frame: bytes | str) -> None:
    """With a reason for the client, and nothing left at WhatsApp."""
    bob = await world.bob()
    socket = await world.socket_of(bob)

    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))

    message = await socket.receive()
    while message.type is aiohttp.WSMsgType.BINARY:
        message = await socket.receive()
    assert Ended.decode(message.data).reason == "PROXY_FRAME_MALFORMED"
    await world.wait_until_only()
    await socket.close()


async def test_a_stanza_that_fits_no_frame_ends_the_connection(world: World) -> None:
    """CHN-09: the proxy cannot split it, so the client hears that it is too long."""
    bob = await world.bob()
    socket = await world.socket_of(bob)
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=bytes(1 << 20))
    batch = stanza_pb2.Batch(stanzas=[stanza_pb2.Stanza(message=stanza_pb2.Message(id="m", to_jid=bob.jid, enc=[enc]))])
    await socket.send_bytes(BatchFrame(batch.SerializeToString()).encode())

    message = await socket.receive()
    while message.type is aiohttp.WSMsgType.BINARY:
        message = await socket.receive()
    assert "frame holds" in Ended.decode(message.data).advice
    await socket.close()


async def test_a_call_is_answered_with_its_id(world: World) -> None:
    """The wire protocol as a second implementation sees it."""
    socket = await world.socket_of(await world.bob())
    await socket.send_bytes(RequestFrame(77, COUNT_PREKEYS, b"").encode())

    frame = decode_frame(await socket.receive_bytes())
    while not isinstance(frame, ResponseFrame):
        frame = decode_frame(await socket.receive_bytes())
    assert (frame.call_id, frame.code) == (77, 0)
    assert prekeys_pb2.CountOneTimePreKeysResponse.FromString(frame.body).count == 0
    await socket.close()


async def test_a_messenger_that_stops_ends_its_clients_connections(world: World) -> None:
    """PRX-04: no connection outlives its proxy, and the client knows what to do."""
    bob = await world.bob()
    await bob.connect()

    await world.partner.stop()

    assert (await bob.wait_for(ConnectionLost)).reason == "PROXY_STOPPING"
    await world.wait_until_only()


def _files_with(folder: Path, content: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]
