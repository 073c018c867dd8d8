"""Sanctions through the running server: each with its code, as a script imposes it, until it ends or is lifted."""

import time
from collections.abc import Awaitable
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import enlistment_pb2, interop_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import LoginOptions
from interop_client.errors import LoginRefused, ServerRefusal
from interop_client.messaging.events import ConnectionLost, TextReceived
from interop_client.third_party import ThirdPartyClient
from interop_server.core.connection.logins import Logins
from interop_server.core.limits import Limits
from interop_server.core.model import Account
from interop_server.runtime.clock import AdjustableClock
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.operator.test_refusals_limits import own_world
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, enlistment, no_trace
from tests.e2e.raw import refused as refusal_of

pytestmark = pytest.mark.requirement("ABU-05")

LOCKED, TEMPORARILY, FOR_GOOD = (
    standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED,
    standing_pb2.SANCTION_KIND_TEMPORARY_BAN,
    standing_pb2.SANCTION_KIND_BAN,
)
SUB_CODES = (101, 102, 103, 104, 106)
HOUR = 3_600


async def login_refused(attempt: Awaitable[object]) -> LoginRefused:
    """How a login is refused."""
    with pytest.raises(LoginRefused) as caught:
        await attempt
    return caught.value


async def somebody(world: World, side: str) -> InteropClient:
    """A connected person of either side."""
    return await (world.whatsapp() if side == "WhatsApp" else world.third_party("bob"))


@pytest.mark.requirement("CHN-10")
@pytest.mark.parametrize("sub_code", SUB_CODES)
async def test_a_temporary_ban_says_what_for_and_how_long(world: World, sub_code: int) -> None:
    """The channel ends with the reason, its session is dead; the login is refused with 402 until the ban is lifted."""
    bob = await world.third_party("bob")
    await world.admin.impose_sanction(bob.jid, TEMPORARILY, HOUR, sub_code)

    assert (await bob.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED"
    assert await refused(bob.count_prekeys()) == "SESSION_DEAD"
    login = await login_refused(bob.connect())
    assert (login.reason, login.code, login.sub_code) == ("TEMPORARILY_BANNED", 402, sub_code)
    assert login.expires_after_seconds is not None and HOUR - 60 <= login.expires_after_seconds <= HOUR
    assert login.retry_after_ms is not None and 0 <= login.expires_after_seconds * 1_000 - login.retry_after_ms < 1_000
    [sanction] = (await world.admin.get_standing(bob.jid)).sanctions
    assert (sanction.kind, sanction.sub_code) == (TEMPORARILY, sub_code)

    await world.admin.lift_sanctions(bob.jid)
    await bob.connect()
    assert not (await world.admin.get_standing(bob.jid)).sanctions


@pytest.mark.requirement("CHN-10")
@pytest.mark.parametrize("side", ["WhatsApp", "third party"])
async def test_a_ban_for_good_has_no_end(world: World, side: str) -> None:
    """406 and no time to wait for, on either side of a chat; what was sent meanwhile waits as for anybody away."""
    banned, peer = (
        await somebody(world, side),
        await somebody(world, "third party" if side == "WhatsApp" else "WhatsApp"),
    )
    await peer.send_text(banned.jid, "before")
    await banned.wait_for(TextReceived)
    await world.admin.impose_sanction(banned.jid, FOR_GOOD)

    assert (await banned.wait_for(ConnectionLost)).reason == "BANNED"
    login = await login_refused(banned.connect())
    assert (login.reason, login.code, login.sub_code, login.expires_after_seconds) == ("BANNED", 406, None, None)
    await peer.send_text(banned.jid, "while banned")

    await world.admin.lift_sanctions(banned.jid)
    await banned.connect()
    assert (await banned.wait_for(TextReceived)).text == "while banned"


async def test_a_ban_for_good_is_the_persons(world: World) -> None:
    """New keys on a new device do not help, over gRPC or HTTP; nobody else of the same messenger is concerned."""
    bob = await world.third_party("bob")
    await world.admin.impose_sanction(bob.jid, FOR_GOOD)
    new_device = world.device("bob")
    async with no_trace(world.admin):
        with refusal_of("BANNED"):
            await new_device.enlist(world.partner.issue_token("bob"))
        over_http = new_device.enlist_over_http(world.endpoint.http, world.partner.issue_token("bob"))
        assert await refused(over_http) == "BANNED"
    await world.third_party("carol")

    await world.admin.lift_sanctions(integrator=world.integrator, external_id=" Bob")
    assert await new_device.enlist(world.partner.issue_token("bob")) == bob.jid


async def test_a_temporary_ban_ends_by_itself(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """By the server's clock, to the millisecond; seconds are rounded up."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, clock=clock) as (world, _):
        alice = await world.whatsapp()
        await world.admin.impose_sanction(alice.jid, TEMPORARILY, HOUR, 102)
        await clock.advance(HOUR * 1_000 - 1)
        login = await login_refused(alice.connect())
        assert (login.sub_code, login.expires_after_seconds, login.retry_after_ms) == (102, 1, 1)
        await clock.advance(1)
        await alice.connect()
        await alice.ping()


@pytest.mark.requirement("PRX-01", "CHN-10")
async def test_a_ban_is_told_through_a_proxy_too(world: World) -> None:
    """The same code, sub-code and time as in a direct connection."""
    bob = await world.third_party("bob")
    await bob.close()
    await world.admin.impose_sanction(bob.jid, TEMPORARILY, HOUR, 106)

    async def get_token() -> str:
        return world.partner.issue_token("bob")

    proxied = ThirdPartyClient.direct(world.endpoint, bob.state, get_token, login=LoginOptions(client_ip="203.0.113.9"))
    direct = await login_refused(bob.connect())
    by_proxy = await login_refused(proxied.connect())
    for login in (direct, by_proxy):
        assert (login.code, login.sub_code) == (402, 106)
        assert login.expires_after_seconds is not None and login.expires_after_seconds <= HOUR
    await proxied.close()


async def test_a_script_must_make_sense(world: World) -> None:
    """Kind, sub-code and duration that do not belong together change nothing, and neither does an unknown account."""
    bob = await world.third_party("bob")
    wrong: list[tuple[standing_pb2.SanctionKind.ValueType, int, int]] = [
        (standing_pb2.SANCTION_KIND_UNSPECIFIED, HOUR, 0),
        (standing_pb2.SanctionKind.ValueType(4), HOUR, 0),
        (LOCKED, 0, 0),
        (LOCKED, HOUR, 102),
        (LOCKED, 365 * 24 * HOUR + 1, 0),
        (TEMPORARILY, 0, 102),
        (TEMPORARILY, HOUR, 0),
        (TEMPORARILY, HOUR, 105),
        (FOR_GOOD, HOUR, 0),
        (FOR_GOOD, 0, 102),
    ]
    async with no_trace(world.admin):
        for kind, seconds, sub_code in wrong:
            with refusal_of("REQUEST_MALFORMED", (kind, seconds, sub_code)):
                await world.admin.impose_sanction(bob.jid, kind, seconds, sub_code)
        with refusal_of("REQUEST_MALFORMED"):
            await world.admin.lift_sanctions()
        for jid in ("999-12345678901234@interop", "bob", "", "x" * 10_000):
            with refusal_of("NOT_REGISTERED", jid):
                await world.admin.impose_sanction(jid, FOR_GOOD)
            with refusal_of("NOT_REGISTERED", jid):
                await world.admin.get_standing(jid)
        with refusal_of("NOT_REGISTERED"):
            await world.admin.lift_sanctions("bob")
        with refusal_of("NOT_REGISTERED"):
            await world.admin.lift_sanctions(integrator=1_000, external_id="bob")
        with refusal_of("REQUEST_MALFORMED"):
            await world.admin.lift_sanctions(integrator=world.integrator, external_id="bo b")
    await bob.ping()


async def test_the_refusal_of_an_enlistment_has_its_code(world: World) -> None:
    """406, also there."""
    bob = await world.third_party("bob")
    await world.admin.impose_sanction(bob.jid, FOR_GOOD)
    with pytest.raises(ServerRefusal) as caught:
        await bob.enlist(world.partner.issue_token("bob"))
    assert caught.value.code == 406
    response = await bob.transport.call(
        "/interop_api.v1.EnlistmentService/Enlist",
        enlistment(bob.state, world.partner.issue_token("bob")),
        enlistment_pb2.EnlistResponse,
    )
    assert response.failure.error.code == 406


async def test_who_may_open_no_new_chats_goes_on_with_the_others(world: World) -> None:
    """463 and what is left of the lock, for a third-party user's first message only; who is written to may answer."""
    bob, old, new, stranger = (
        await world.third_party("bob"),
        await world.whatsapp(),
        await world.whatsapp(),
        await world.whatsapp(),
    )
    await bob.send_text(old.jid, "before")
    for jid in (bob.jid, stranger.jid):
        await world.admin.impose_sanction(jid, LOCKED, HOUR)

    await bob.send_text(old.jid, "still")
    assert [(await old.wait_for(TextReceived)).text for _ in range(2)] == ["before", "still"]
    with pytest.raises(ServerRefusal) as caught:
        await bob.send_text(new.jid, "Hello")
    assert (caught.value.reason, caught.value.code) == ("NEW_CHATS_LOCKED", 463)
    assert caught.value.retry_after_ms is not None and 0 < caught.value.retry_after_ms <= HOUR * 1_000

    await stranger.send_text(bob.jid, "I write first")
    await bob.wait_for(TextReceived)
    await bob.send_text(stranger.jid, "then I may")
    assert (await stranger.wait_for(TextReceived)).text == "then I may"

    await world.admin.lift_sanctions(bob.jid)
    await bob.send_text(new.jid, "Hello")
    assert (await new.wait_for(TextReceived)).text == "Hello"


async def test_who_goes_on_beyond_the_cap_is_banned(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """475 each time, then the connection ends, and the login is refused with 402 and 101."""
    limits = Limits(new_chats=1, capped_until_ban=2)
    async with own_world(tmp_path, signing_keys, limits) as (world, _):
        bob = await world.third_party("bob")
        people = [await world.whatsapp(options=QUIET) for _ in range(4)]
        await bob.send_text(people[0].jid, "Hello")
        for person in people[1:]:
            with refusal_of("NEW_CHATS_CAPPED"):
                await bob.send_text(person.jid, "Hello")
        assert (await bob.wait_for(ConnectionLost)).reason == "TEMPORARILY_BANNED"
        login = await login_refused(bob.connect())
        assert (login.code, login.sub_code) == (402, 101)


@pytest.mark.requirement("ABU-07")
async def test_a_messenger_with_many_banned_users_is_suspended(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """As a whole: who is connected is told, and nobody logs in, until its operator makes it active again."""
    async with own_world(tmp_path, signing_keys, Limits(banned_users_until_suspension=2)) as (world, _):
        innocent = await world.third_party("innocent")
        for name in ("bob", "eve"):
            somebody_bad = await world.third_party(name)
            await world.admin.impose_sanction(somebody_bad.jid, FOR_GOOD)
        assert (await innocent.wait_for(ConnectionLost)).reason == "PARTNER_NOT_ACTIVE"
        [partner] = await world.admin.list_partners()
        assert partner.status == interop_pb2.PARTNER_STATUS_SUSPENDED
        assert (await login_refused(innocent.connect())).code == 403
        await world.register()
        await innocent.connect()


@pytest.mark.requirement("LIF-04")
async def test_a_ban_outlives_the_enlistment(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """Thirty days later the account is gone and the ban is not: a new enlistment is refused until it is lifted."""
    clock = AdjustableClock(time.time_ns() // 1_000_000)
    async with own_world(tmp_path, signing_keys, clock=clock) as (world, _):
        bob = await world.third_party("bob", QUIET)
        await world.admin.impose_sanction(bob.jid, FOR_GOOD)
        await bob.close()
        await clock.advance(31 * 24 * HOUR * 1_000)
        with refusal_of("NOT_REGISTERED"):
            await world.admin.get_standing(bob.jid)

        now = clock.now_ms() // 1_000
        token = world.partner.issue_token("bob", iat=now, exp=now + 600)
        old_jid, new_device = bob.jid, world.device("bob")
        with refusal_of("BANNED"):
            await new_device.enlist(token)
        await world.admin.lift_sanctions(integrator=world.integrator, external_id="bob")
        assert await new_device.enlist(token) != old_jid


async def test_nobody_slips_in_while_being_banned(
    tmp_path: Path, signing_keys: SigningKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ban that comes when the login has been looked at, and no connection is there yet that it could end."""
    async with own_world(tmp_path, signing_keys) as (world, _):
        bob = await world.third_party("bob", QUIET)
        await bob.close()
        check = Logins.check_standing

        async def check_then_ban(logins: Logins, account: Account) -> None:
            await check(logins, account)
            await world.admin.impose_sanction(bob.jid, TEMPORARILY, HOUR, 102)

        monkeypatch.setattr(Logins, "check_standing", check_then_ban)
        assert (await login_refused(bob.connect())).code == 402
        assert await world.admin.list_connections() == []
