"""The sample server and the simulator do over HTTP what protos/openapi/partner.yaml says; each of its answers comes.

What a client asks of the simulator, and what the simulator and clients ask of the sample, is recorded as it goes by.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from joserfc import jws
from yarl import URL

from interop_client.connection.proxy_frames import Ended, Hello
from interop_client.connection.proxy_transport import ProxyLogin, ProxyTransport
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import Endpoint
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.conftest import CLIENT_IP, World, recorded_simulator
from tests.e2e.media.test_refusals_uploads import Uploader, chunk
from tests.e2e.raw import QUIET, WAIT_SECONDS
from tests.e2e.recorded import RecordedAdmin
from tests.openapi import Exchange, Operation, check_exchange, check_named, operations

INTEGRATOR = 77
BLOB = os.urandom(1_000)
MAX_BLOB_BYTES = 64 << 10
TOO_LONG = bytes((16 << 10) + 1)
MONTH_MS = 30 * 86_400_000
LAST_PART = {"Range": "bytes=900-"}
OUTSIDE = {"Range": "bytes=2000-"}

NOT_MET = {
    (Operation("GET", "/v/t{name}"), 429): "tests/unit/core/test_seats.py: it takes 64 transfers at once.",
    (Operation("GET", "/interop/whatsapp/download/{integrator}/{storage_reference}/"), 429): "Likewise.",
}
"""Documented answers that do not come here, each with the reason."""


class RecordedPartner(PartnerServer):
    """A messenger's server that records what it is asked, and what it answers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.exchanges: list[Exchange] = []

    async def _application(self, http: aiohttp.ClientSession) -> web.Application:
        application = await super()._application(http)
        application.on_response_prepare.append(self._record)
        return application

    async def _record(self, request: web.Request, response: web.StreamResponse) -> None:
        # Not in a middleware: a file's answer has its status only when it is prepared.
        is_upload = request.method == "PUT"
        body = response.body if isinstance(response, web.Response) else None
        self.exchanges.append(
            Exchange(
                request.method,
                request.rel_url.raw_path,
                response.status,
                dict(request.query),
                dict(request.headers),
                b"" if is_upload else await request.read(),
                dict(response.headers),
                body if isinstance(body, bytes) else None,
            )
        )


class Relay:
    """A server before the simulator's HTTP surface that passes on what comes, and records it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.exchanges: list[Exchange] = []
        self.url = ""

    async def _pass_on(self, request: web.Request) -> web.Response:
        body, path = await request.read(), request.rel_url.raw_path
        headers = {name: value for name, value in request.headers.items() if name in ("Content-Type", "Range")}
        url = URL(self._target + request.rel_url.raw_path_qs, encoded=True)
        async with (
            aiohttp.ClientSession() as http,
            http.request(request.method, url, data=body, headers=headers) as answer,
        ):
            content = await answer.read()
            self.exchanges.append(
                Exchange(
                    request.method, path, answer.status, dict(request.query), headers, body, answer.headers, content
                )
            )
            return web.Response(status=answer.status, body=content, content_type=answer.content_type)

    async def start(self) -> web.AppRunner:
        """Begins to serve."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


class Stage(World):
    """A world whose messenger and whose way to WhatsApp record what goes over HTTP."""

    partner: RecordedPartner
    whatsapp_http: Relay
    http: aiohttp.ClientSession

    async def ask(self, method: str, url: str, status: int, **request: Any) -> bytes:
        """Makes a request, which is answered with that status."""
        async with self.http.request(method, URL(url, encoded=True), allow_redirects=False, **request) as response:
            body = await response.read()
            assert response.status == status, (method, url, response.status, body)
            return body

    async def ask_partner(self, method: str, path: str, status: int, **request: Any) -> Any:
        """Makes a request to the messenger's server; returns what it answers in JSON, if it does."""
        body = await self.ask(method, self.partner.base_url + path, status, **request)
        return json.loads(body) if body.startswith(b"{") else None

    async def ask_whatsapp(self, path: str, status: int, **headers: str) -> None:
        """Gets a path of WhatsApp's."""
        await self.ask("GET", self.whatsapp_http.url + path, status, headers=headers)


@pytest_asyncio.fixture
async def stage(tmp_path: Path, signing_keys: SigningKeys) -> AsyncIterator[Stage]:
    """A messenger with its server, registered with a simulator of its own."""
    async with AsyncExitStack() as stack:
        child = await stack.enter_async_context(recorded_simulator(tmp_path / "simulator.log"))
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        settings = PartnerSettings(tmp_path / "partner", endpoint=endpoint, max_blob_bytes=MAX_BLOB_BYTES)
        partner = await stack.enter_async_context(RecordedPartner(settings, signing_keys))
        admin = await stack.enter_async_context(RecordedAdmin(endpoint.admin))
        relay = Relay(endpoint.http)
        stack.push_async_callback((await relay.start()).cleanup)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        stage = Stage(INTEGRATOR, endpoint, partner, admin, stack)
        stage.whatsapp_http, stage.http = relay, http
        await stage.register()
        yield stage


async def test_every_documented_answer_comes_as_documented(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. A user gets a token and enlists; a push says that a message waits.
    2. Blobs go both ways: whole, in parts, and not at all.
    3. The proxy, and what only the sample has.
    4. The other refusals of the sample.
    5. All that was recorded is as documented, and all that is documented was recorded.
    """
    await enlist_and_push(stage)
    await move_blobs(stage)
    await use_the_proxy(stage, monkeypatch)
    await use_the_sample(stage)
    await be_refused(stage, monkeypatch)
    forgetful = RecordedPartner(PartnerSettings(tmp_path / "forgetful"), stage.partner.keys)
    async with forgetful:
        push = {"headers": {"Authorization": "Bearer a.b.c"}, "json": {"to": "bob"}}
        await stage.ask("POST", forgetful.push_url, 401, **push)
        token = stage.partner.issue_token("bob")
        await stage.ask(
            "POST", forgetful.push_url, 503, headers={"Authorization": f"Bearer {token}"}, json={"to": "bob"}
        )

    recorded = [*stage.partner.exchanges, *stage.whatsapp_http.exchanges, *forgetful.exchanges]
    met = {check_exchange(exchange) for exchange in recorded if exchange.method != "HEAD"}
    documented = {(operation, int(status)) for operation, said in operations() for status in said["responses"]}
    assert met.isdisjoint(NOT_MET)
    assert documented - met == set(NOT_MET)


async def enlist_and_push(stage: Stage) -> None:
    token = (await stage.ask_partner("POST", "/tokens", 200, json={"user": "bob"}))["token"]
    check_token(token, "UserTokenHeader", "UserTokenClaims")
    bob = stage.device("bob", QUIET)
    with pytest.raises(ServerRefusal):
        await bob.enlist_over_http(stage.whatsapp_http.url, "a.b.c")
    await bob.enlist_over_http(stage.whatsapp_http.url, token)
    await bob.connect()
    await bob.publish_prekeys(20)
    await bob.close()
    alice = await stage.whatsapp(options=QUIET)
    await alice.send_text(bob.jid, "Hello")
    pushed = await stage.partner.wait_for_push("bob", WAIT_SECONDS)
    [exchange] = [each for each in stage.partner.exchanges if each.path == "/whatsapp/push"]
    assert exchange.request_headers["User-Agent"] == "interopsim"
    assert exchange.request_headers["Interopsim-Proxied"] == "1"
    assert exchange.request_headers["Accept-Encoding"] == "identity"
    token = exchange.request_headers["Authorization"].removeprefix("Bearer ")
    check_token(token, "PushTokenHeader", "PushTokenClaims")
    authorized = {"Authorization": f"Bearer {token}"}
    await stage.ask_partner("POST", "/whatsapp/push", 400, headers=authorized, json={"to": ""})
    await stage.ask_partner("POST", "/whatsapp/push", 413, headers=authorized, data=TOO_LONG)
    assert pushed.body == '{"to": "bob"}'
    await stage.ask_whatsapp("/.well-known/jwks", 200)


def check_token(token: str, header: str, claims: str) -> None:
    """Asserts that header and claims of a token are those of two schemas."""
    read = jws.extract_compact(token.encode())
    check_named(read.headers(), header)
    check_named(json.loads(read.payload), claims)


async def move_blobs(stage: Stage) -> None:
    blob = "/media/a-blob"
    await stage.ask_partner("PUT", blob, 201, data=BLOB)
    await stage.ask_partner("GET", blob, 200)
    await stage.ask_partner("GET", blob, 206, headers=LAST_PART)
    await stage.ask_partner("GET", blob, 416, headers=OUTSIDE)
    await stage.ask_partner("GET", "/media/nothing", 404)
    await stage.ask_partner("GET", "/media/%20", 400)
    await stage.ask_partner("PUT", "/media/%20", 400, data=BLOB)
    await stage.ask_partner("PUT", "/media/.hidden", 400, data=BLOB)
    await stage.ask_partner("PUT", "/media/large", 413, data=bytes(MAX_BLOB_BYTES + 1))

    proxied = f"/interop/whatsapp/download/{INTEGRATOR}"
    await stage.ask_whatsapp(f"{proxied}/a-blob/", 200)
    await stage.ask_whatsapp(f"{proxied}/a-blob/", 206, **LAST_PART)
    await stage.ask_whatsapp(f"{proxied}/a-blob/", 416, **OUTSIDE)
    await stage.ask_whatsapp(f"{proxied}/nothing/", 404)
    await stage.ask_whatsapp(f"{proxied}/%20/", 400)
    await stage.register(media_url="http://127.0.0.1:1/media")
    await stage.ask_whatsapp(f"{proxied}/a-blob/", 502)
    await stage.register()

    uploader = Uploader(await stage.whatsapp(options=QUIET))
    await uploader.grant()
    path = await uploader.upload(uploader.start(BLOB), chunk(BLOB))
    await stage.ask_whatsapp(path, 200)
    await stage.ask_whatsapp(path, 206, **LAST_PART)
    await stage.ask_whatsapp(path, 416, **OUTSIDE)
    await stage.ask_whatsapp("/v/tnothing", 404)
    await stage.admin.advance_clock(MONTH_MS)
    await stage.ask_whatsapp(path, 410)


async def use_the_proxy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = await stage.admin.get_clock()
    await stage.ask_partner("POST", "/admin/clock", 200, json={"now_ms": now.now_ms, "frozen": now.is_frozen})
    found = await stage.ask_partner("GET", "/proxy/authkey?user=carol", 200)

    async def get_token() -> str:
        return stage.partner.issue_token("carol")

    carol = stage.device("carol", QUIET)
    await carol.enlist_over_http(stage.whatsapp_http.url, await get_token(), bytes.fromhex(found["public_key"]))
    login = ProxyLogin("carol", carol.jid, get_token)
    check_named(json.loads(Hello("carol", await get_token(), carol.jid).encode()), "ProxyHello")
    proxied = ThirdPartyClient(ProxyTransport(stage.partner.proxy_url, login, CLIENT_IP), ClientState.generate())
    await proxied.connect()
    await proxied.close()
    async with stage.http.ws_connect(stage.partner.proxy_url) as socket:
        await socket.send_str("{}")
        ended = await socket.receive_str()
    check_named(json.loads(ended), "ProxyEnded")
    assert Ended.decode(ended).reason == "PROXY_HELLO_REFUSED"
    await stage.ask_partner("GET", "/proxy", 400)
    with monkeypatch.context() as full:
        full.setattr("partner_server.proxy.MAX_CONNECTIONS", 0)
        await stage.ask_partner("GET", "/proxy", 503)


async def use_the_sample(stage: Stage) -> None:
    pushes = (await stage.ask_partner("GET", "/pushes?user=bob&after=0&wait_seconds=1", 200))["pushes"]
    assert [push["user"] for push in pushes] == ["bob"]
    place = {
        "grpc": stage.endpoint.grpc,
        "http": stage.endpoint.http,
        "root_public_key": stage.endpoint.root_public_key.hex(),
    }
    await stage.ask_partner("POST", "/admin/simulator", 200, json=place)


async def be_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/tokens", "/admin/simulator", "/admin/clock"):
        await stage.ask_partner("POST", path, 400, json={})
        await stage.ask_partner("POST", path, 413, data=TOO_LONG)
    await stage.ask_partner("GET", "/proxy/authkey", 400)
    await stage.ask_partner("GET", "/pushes?after=x", 400)
    with monkeypatch.context() as full:
        full.setattr("partner_server.authkeys.MAX_AUTH_KEYS", 0)
        await stage.ask_partner("GET", "/proxy/authkey?user=dora", 507)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("partner_server.routes.is_loopback", lambda _: False)
        for path in ("/tokens", "/admin/simulator", "/admin/clock"):
            await stage.ask_partner("POST", path, 403, json={})
        await stage.ask_partner("GET", "/proxy/authkey?user=bob", 403)
        await stage.ask_partner("GET", "/pushes", 403)
        await stage.ask_partner("PUT", "/media/a-blob", 403, data=BLOB)
