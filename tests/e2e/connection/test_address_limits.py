"""Logins and enlistments are limited by the address that they come from: a client's, and a proxy's as well."""

import time
from pathlib import Path

import pytest

from interop_client.errors import LoginRefused, ServerRefusal
from interop_client.third_party import ThirdPartyClient
from interop_server.core.limits import Limits
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, check, refused

pytestmark = pytest.mark.requirement("PRX-07")

LIMITS = Limits(
    login_client_burst=2,
    login_client_per_second=0.01,
    login_proxy_burst=6,
    login_proxy_per_second=0.01,
    enlist_address_burst=8,
    enlist_address_per_second=0.01,
)


async def limited(client: ThirdPartyClient) -> int:
    """Asserts that a login is refused for being one too many; says after how many milliseconds it would not be."""
    with pytest.raises(LoginRefused) as raised:
        await client.connect()
    check(raised.value, "RATE_LIMITED")
    assert raised.value.code == 503
    assert raised.value.retry_after_ms is not None
    return raised.value.retry_after_ms


async def by_proxy(world: World, user: str, client_ip: str) -> ThirdPartyClient:
    return await world.proxied(user, QUIET, client_ip)


async def test_too_many_logins_from_a_clients_address_or_through_a_proxy(
    tmp_path: Path, signing_keys: SigningKeys
) -> None:
    """Through one proxy come two clients of one address, and one of another.

    1. From the first address two logins are taken, whoever logs in; the third waits. The other address does not suffer.
    2. Through the proxy six attempts are taken, from whatever addresses; this machine's own count there, too.
    3. After the time that was told the login is taken.
    """
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, LIMITS, clock) as (world, _):
        carol, dave = await by_proxy(world, "carol", "203.0.113.7"), await by_proxy(world, "dave", "203.0.113.7")
        eve, bob = await by_proxy(world, "eve", "203.0.113.8"), world.device("bob", QUIET)
        await bob.enlist(world.partner.issue_token("bob"))
        await carol.connect()
        await dave.connect()
        retry_after_ms = await limited(carol)
        assert 99_000 < retry_after_ms <= 100_001
        await eve.connect()
        await bob.connect()
        await eve.connect()
        assert 99_000 < await limited(eve) <= 100_001
        assert 99_000 < await limited(bob) <= 100_001
        await clock.advance(retry_after_ms)
        await carol.connect()


async def test_too_many_enlistments_from_an_address(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """With or without a good token, over gRPC or HTTP; nothing of them stays."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, LIMITS, clock) as (world, _):
        bob, token = world.device("bob", QUIET), world.partner.issue_token("bob")
        for _ in range(4):
            await bob.enlist(token)
            with refused("TOKEN_MALFORMED"):
                await bob.enlist("x")
        with pytest.raises(ServerRefusal) as raised:
            await bob.enlist(token)
        check(raised.value, "RATE_LIMITED")
        with pytest.raises(ServerRefusal, match="RATE_LIMITED"):
            await bob.enlist_over_http(world.endpoint.http, token)
        assert raised.value.retry_after_ms is not None
        await clock.advance(raised.value.retry_after_ms)
        await bob.enlist(token)
