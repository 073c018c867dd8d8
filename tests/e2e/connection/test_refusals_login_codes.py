"""Every code that a login can fail with, on the wire: in the sealed `login_failure`; the stream ends with the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import chat_pb2, interop_pb2
from interop_client.connection.login import LoginOptions, third_party_login
from interop_client.errors import LoginRefused
from interop_client.third_party import ThirdPartyClient
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.raw import QUIET, RawStream, check
from tests.stores import broken_table

pytestmark = pytest.mark.requirement("CHN-10")


async def failure(world: World, bob: ThirdPartyClient, payload: chat_pb2.LoginPayload) -> LoginRefused:
    """What becomes of a login with Bob's key."""
    async with RawStream(world.endpoint.grpc) as stream:
        with pytest.raises(LoginRefused) as caught:
            await stream.log_in(bob.state.auth_private_key, payload)
    check(caught.value, caught.value.reason)
    return caught.value


def outdated(payload: chat_pb2.LoginPayload) -> None:
    payload.protocol_version = 0


def of_no_product(payload: chat_pb2.LoginPayload) -> None:
    payload.product = chat_pb2.Product.ValueType(1)


def of_a_stranger(payload: chat_pb2.LoginPayload) -> None:
    payload.interop_data.account_id += 1


def without_token(payload: chat_pb2.LoginPayload) -> None:
    payload.interop_data.token = b""


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (of_no_product, 400, "LOGIN_MALFORMED"),
        (of_a_stranger, 401, "NOT_ENLISTED"),
        (without_token, 401, "TOKEN_MALFORMED"),
        (outdated, 405, "PROTOCOL_VERSION_TOO_OLD"),
    ],
)
async def test_what_the_client_says_wrongly(
    world: World, change: Callable[[chat_pb2.LoginPayload], None], code: int, reason: str
) -> None:
    """400 malformed, 401 not authorised, 405 outdated; nothing passes with time."""
    bob = await world.third_party("bob", QUIET)
    payload = third_party_login(bob.jid, world.partner.issue_token("bob"))
    change(payload)
    login = await failure(world, bob, payload)
    assert (login.code, login.reason, login.expires_after_seconds, login.sub_code) == (code, reason, None, None)


@pytest.mark.parametrize(
    ("kind", "seconds", "sub_code", "code", "reason"),
    [
        *(
            (standing_pb2.SANCTION_KIND_TEMPORARY_BAN, 3_600, sub_code, 402, "TEMPORARILY_BANNED")
            for sub_code in (101, 102, 103, 104, 106)
        ),
        (standing_pb2.SANCTION_KIND_BAN, 0, 0, 406, "BANNED"),
    ],
)
async def test_who_is_banned(
    world: World,
    kind: standing_pb2.SanctionKind.ValueType,
    seconds: int,
    sub_code: int,
    code: int,
    reason: str,
) -> None:
    """402 for a time, with what for and how long; 406 for good (ABU-05)."""
    bob = await world.third_party("bob", QUIET)
    await world.admin.impose_sanction(bob.jid, kind, seconds, sub_code)
    login = await failure(world, bob, third_party_login(bob.jid, world.partner.issue_token("bob")))
    assert (login.code, login.reason, login.sub_code) == (code, reason, sub_code or None)
    assert (login.expires_after_seconds is not None) == (code == 402)


async def test_whose_messenger_may_not(world: World) -> None:
    """403: nothing that the client does changes it. A messenger that is suspended, and one without proxy mode."""
    bob = await world.third_party("bob", QUIET)
    entry = await world.register()
    entry.proxy_allowed = False
    await world.admin.put_partner(entry)
    options = LoginOptions(client_ip="203.0.113.9")
    login = await failure(world, bob, third_party_login(bob.jid, world.partner.issue_token("bob"), options))
    assert (login.code, login.reason) == (403, "PROXY_NOT_ALLOWED")

    entry.status = interop_pb2.PARTNER_STATUS_SUSPENDED
    await world.admin.put_partner(entry)
    login = await failure(world, bob, third_party_login(bob.jid, world.partner.issue_token("bob")))
    assert (login.code, login.reason) == (403, "PARTNER_NOT_ACTIVE")


async def test_a_key_set_that_cannot_be_had(world: World) -> None:
    """503: it may be better in a moment."""
    bob = await world.third_party("bob", QUIET)
    entry = await world.register()
    entry.base_url = "http://127.0.0.1:9"
    await world.admin.put_partner(entry)
    login = await failure(world, bob, third_party_login(bob.jid, world.partner.issue_token("bob")))
    assert (login.code, login.reason) == (503, "JWKS_UNAVAILABLE")


async def test_a_store_that_fails(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """500 and nothing of what went wrong; a server that can read its store again lets the same client in."""
    async with own_world(tmp_path, signing_keys) as (world, _):
        bob = await world.third_party("bob", QUIET)
        await bob.close()
        payload = third_party_login(bob.jid, world.partner.issue_token("bob"))
        with broken_table(tmp_path / "simulator.db", "sanction"):
            login = await failure(world, bob, payload)
            assert (login.code, login.reason, login.expires_after_seconds) == (500, "SERVER_FAULT", None)
            assert "sanction" not in login.advice and login.request_id
        async with RawStream(world.endpoint.grpc) as stream:
            assert (await stream.log_in(bob.state.auth_private_key, payload)).jid == bob.jid
