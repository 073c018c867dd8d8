"""T3: somebody has copied a user's token: from a log, from the wire, or an old one."""

import asyncio
import time

import grpc.aio
import pytest

from interop_api.v1 import prekeys_pb2
from interop_client.client import InteropClient
from interop_client.connection.calls import unary_call
from interop_client.messaging.events import ConnectionLost, IdentityChanged, TextReceived
from interop_client.state import ClientState
from tests.e2e.conftest import World
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, WAIT_SECONDS, no_trace
from tests.e2e.wire import Wire
from tests.threats.doors import enlist, log_in_as
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T3"), pytest.mark.requirement("SIM-06")]


async def count_prekeys_with(world: World, session_token: str) -> str:
    """Makes a call as whoever has this session token; returns the reason for which it is refused."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        return await refused(
            unary_call(
                channel,
                "/interop_api.v1.PreKeyService/CountOneTimePreKeys",
                prekeys_pb2.CountOneTimePreKeysRequest(),
                prekeys_pb2.CountOneTimePreKeysResponse,
                (("authorization", f"Bearer {session_token}"),),
            )
        )


@pytest.mark.requirement("CHN-07")
async def test_a_token_alone_never_logs_in(world: World, attack: Attack) -> None:
    """The handshake proves the enlisted auth key, or nothing."""
    bob = await world.third_party("bob", QUIET)
    token = world.partner.issue_token("bob")
    attack.tries("Logging in with a stolen token that is still good, and one's own auth key")
    async with no_trace(world.admin):
        assert await log_in_as(world, bob, token, ClientState.generate().auth_private_key) == "AUTH_KEY_MISMATCH"
    await bob.ping()
    attack.holds("AUTH_KEY_MISMATCH: without the enlisted auth key a token opens nothing")


@pytest.mark.requirement("ENL-05")
async def test_a_token_is_good_for_its_time_only(world: World, attack: Attack) -> None:
    """Also together with the right auth key, as after the theft of a whole device."""
    bob = await world.third_party("bob", QUIET)
    await bob.close()
    now = int(time.time())
    attack.tries("Logging in and enlisting with the right keys and an old, a future or an endless token")
    for claims, reason in (
        ({"iat": now - 4_000, "exp": now - 400}, "TOKEN_EXPIRED"),
        ({"iat": now + 400, "exp": now + 1_000}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": now + 400}, "TOKEN_NOT_YET_VALID"),
        ({"exp": now + 10_000_000}, "TOKEN_LIFETIME_TOO_LONG"),
    ):
        token = world.partner.issue_token("bob", **claims)
        assert await log_in_as(world, bob, token, bob.state.auth_private_key) == reason
        assert (await enlist(world, token, bob.state)).failure.error.requirement == "ENL-05"
    attack.holds("Each is refused for its time, with half a minute of tolerance for clocks")


async def test_a_token_is_no_session_token(world: World, attack: Attack) -> None:
    """Nor is a session token worth anything once its connection has ended."""
    bob = await world.third_party("bob", QUIET)
    attack.tries("Making calls with a stolen token in the place of a session token, and with an old session token")
    assert await count_prekeys_with(world, world.partner.issue_token("bob")) == "SESSION_DEAD"
    await bob.close()
    async with Wire(bob.transport) as wire:
        session_token = wire.login.session_token
        assert await count_prekeys_with(world, session_token) == ""
    await wait_until_disconnected(world, bob)
    assert await count_prekeys_with(world, session_token) == "SESSION_DEAD"
    attack.holds("SESSION_DEAD: a session token lives as long as the connection that proved the auth key")


async def wait_until_disconnected(world: World, client: InteropClient) -> None:
    """Waits until the server has seen that a client is gone."""
    async with asyncio.timeout(WAIT_SECONDS):
        while any(connection.jid == client.jid for connection in await world.admin.list_connections()):
            pass


@pytest.mark.requirement("KEY-17")
async def test_a_stolen_token_at_enlistment_is_seen_by_everybody(world: World, attack: Attack) -> None:
    """A token that is still good does enlist a new device: that is what it is for. It cannot be done in secret."""
    alice, bob = await world.whatsapp(), await world.third_party("bob")
    await alice.send_text(bob.jid, "Hello")
    await bob.wait_for(TextReceived)
    attack.tries("Enlisting one's own keys for the victim with a stolen token that is still good")

    response = await enlist(world, world.partner.issue_token("bob"))

    assert response.success.login == bob.jid
    assert (await bob.wait_for(ConnectionLost)).reason == "KEYS_REPLACED"
    assert await alice.wait_for(IdentityChanged) == IdentityChanged(bob.jid)
    attack.holds("It works, as documented, but the victim's connection ends at once and every peer is told of new keys")
