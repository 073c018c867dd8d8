"""Who may push, what a push may say, and who hears of it (LIF-01, LIF-02)."""

import asyncio

import aiohttp
import pytest

from partner_server import PartnerServer, SigningKeys
from tests.unit.partner_server.conftest import NOW, Time, WhatsApp

BOB = "bob@bats.example"


async def push(http: aiohttp.ClientSession, partner: PartnerServer, token: str, body: bytes | None = None) -> int:
    content = b'{"to":"bob@bats.example"}' if body is None else body
    headers = {"Authorization": f"Bearer {token}"}
    async with http.post(partner.push_url, data=content, headers=headers) as response:
        text = await response.text()
        assert response.status != 200 or text == ""
        return response.status


async def test_a_push_by_whatsapp_wakes_who_waits_for_it(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    """LIF-01: 200 with an empty body; the body as it came is kept as proof of what it did not hold."""
    waiting = asyncio.create_task(partner.wait_for_push(BOB, timeout=10))

    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200

    received = await waiting
    assert (received.number, received.user, received.received_at) == (1, BOB, NOW)
    assert received.body == '{"to":"bob@bats.example"}'


async def test_pushes_are_listed_by_user_and_number(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    for user in ("bob", "eve", "bob"):
        await push(http, partner, whatsapp.token(partner.base_url), b'{"to":"%s"}' % user.encode())

    async with http.get(f"{partner.base_url}/pushes?user=bob&after=1") as response:
        [only] = (await response.json())["pushes"]

    assert only == {"number": 3, "user": "bob", "received_at": NOW, "body": '{"to":"bob"}'}


async def test_listing_can_wait_for_a_push(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    """Another process hears of a push without asking again and again."""

    async def wait_over_http() -> str:
        async with http.get(f"{partner.base_url}/pushes?user={BOB}&wait_seconds=30") as response:
            return (await response.json())["pushes"][0]["user"]

    waiting = asyncio.create_task(wait_over_http())
    await push(http, partner, whatsapp.token(partner.base_url))
    assert await waiting == BOB


async def test_waiting_ends_without_a_push(http: aiohttp.ClientSession, partner: PartnerServer) -> None:
    with pytest.raises(TimeoutError):
        await partner.wait_for_push(BOB, timeout=0.01)
    async with http.get(f"{partner.base_url}/pushes?wait_seconds=0.01") as response:
        assert await response.json() == {"pushes": []}


@pytest.mark.parametrize(
    "query", ["after=x", "wait_seconds=x", "wait_seconds=-1", "wait_seconds=nan", "wait_seconds=1e9"]
)
async def test_a_query_that_makes_no_sense_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, query: str
) -> None:
    async with http.get(f"{partner.base_url}/pushes?{query}") as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "WHATSAP"},
        {"exp": NOW - 31},
        {"exp": "soon"},
        {"iat": NOW + 31},
        {"iat": None},
        {"aud": "https://other.example"},
        {"aud": None},
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, claims: dict[str, object]
) -> None:
    """LIF-01: iss WHATSAPP, aud this server, in its time; and a refused push is not recorded."""
    token = whatsapp.token(**{"audience": partner.base_url, **claims})

    assert await push(http, partner, token) == 401
    assert await listed(http, partner) == []


async def test_a_forged_signature_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, keys: SigningKeys
) -> None:
    """Right claims and right kid, signed with a key that WhatsApp has not."""
    forged = whatsapp.token(partner.base_url, key=keys, kid=str(whatsapp.keys.current.kid))
    assert await push(http, partner, forged) == 401


async def test_a_token_without_a_kid_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    """Also when there is only one key that it can mean (ENL-05)."""
    assert await push(http, partner, whatsapp.token(partner.base_url, kid="")) == 401


@pytest.mark.parametrize(
    "authorization",
    [
        *("", "Bearer", "Bearer ", "Bearer x.y", "Basic Ym9iOmJvYg==", "Bearer " + "x" * 5000),
        "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImEiLCJjcml0Ijo1fQ.e30.eA",  # `crit` is 5
    ],
)
async def test_what_is_no_bearer_token_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, authorization: str
) -> None:
    async with http.post(partner.push_url, json={"to": BOB}, headers={"Authorization": authorization}) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"bob"',
        b"{",
        b"[" * 10_000,
        b'{"to":1}',
        b'{"to":""}',
        b'{"to":"b","from":"a"}',
        b'{"to":"a\\u0000"}',
    ],
)
async def test_a_push_says_the_user_and_nothing_else(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, body: bytes
) -> None:
    """LIF-02: a body with more than `to` would leak, so it is refused and not recorded."""
    assert await push(http, partner, whatsapp.token(partner.base_url), body) == 400
    assert await listed(http, partner) == []


async def test_a_body_over_the_limit_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    body = b'{"to":"' + b"b" * 20_000 + b'"}'
    assert await push(http, partner, whatsapp.token(partner.base_url), body) == 413


async def test_keys_are_fetched_once_and_again_when_they_are_old(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, clock: Time
) -> None:
    for _ in range(3):
        assert await push(http, partner, whatsapp.token(partner.base_url)) == 200
    assert whatsapp.fetches == 1

    clock.now += 301
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200
    assert whatsapp.fetches == 2


async def test_an_unknown_kid_fetches_the_keys_at_most_once_in_ten_seconds(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, clock: Time
) -> None:
    """A rotated key works soon; a forged kid is no lever against WhatsApp's server."""
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200
    whatsapp.keys = SigningKeys()
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 401
    assert whatsapp.fetches == 1

    clock.now += 11
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200
    assert whatsapp.fetches == 2


async def test_old_keys_serve_while_new_ones_cannot_be_had(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp, clock: Time
) -> None:
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200
    whatsapp.is_down = True
    clock.now += 301
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200


async def test_a_push_that_cannot_be_judged_is_to_be_tried_again(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp: WhatsApp
) -> None:
    """503, not 401: WhatsApp retries it."""
    whatsapp.is_down = True
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 503


async def test_the_simulator_can_be_named_over_http(
    http: aiohttp.ClientSession, partner: PartnerServer, whatsapp_keys: SigningKeys, whatsapp: WhatsApp
) -> None:
    """Also again, after it restarted on another port: keys of the old one are forgotten."""
    partner.set_simulator(WhatsApp(whatsapp_keys, url="http://127.0.0.1:1").endpoint)
    assert await push(http, partner, whatsapp.token(partner.base_url)) == 503

    fields = {"grpc": "127.0.0.1:1", "http": whatsapp.url + "/", "root_public_key": "00" * 32}
    async with http.post(f"{partner.base_url}/admin/simulator", json=fields) as response:
        assert response.status == 200

    assert await push(http, partner, whatsapp.token(partner.base_url)) == 200


@pytest.mark.parametrize(
    "change",
    [
        {"grpc": "127.0.0.1"},
        {"grpc": 1},
        {"grpc": "127.0.0.1:65536"},
        {"grpc": "127.0.0.1:\u0661"},
        {"http": "127.0.0.1:1"},
        {"http": "http://[::1"},
        {"http": "http://127.0.0.1:x"},
        {"http": "file:///etc"},
        {"root_public_key": "00"},
        {"root_public_key": "zz" * 32},
        {"root_public_key": " " * 64},
        {"root_public_key": "00 " * 21 + "0"},
        {"root_public_key": None},
    ],
)
async def test_a_simulator_that_cannot_be_is_refused(
    http: aiohttp.ClientSession, partner: PartnerServer, change: dict[str, object]
) -> None:
    fields = {"grpc": "127.0.0.1:1", "http": "http://127.0.0.1:1", "root_public_key": "00" * 32, **change}
    async with http.post(f"{partner.base_url}/admin/simulator", json=fields) as response:
        assert response.status == 400
        assert f"`{next(iter(change))}`" in await response.text()


async def listed(http: aiohttp.ClientSession, partner: PartnerServer) -> list[object]:
    async with http.get(f"{partner.base_url}/pushes") as response:
        pushes: list[object] = (await response.json())["pushes"]
        return pushes
