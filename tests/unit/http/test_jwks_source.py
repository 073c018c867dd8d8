"""Partners' key sets are fetched from the documented path, within bounds (ENL-03)."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Partner
from interop_server.http.jwks import MAX_JWKS_BYTES, HttpJwksSource
from interop_server.http.outbound import PROXIED

ServePartner = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
ServeBytes = Callable[..., Awaitable[str]]
MakePartner = Callable[[str], Partner]
KEYS = '{"keys":[]}'


async def refused(partner: Partner, words: str, timeout_seconds: float = 5.0) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        await HttpJwksSource(timeout_seconds).fetch(partner)
    assert caught.value.reason is Reason.JWKS_UNAVAILABLE


@pytest.mark.requirement("ENL-03")
@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_key_set_is_asked_for_at_the_documented_path(
    serve_partner: ServePartner, partner: MakePartner, slash: str
) -> None:
    """With a plain request that says nothing about anybody; as large as allowed."""
    requests: list[web.Request] = []
    text = KEYS.ljust(MAX_JWKS_BYTES)

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(text=text)

    base_url = await serve_partner(answer)
    assert await HttpJwksSource().fetch(partner(f"{base_url}/chat{slash}")) == text
    [request] = requests
    assert (request.method, request.raw_path) == ("GET", "/chat/.well-known/oauth/openid/jwks")
    assert set(request.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", PROXIED}
    assert request.headers["User-Agent"] == "interopsim"


@pytest.mark.parametrize(
    ("response", "words"),
    [
        pytest.param(lambda: web.Response(status=500, text=KEYS), "status 500", id="fault"),
        pytest.param(lambda: web.Response(status=204), "status 204", id="no content"),
        pytest.param(lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), "status 302", id="redirect"),
        pytest.param(lambda: web.Response(body=b" " * (MAX_JWKS_BYTES + 1)), "larger than", id="too large"),
        pytest.param(lambda: web.Response(body=b"\xff"), "UTF-8", id="not UTF-8"),
        pytest.param(
            lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}), "compressed", id="compressed"
        ),
    ],
)
async def test_a_bad_answer_is_refused(
    serve_partner: ServePartner, partner: MakePartner, response: Callable[[], web.Response], words: str
) -> None:
    """With what was wrong, in words, and without a second request."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return response()

    await refused(partner(await serve_partner(answer)), words)
    assert len(paths) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "broke off", id="hangs up"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "broke off", id="truncated"),
        pytest.param(b"220 mail.example ESMTP\r\n", "exchange failed", id="not HTTP"),
    ],
)
async def test_a_broken_exchange_is_refused(
    serve_bytes: ServeBytes, partner: MakePartner, content: bytes, words: str
) -> None:
    """Whatever breaks on the way."""
    await refused(partner(await serve_bytes(content)), words)


@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"], ids=["head", "body"])
async def test_a_silent_server_is_given_up(serve_bytes: ServeBytes, partner: MakePartner, content: bytes) -> None:
    """Before its answer or in the middle of it."""
    await refused(partner(await serve_bytes(content, then_hang=True)), "in time", timeout_seconds=0.05)


async def test_an_unreachable_server_is_refused(partner: MakePartner, closed_port: str) -> None:
    """Nobody listens there."""
    await refused(partner(closed_port), "could not be reached")


@pytest.mark.parametrize(
    "base_url", ["", "bats.example", "ftp://bats.example", "http://", "http://[::1", "http://a..b"]
)
async def test_an_impossible_url_is_refused(partner: MakePartner, base_url: str) -> None:
    """As unavailable, like every other reason why there is no key set."""
    await refused(partner(base_url), "exchange failed|could not be reached")
