"""Whom the proxy itself turns away, before WhatsApp hears of it; needs no simulator."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest

from interop_client.connection.proxy_frames import MAX_CLIENT_FRAME_BYTES, Ended
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ServerRefusal
from partner_server import PartnerServer
from tests.unit.partner_server.conftest import WhatsApp

BOB = "bob@bats.example"
JID = "100-10000000000001@interop"


@pytest.fixture
async def socket(http: aiohttp.ClientSession, partner: PartnerServer) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with http.ws_connect(partner.proxy_url) as socket:
        yield socket


async def refusal(partner: PartnerServer, token: str, jid: str = JID, client_ip: str = "203.0.113.7") -> ServerRefusal:
    async def get_token() -> str:
        return token

    transport = ProxyTransport(partner.proxy_url, ProxyLogin(BOB, jid, get_token), client_ip)
    with pytest.raises(ServerRefusal) as caught:
        await transport.connect()
    await transport.close()
    return caught.value


async def make_auth_key(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    async with http.get(f"{partner.base_url}/proxy/authkey", params={"user": BOB}) as response:
        assert response.status == 200


async def test_a_token_of_another_user_lends_no_auth_key(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    """CHN-07: otherwise any user could log in as any other."""
    await make_auth_key(http, partner)
    refused = await refusal(partner, partner.issue_token("eve@bats.example"))
    assert refused.reason == "PROXY_TOKEN_REFUSED"


async def test_an_expired_token_lends_no_auth_key(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    await make_auth_key(http, partner)
    assert (await refusal(partner, partner.issue_token(BOB, ttl=0))).reason == "PROXY_TOKEN_REFUSED"


async def test_a_user_without_an_auth_key_is_told_to_enlist(partner: PartnerServer) -> None:
    assert (await refusal(partner, partner.issue_token(BOB))).reason == "PROXY_AUTH_KEY_MISSING"


async def test_a_jid_that_is_none_is_refused(partner: PartnerServer) -> None:
    assert (await refusal(partner, partner.issue_token(BOB), jid=BOB)).reason == "PROXY_HELLO_REFUSED"


async def test_without_a_simulator_nobody_gets_through(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    await make_auth_key(http, partner)
    assert (await refusal(partner, partner.issue_token(BOB))).reason == "PROXY_SIMULATOR_UNKNOWN"


async def test_a_simulator_that_is_not_there_is_unavailable(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    """The simulator's own words reach the client: here gRPC's, as nobody listens."""
    await make_auth_key(http, partner)
    assert (await refusal(partner, partner.issue_token(BOB))).reason == "UNAVAILABLE"


@pytest.mark.parametrize("forwarded", ["for=unknown", "for=_hidden", "by=203.0.113.7", "nonsense", 'for="[::1"'])
async def test_a_client_whose_address_is_hidden_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, forwarded: str
) -> None:
    """PRX-02: the proxy must know it, and makes none up."""
    hello = {"user": BOB, "token": partner.issue_token(BOB), "jid": JID, "read_receipts": True}
    async with http.ws_connect(partner.proxy_url, headers={"Forwarded": forwarded}) as socket:
        await socket.send_str(json.dumps(hello))
        assert Ended.decode(await socket.receive_str()).reason == "PROXY_CLIENT_ADDRESS_UNKNOWN"


@pytest.mark.parametrize("frame", ["", "[]", '{"user":"bob"}'])
async def test_what_is_no_hello_is_refused_and_the_socket_closed(
    socket: aiohttp.ClientWebSocketResponse, frame: str
) -> None:
    await socket.send_str(frame)

    assert Ended.decode(await socket.receive_str()).reason == "PROXY_HELLO_REFUSED"
    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_binary_frame_is_no_hello(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(b"\x01")
    assert Ended.decode(await socket.receive_str()).reason == "PROXY_HELLO_REFUSED"


async def test_a_client_that_says_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, partner: PartnerServer, http: aiohttp.ClientSession
) -> None:
    monkeypatch.setattr("partner_server.proxy.HELLO_SECONDS", 0.01)
    async with http.ws_connect(partner.proxy_url) as silent:
        assert Ended.decode(await silent.receive_str()).reason == "PROXY_HELLO_REFUSED"


async def test_a_frame_over_the_limit_closes_the_socket(
    socket: aiohttp.ClientWebSocketResponse, partner: PartnerServer
) -> None:
    """And nothing else: the next client is served."""
    with suppress(ConnectionError):  # the proxy does not read to the end what it refuses
        await socket.send_bytes(bytes(MAX_CLIENT_FRAME_BYTES + 1))
    while not socket.closed:
        await socket.receive()
    assert (await refusal(partner, partner.issue_token(BOB))).reason == "PROXY_AUTH_KEY_MISSING"


async def test_too_many_clients_are_turned_away(
    socket: aiohttp.ClientWebSocketResponse, partner: PartnerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partner_server.proxy.MAX_CONNECTIONS", 1)
    refused = await refusal(partner, partner.issue_token(BOB))
    assert refused.reason == "UNAVAILABLE"


async def test_a_proxy_that_is_not_there_is_unavailable(partner: PartnerServer) -> None:
    token = partner.issue_token(BOB)
    await partner.stop()
    assert (await refusal(partner, token)).reason == "UNAVAILABLE"


async def test_a_server_that_stops_says_so(socket: aiohttp.ClientWebSocketResponse, partner: PartnerServer) -> None:
    await partner.stop()
    assert Ended.decode(await socket.receive_str()).reason == "PROXY_STOPPING"
