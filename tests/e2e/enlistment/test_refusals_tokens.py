"""Partner tokens that are not good: refused at enlistment, over gRPC and HTTP, and at login, for the same reasons."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from joserfc import jws
from joserfc.jwk import RSAKey

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import enlistment_pb2, interop_pb2
from interop_client.connection.login import third_party_login
from interop_client.errors import LoginRefused, refusal_from_json
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.encoding import encode_base64url
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, RawStream, case, check, check_error, enlistment, no_trace, refused, spare_integrators

LOGIN_CODES = {"TOKEN_TOO_LARGE": 400, "JWKS_UNAVAILABLE": 503, "PARTNER_NOT_ACTIVE": 403}
"""Login failure codes as observed on the wire; 401 for all others (CHN-10)."""

MAX_FORM_BYTES = 16_384
"""Of the enlistment form; nothing longer is read."""


@pytest.fixture(scope="module")
def strangers_key() -> RSAKey:
    """A key that no partner has."""
    return SigningKeys().current


def claims_of(world: World, user: str = "bob", **changes: object) -> dict[str, object]:
    """Returns good claims, with some changed, or with None left out."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": world.partner.issuer,
        "sub": user,
        "aud": "interopsim",
        "iat": now,
        "exp": now + 600,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def sign(header: dict[str, Any], claims: object, key: RSAKey) -> str:
    """Returns a token that is signed as its header says."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(header, payload, key, algorithms=[header["alg"]])


def forge(header: object, claims: object, signature: bytes = b"") -> str:
    """Returns a token with any header and signature."""
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(encode_base64url(part) for part in parts)


def sign_hs256(header: object, claims: object, secret: bytes) -> str:
    """Returns a token that is signed with a secret: here one that is public."""
    signed = forge(header, claims).rpartition(".")[0]
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def badly_signed(world: World, stranger: RSAKey) -> Iterable[tuple[str, str, str]]:
    """Yields what is wrong with a signature, the token, and the reason."""
    own, claims = world.partner.keys.current, claims_of(world)
    rs256 = {"alg": "RS256", "kid": str(own.kid)}
    good = sign(rs256, claims, own)
    header, payload, signature = good.split(".")
    yield "signed by another key under the right kid", sign(rs256, claims, stranger), "TOKEN_SIGNATURE_INVALID"
    other_claims = forge({}, claims_of(world, "mallory")).split(".")[1]
    yield "other claims under the signature", f"{header}.{other_claims}.{signature}", "TOKEN_SIGNATURE_INVALID"
    yield "a signature of zeros", f"{header}.{payload}.{encode_base64url(bytes(256))}", "TOKEN_SIGNATURE_INVALID"
    yield "no kid", sign({"alg": "RS256"}, claims, own), "TOKEN_KEY_UNKNOWN"
    yield "an empty kid", sign({"alg": "RS256", "kid": ""}, claims, own), "TOKEN_KEY_UNKNOWN"
    yield "a kid that is no text", forge({"alg": "RS256", "kid": 7}, claims, b"x"), "TOKEN_KEY_UNKNOWN"
    yield "an unknown kid", sign({"alg": "RS256", "kid": "nobody's"}, claims, stranger), "TOKEN_KEY_UNKNOWN"
    embedded = rs256 | {"kid": "mine", "jwk": stranger.as_dict(private=False)}
    yield "a key of its own in the header", forge(embedded, claims, b"x"), "TOKEN_KEY_UNKNOWN"
    refused = "TOKEN_ALGORITHM_REFUSED"
    for algorithm in ("none", "None", "NONE", "", "rs256", "RS384", "RS512", "PS256", "ES256", "EdDSA"):
        yield f"alg {algorithm!r}", forge(rs256 | {"alg": algorithm}, claims, b"signature"), refused
    yield "alg none and no signature", forge(rs256 | {"alg": "none"}, claims), refused
    yield "no alg", forge({"kid": str(own.kid)}, claims, b"x"), refused
    for secret in (own.as_pem(private=False), own.as_pem(private=False).strip(), own.as_dict()["n"]):
        secret_bytes = secret if isinstance(secret, bytes) else str(secret).encode()
        token = sign_hs256(rs256 | {"alg": "HS256"}, claims, secret_bytes)
        yield "HS256 with the public key as its secret", token, refused
    extended = sign(rs256, claims, own)
    crit = forge(rs256 | {"crit": ["exp"], "exp": 1}, claims, base64.urlsafe_b64decode(extended.split(".")[2] + "=="))
    yield "an extension that must be understood", crit, "TOKEN_MALFORMED"


def bad_claims() -> Iterable[tuple[str, dict[str, object], str]]:
    """Yields what is wrong, the claims that are, and the reason; the tokens are signed well."""
    now = int(time.time())
    yield "expired", {"iat": now - 700, "exp": now - 100}, "TOKEN_EXPIRED"
    yield "expired before it was issued", {"exp": now - 100}, "TOKEN_EXPIRED"
    yield "issued in the future", {"iat": now + 300, "exp": now + 600}, "TOKEN_NOT_YET_VALID"
    yield "not before the future", {"nbf": now + 300}, "TOKEN_NOT_YET_VALID"
    yield "too long a life", {"iat": now, "exp": now + 3_601}, "TOKEN_LIFETIME_TOO_LONG"
    yield "a life without end", {"exp": 10**11}, "TOKEN_LIFETIME_TOO_LONG"
    yield "an unknown issuer", {"iss": "https://nobody.example"}, "BAD_INTEGRATOR"
    yield "an issuer of other letters", {"iss": "HTTPS://MESSENGER-1.EXAMPLE"}, "BAD_INTEGRATOR"
    for name in ("iss", "sub", "aud", "iat", "exp"):
        yield f"no {name}", {name: None}, "TOKEN_CLAIMS_INVALID"
    for name, value in (
        ("aud", "somebody-else"),
        ("aud", ["a", "b"]),
        ("aud", {"interopsim": True}),
        ("sub", ""),
        ("sub", 7),
        ("sub", ["bob"]),
        ("iss", 7),
        ("iat", "now"),
        ("iat", True),
        ("exp", "later"),
        ("exp", 1e300),
        ("nbf", "now"),
    ):
        yield f"{name} {value!r}", {name: value}, "TOKEN_CLAIMS_INVALID"


def malformed(world: World) -> Iterable[tuple[str, str, str]]:
    """Yields what is wrong with the form of a token, the token, and the reason."""
    good = world.partner.issue_token("bob")
    header, payload, signature = good.split(".")
    for token in (
        "",
        "garbage",
        "a.b",
        "a.b.c",
        "....",
        f"{good}.{signature}",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f" {good}",
        f"{good}\n",
        f"{header}=.{payload}.{signature}",
        forge([], {}, b"x"),
        forge("text", {}, b"x"),
        forge({}, None, b"x"),
        ".".join((encode_base64url(b'{"alg":"RS256","alg":"none"}'), payload, signature)),
        ".".join((encode_base64url(b"[" * 1_500), payload, signature)),
        ".".join((encode_base64url(b"\xff\xfe"), payload, signature)),
    ):
        yield f"malformed {token[:40]!r}", token, "TOKEN_MALFORMED"
    yield "one byte too long", good + "A" * (4_097 - len(good)), "TOKEN_TOO_LARGE"
    yield "very long", "A" * 100_000, "TOKEN_TOO_LARGE"


class Doors:
    """The three places that take a token: enlistment over gRPC and over HTTP, and login.

    Args:
        world: Whose tokens they are.
        bob: An enlisted user, for logins.
        http: Makes the form posts.
    """

    def __init__(self, world: World, bob: ThirdPartyClient, http: aiohttp.ClientSession) -> None:
        self._world = world
        self._bob = bob
        self._http = http

    async def check_refused(self, name: str, token: str, reason: str) -> None:
        """Asserts that all three refuse a token for a reason."""
        with case(f"{name}, enlisting over gRPC"):
            await self.check_grpc(token, reason)
        with case(f"{name}, enlisting over HTTP"):
            await self.check_http(token, reason)
        with case(f"{name}, at login"):
            await self.check_login(token, reason)

    async def check_grpc(self, token: str, reason: str) -> None:
        """Enlists the user again, with new keys."""
        response = await self._bob.transport.call(
            "/interop_api.v1.EnlistmentService/Enlist",
            enlistment(ClientState.generate(), token),
            enlistment_pb2.EnlistResponse,
        )
        check_error(response.failure.error, reason)

    async def check_http(self, token: str, reason: str) -> None:
        """The same with the documented form."""
        request = enlistment(ClientState.generate(), token)
        form = {
            field.name: encode_base64url(value) for field, value in request.ListFields() if isinstance(value, bytes)
        }
        async with self._http.post(
            f"{self._world.endpoint.http}/3p/interop_reg", data=form | {"token": token}
        ) as response:
            assert response.status == 200
            outcome = await response.json()
        if len(token) > MAX_FORM_BYTES:
            reason = "REQUEST_MALFORMED"  # a form that long is not read
        check(refusal_from_json(outcome), reason)

    async def check_login(self, token: str, reason: str) -> None:
        """Logs in with the enlisted auth key, so that only the token is wrong."""
        state = self._bob.state
        async with RawStream(self._world.endpoint.grpc) as stream:
            with pytest.raises(LoginRefused) as raised:
                await stream.log_in(state.auth_private_key, third_party_login(state.jid, token))
        check(raised.value, reason)
        assert raised.value.code == LOGIN_CODES.get(reason, 401)


@pytest_asyncio.fixture
async def doors(world: World) -> AsyncIterator[Doors]:
    """The doors of a world in which bob is enlisted; what is refused leaves no trace."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    async with aiohttp.ClientSession() as http, no_trace(world.admin):
        yield Doors(world, bob, http)
    await bob.connect()


@pytest.mark.requirement("ENL-04", "ENL-05")
async def test_a_token_must_be_signed_by_its_partner(world: World, doors: Doors, strangers_key: RSAKey) -> None:
    """With RS256, under a key that the partner serves and the header names (ENL-03 to ENL-05; T3, T4)."""
    for name, token, reason in badly_signed(world, strangers_key):
        await doors.check_refused(name, token, reason)


@pytest.mark.requirement("ENL-05", "ENL-07")
async def test_a_token_must_say_what_policy_asks(world: World, doors: Doors) -> None:
    """Who, for whom, from when, until when; each of the right type (ENL-05, ENL-07)."""
    for name, changes, reason in bad_claims():
        await doors.check_refused(name, world.partner.issue_token("bob", **changes), reason)


@pytest.mark.requirement("ENL-06")
async def test_a_token_must_have_the_form_of_one(world: World, doors: Doors) -> None:
    """Three parts of base64url, two of them JSON objects, 4,096 bytes in all (ENL-05, ENL-06)."""
    for name, token, reason in malformed(world):
        await doors.check_refused(name, token, reason)
    await doors.check_grpc("é" * 2_049, "TOKEN_TOO_LARGE")
    await doors.check_login("tökén", "TOKEN_MALFORMED")


@pytest.mark.requirement("ENL-07")
async def test_a_token_speaks_for_one_user_of_one_partner(world: World, second_world: World, doors: Doors) -> None:
    """Neither another user's nor another partner's opens an account (ENL-07; T1, T2)."""
    carol = world.device("carol", QUIET)
    async with no_trace(world.admin):
        for user in ("carol", "nobody", "bob2", " bob@example.com "):
            await doors.check_login(world.partner.issue_token(user), "TOKEN_SUBJECT_MISMATCH")
        await doors.check_login(second_world.partner.issue_token("bob"), "NOT_ENLISTED")
    assert not carol.jid


@pytest.mark.requirement("ENL-02")
async def test_a_subject_must_be_an_identifier_of_the_registered_kind(world: World, doors: Doors) -> None:
    """A username is none with a space, an at sign, a line break or too many characters (ENL-02, ENL-07)."""
    for subject in ("bob smith", "bob@example.com", "bob\nsmith", "b" * 65, " ", "\0", "é" * 200):
        token = world.partner.issue_token("bob", sub=subject)
        with case(repr(subject)):
            await doors.check_grpc(token, "TOKEN_CLAIMS_INVALID")
            await doors.check_http(token, "TOKEN_CLAIMS_INVALID")


@pytest.mark.requirement("ENL-01")
async def test_only_an_active_partner_vouches(world: World, doors: Doors) -> None:
    """Onboarding, suspended, removed: no enlistment and no login, until it is active (again) (ENL-01)."""
    token = world.partner.issue_token("bob")
    for status in (
        interop_pb2.PARTNER_STATUS_ONBOARDING,
        interop_pb2.PARTNER_STATUS_SUSPENDED,
        interop_pb2.PARTNER_STATUS_REMOVED,
    ):
        await world.register(status=status)
        await doors.check_refused(interop_pb2.PartnerStatus.Name(status), token, "PARTNER_NOT_ACTIVE")
    await world.register()


@asynccontextmanager
async def key_set_server(status: int, body: bytes) -> AsyncIterator[str]:
    """A partner's server whose key set is none; yields its base URL."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    application = web.Application()
    application.router.add_get("/.well-known/oauth/openid/jwks", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


KEY_SETS = {
    "no JSON": (200, b"<html>"),
    "no object": (200, b"[]"),
    "no keys": (200, b"{}"),
    "an empty list": (200, b'{"keys":[]}'),
    "keys that are none": (200, b'{"keys":[1,null,{},{"kty":"RSA"}]}'),
    "a key of another kind": (200, b'{"keys":[{"kty":"oct","kid":"1","k":"AA","alg":"RS256","use":"sig"}]}'),
    "no UTF-8": (200, b"\xff\xfe"),
    "too long": (200, b" " * 70_000 + b"{}"),
    "an error": (500, b'{"keys":[]}'),
    "a redirect": (302, b""),
    "nothing there": (404, b""),
}


@pytest_asyncio.fixture
async def keyless(world: World) -> AsyncIterator[admin_pb2.Partner]:
    """A partner of whom no key set could be fetched so far; removed at the end."""
    integrator = next(spare_integrators)
    async with key_set_server(404, b"") as base_url:
        partner = admin_pb2.Partner(
            integrator=integrator,
            name="Keyless",
            issuer=f"https://keyless-{integrator}.example",
            base_url=base_url,
            status=interop_pb2.PARTNER_STATUS_ACTIVE,
            identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
        )
        assert await world.admin.put_partner(partner) == 0
    yield partner
    partner.status = interop_pb2.PARTNER_STATUS_REMOVED
    await world.admin.put_partner(partner)


@pytest.mark.requirement("ENL-03")
async def test_without_a_key_set_no_token_is_good(world: World, keyless: admin_pb2.Partner, doors: Doors) -> None:
    """Unreachable, garbage or empty: the partner's fault, and said so (ENL-03)."""
    token = world.partner.issue_token("bob", iss=keyless.issuer)

    async def check_keyless(name: str) -> None:
        assert await world.admin.put_partner(keyless) == 0
        await doors.check_refused(name, token, "JWKS_UNAVAILABLE")
        with refused("JWKS_UNAVAILABLE", name):
            await world.admin.refresh_jwks(keyless.integrator)

    await check_keyless("nobody listens")
    for name, (status, body) in KEY_SETS.items():
        async with key_set_server(status, body) as base_url:
            keyless.base_url = base_url
            await check_keyless(name)
