"""The messenger's own routes: login, key set, auth keys, and who may use them."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from joserfc import jwt
from joserfc.jwk import KeySet

from partner_server import PartnerServer, PartnerSettings, SigningKeys
from partner_server.authkeys import MAX_AUTH_KEYS, AuthKeys, TooManyAuthKeys
from partner_server.local import OWN_HOST, is_for_this_machine
from partner_server.routes import this_machine_only


async def test_a_token_got_over_http_verifies_under_the_key_set_got_over_http(
    http: aiohttp.ClientSession, partner: PartnerServer
) -> None:
    """ENL-03: the whole of what a partner's server owes WhatsApp about its users."""
    async with http.get(f"{partner.base_url}/.well-known/oauth/openid/jwks") as response:
        assert response.content_type == "application/json"
        key_set = KeySet.import_key_set(await response.json())
    async with http.post(f"{partner.base_url}/tokens", json={"user": "bob@bats.example"}) as response:
        token = (await response.json())["token"]

    claims = jwt.decode(token, key_set, algorithms=["RS256"]).claims
    assert (claims["sub"], claims["iss"]) == ("bob@bats.example", partner.base_url)


async def test_the_issuer_can_be_another_than_the_base_url(tmp_path: Path, keys: SigningKeys) -> None:
    async with PartnerServer(PartnerSettings(tmp_path, issuer="https://bats.example"), keys) as partner:
        claims = jwt.decode(partner.issue_token("bob"), keys.verification_keys).claims
    assert claims["iss"] == partner.issuer == "https://bats.example"


@pytest.mark.parametrize("user", ["", 7, None, "a" * 257, "a\nb"])
async def test_nobody_is_vouched_for_who_cannot_be_a_user(
    http: aiohttp.ClientSession, partner: PartnerServer, user: object
) -> None:
    async with http.post(f"{partner.base_url}/tokens", json={"user": user}) as response:
        assert response.status == 400


async def test_an_auth_key_stays_the_same_for_a_user_and_outlives_the_server(
    http: aiohttp.ClientSession, tmp_path: Path, keys: SigningKeys
) -> None:
    """CHN-07: the user is enlisted with it, so another one would lock the user out."""

    async def auth_key(partner: PartnerServer, user: str) -> str:
        async with http.get(f"{partner.base_url}/proxy/authkey", params={"user": user}) as response:
            return (await response.json())["public_key"]

    async with PartnerServer(PartnerSettings(tmp_path), keys) as partner:
        first, again, other = await asyncio.gather(*(auth_key(partner, user) for user in ("bob", "bob", "eve")))
    async with PartnerServer(PartnerSettings(tmp_path), keys) as partner:
        restarted = await auth_key(partner, "bob")

    assert first == again == restarted != other
    assert len(bytes.fromhex(first)) == 32


async def test_an_auth_key_needs_a_user(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    async with http.get(f"{partner.base_url}/proxy/authkey") as response:
        assert response.status == 400


def test_auth_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    AuthKeys(tmp_path / "keys").get_or_create("bob")
    [file] = (tmp_path / "keys").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_auth_keys_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new user past the bound gets none; a known one still does."""
    assert MAX_AUTH_KEYS > 1
    monkeypatch.setattr("partner_server.authkeys.MAX_AUTH_KEYS", 1)
    auth_keys = AuthKeys(tmp_path)
    auth_keys.get_or_create("bob")
    auth_keys.get_or_create("bob")
    with pytest.raises(TooManyAuthKeys):
        auth_keys.get_or_create("eve")


@pytest.mark.parametrize(
    ("remote", "is_let_in"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("", False)]
)
async def test_what_stands_for_a_login_is_for_this_machine_only(remote: str, is_let_in: bool) -> None:
    """A messenger's server that listens on a network must not vouch for anybody who asks."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response()

    request = make_mocked_request("POST", "/tokens", {"Host": "127.0.0.1"}, app=web.Application()).clone(remote=remote)
    if is_let_in:
        assert (await this_machine_only(answer)(request)).status == 200
    else:
        with pytest.raises(web.HTTPForbidden):
            await this_machine_only(answer)(request)


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Host": host}
            for host in ("evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "")
        ),
        *(
            {"Origin": origin}
            for origin in ("https://evil.example", "null", "http://localhost:1", "", "http://127.0.0.1")
        ),
        *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site")),
    ],
    ids=str,
)
async def test_no_page_of_another_site_has_a_browser_ask(
    http: aiohttp.ClientSession, partner: PartnerServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    """A browser asks from this machine for whatever page it shows: the clock stays, nothing is vouched for or kept."""
    before = partner.clock()
    simple = {"Content-Type": "text/plain"} | headers
    for method, path, body in (
        ("POST", "/admin/clock", b'{"now_ms":1,"frozen":true}'),
        ("POST", "/admin/simulator", b"{}"),
        ("POST", "/tokens", b'{"user":"bob"}'),
        ("PUT", "/media/blob", b"x"),
        ("GET", "/pushes", None),
        ("GET", "/proxy/authkey?user=bob", None),
    ):
        async with http.request(method, partner.base_url + path, data=body, headers=simple) as response:
            assert (path, response.status) == (path, 403)
    assert partner.clock() == before
    assert [*(tmp_path / "media").iterdir(), *(tmp_path / "authkeys").iterdir()] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2:80", "localhost", "LocalHost:8080", "[::1]", "[::1]:80"])
async def test_a_client_of_this_machine_asks_by_any_of_its_names(
    http: aiohttp.ClientSession, partner: PartnerServer, host: str
) -> None:
    """Also in a browser, from where the server is itself."""
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for given in ({"Host": host}, headers):
        async with http.post(f"{partner.base_url}/tokens", json={"user": "bob"}, headers=given) as response:
            assert response.status == 200


async def test_a_server_can_be_asked_by_the_name_that_it_listens_on() -> None:
    """Some machines have one of their own for their loopback addresses."""
    application = web.Application()
    application[OWN_HOST] = "bats.internal"
    for host, is_its_own in (
        ("bats.internal:80", True),
        ("Bats.Internal", True),
        ("evil.internal", False),
        ("", False),
    ):
        request = make_mocked_request("GET", "/pushes", {"Host": host}, app=application)
        assert (host, is_for_this_machine(request)) == (host, is_its_own)


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(tmp_path: Path, partner: PartnerServer) -> None:
    port = int(partner.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        await PartnerServer(PartnerSettings(tmp_path, port=port)).start()


async def test_the_command_says_when_it_is_ready_and_stops_on_sigterm(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """One line of JSON on stdout, then nothing; exit code 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "partner_server", "--data", str(tmp_path), "--issuer", "https://bats.example",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    async with http.get(ready["base_url"] + "/.well-known/oauth/openid/jwks") as response:
        assert response.status == 200
    process.send_signal(signal.SIGTERM)
    rest, errors = await process.communicate()

    assert (process.returncode, rest, errors) == (0, b"", b"")
    assert ready["event"] == "ready"
    assert (ready["pid"], ready["issuer"]) == (process.pid, "https://bats.example")
    assert ready["push_url"] == ready["base_url"] + "/whatsapp/push"


async def test_the_command_refuses_half_a_simulator(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "partner_server", "--data", str(tmp_path), "--simulator-grpc", "127.0.0.1:1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"go together" in errors


async def test_its_tokens_follow_the_clock_that_it_is_told(
    http: aiohttp.ClientSession, partner: PartnerServer, keys: SigningKeys
) -> None:
    """A simulator thirty days ahead takes no token that is dated by the machine's clock (ENL-05)."""
    for now_ms, is_frozen in ((4_000_000_000_000, True), (1_000, True), (5_000_000_000_000, False)):
        fields = {"now_ms": now_ms, "frozen": is_frozen}
        async with http.post(f"{partner.base_url}/admin/clock", json=fields) as response:
            assert response.status == 200
        issued_at = jwt.decode(partner.issue_token("bob"), keys.verification_keys).claims["iat"]
        assert issued_at == now_ms // 1_000


@pytest.mark.parametrize(
    "fields",
    [
        {},
        [],
        {"now_ms": 1},
        {"now_ms": -1, "frozen": True},
        {"now_ms": 10**18, "frozen": True},
        {"now_ms": 1.5, "frozen": True},
        {"now_ms": True, "frozen": True},
        {"now_ms": 1, "frozen": 1},
    ],
)
async def test_what_is_no_time_is_refused(http: aiohttp.ClientSession, partner: PartnerServer, fields: object) -> None:
    """And its clock stays as it is."""
    before = partner.clock()
    async with http.post(f"{partner.base_url}/admin/clock", json=fields) as response:
        assert response.status == 400
    assert partner.clock() == before


async def test_a_command_asks_a_running_server_for_a_token(partner: PartnerServer, keys: SigningKeys) -> None:
    """It prints the token and nothing else; when it gets none, it says so and ends with status 1."""

    async def ask(url: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "partner_server", "token", "--url", url, "bob",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()

    status, token, _ = await ask(partner.base_url)
    assert (status, jwt.decode(token.strip(), keys.verification_keys).claims["sub"]) == (0, "bob")
    status, nothing, errors = await ask(f"{partner.base_url}/nowhere")
    assert (status, nothing) == (1, "")
    assert "gives no token" in errors


async def test_the_key_set_says_how_long_a_copy_holds(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    async with http.get(f"{partner.base_url}/.well-known/oauth/openid/jwks") as response:
        assert response.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP, deflate", "nonsense"])
async def test_a_body_is_sent_as_it_is(
    http: aiohttp.ClientSession, partner: PartnerServer, tmp_path: Path, coding: str
) -> None:
    """One that says it is compressed is refused unread, whether it is or not."""
    for method, path in (
        ("POST", "/tokens"), ("POST", "/admin/clock"), ("POST", "/admin/simulator"), ("PUT", "/media/x"),
        ("POST", "/whatsapp/push"),
    ):  # fmt: skip
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        async with http.request(method, partner.base_url + path, data=b'{"user":"bob"}', headers=headers) as response:
            assert (path, response.status) == (path, 415)
            assert "without Content-Encoding" in await response.text()
    assert [*(tmp_path / "media").iterdir()] == []
    async with http.post(
        f"{partner.base_url}/tokens", json={"user": "bob"}, headers={"Content-Encoding": "identity"}
    ) as response:
        assert response.status == 200
