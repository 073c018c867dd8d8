"""T4: a token says by itself how, or with what, it is to be verified."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world
from tests.e2e.enlistment.test_refusals_tokens import Doors, badly_signed, claims_of, forge, sign
from tests.e2e.raw import QUIET, no_trace
from tests.threats.doors import enlist, log_in_as
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T4"), pytest.mark.requirement("SIM-06")]


@pytest_asyncio.fixture
async def rotating(endpoint: Endpoint, tmp_path: Path) -> AsyncIterator[World]:
    """A messenger with keys of its own, so that it can rotate them."""
    async with open_world(endpoint, SigningKeys(), tmp_path / "rotating") as rotating:
        yield rotating


@pytest.mark.requirement("ENL-05")
async def test_a_token_does_not_choose_its_algorithm(world: World, attack: Attack) -> None:
    """Every algorithm but RS256, and HS256 with the public key as its secret, at all three doors."""
    bob = await world.third_party("bob", QUIET)
    attack.tries(
        "Tokens with alg none in every spelling, HS256 keyed with the public key, RS384, PS256, ES256, EdDSA, no kid, "
        "an unknown kid, and other claims under a good signature; enlisting over gRPC and HTTP, and logging in"
    )
    async with aiohttp.ClientSession() as http, no_trace(world.admin):
        doors = Doors(world, bob, http)
        for name, token, reason in badly_signed(world, SigningKeys().current):
            await doors.check_refused(name, token, reason)
    await bob.ping()
    attack.holds("RS256 under a kid of the cached key set is all that counts: each is refused with its own reason")


@pytest.mark.requirement("ENL-04")
async def test_a_token_does_not_bring_its_key(world: World, attack: Attack) -> None:
    """`jwk`, `jku`, `x5u` and a kid that is a path name keys that nobody looks at."""
    own = SigningKeys().current
    asked: list[str] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append("asked")
        writer.close()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    attack.tries("Tokens with a key in the header (jwk), or its address (jku, x5u), or a kid that is a path or an URL")
    headers: list[dict[str, object]] = [
        {"kid": str(own.kid), "jwk": own.as_dict(private=False)},
        {"kid": str(own.kid), "jku": url},
        {"kid": str(own.kid), "x5u": url},
        {"kid": "../../../../dev/null"},
        {"kid": url},
        {"kid": "' OR 1=1 --"},
    ]
    for header in headers:
        token = sign({"alg": "RS256", "kid": str(own.kid)}, claims_of(world, "bob"), own)
        assert (await enlist(world, token)).failure.error.requirement == "ENL-04"
        named = forge({"alg": "RS256"} | header, claims_of(world, "bob"), b"signature")
        assert (await enlist(world, named)).HasField("failure")
    server.close()
    await server.wait_closed()
    assert not asked
    attack.holds("Only the key set that the messenger is registered with is read; no address in a token is asked")


@pytest.mark.requirement("ENL-03")
async def test_a_key_that_was_rotated_away_signs_nothing(rotating: World, attack: Attack) -> None:
    """A leaked key is worth nothing once the messenger serves it no more, and the key set was read again."""
    bob = await rotating.third_party("bob", QUIET)
    await bob.close()
    stale = rotating.partner.issue_token("bob")
    attack.tries("Logging in and enlisting with a token of a key that the messenger has taken out of its key set")
    await asyncio.to_thread(rotating.partner.keys.rotate, keep_old=False)
    await rotating.admin.refresh_jwks(rotating.integrator)

    assert await log_in_as(rotating, bob, stale, bob.state.auth_private_key) == "TOKEN_KEY_UNKNOWN"
    assert (await enlist(rotating, stale)).failure.error.requirement == "ENL-04"
    fresh = rotating.partner.issue_token("bob")
    assert await log_in_as(rotating, bob, fresh, bob.state.auth_private_key) == ""
    attack.holds("TOKEN_KEY_UNKNOWN from the next reading of the key set on; tokens of the new key are good")
