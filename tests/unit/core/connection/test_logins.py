"""Who may connect: token, key and mode of connection, each on its own and all together."""

from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.errors import Reason
from interop_server.core.model import (
    ConnectionFacts,
    ConnectionMode,
    IdentifierType,
    PartnerStatus,
    PartnerTerms,
    Platform,
)
from tests.unit.core.world import BATS, NOW, NOW_MS, OWLS, ClientKeys, World, derived, partner, refused, token

ADA, BEA = ClientKeys(seed=1), ClientKeys(seed=2)


async def test_key_and_token_together_log_in(world: World) -> None:
    """The enlisted key, proved by the handshake, and a token for the same user (CHN-06, CHN-07)."""
    ada = await world.enlisted()
    assert await world.logins.log_in(world.login(ada)) == ada


async def test_a_login_records_the_read_receipt_setting(world: World) -> None:
    """The last login decides; it is what peers' receipts go by (RCP-01)."""
    ada, user = await world.enlisted(), await world.opted_in()
    for read_receipts in (False, True):
        await world.logins.log_in(world.login(ada, read_receipts=read_receipts))
        facts = await world.store.routes.get_facts(user, [ada.jid])
        assert facts[ada.jid].read_receipts is read_receipts


@pytest.mark.requirement("CHN-09")
async def test_a_client_takes_frames_that_every_stanza_fits_into(world: World) -> None:
    """Any that is long enough, for a larger ciphertext a longer one, and none when it does not say (CHN-09)."""
    ada, wide = await world.enlisted(), world.with_limits(max_ciphertext_bytes=500_000)
    for rules, least in ((world, 131_072), (wide, 500_512)):
        for fits in (None, least, 2**32 - 1):
            await rules.logins.log_in(world.login(ada, max_frame_bytes=fits))
        for short in (0, least - 1):
            with refused(Reason.LOGIN_MALFORMED) as caught:
                await rules.logins.log_in(world.login(ada, max_frame_bytes=short))
            assert f"{least:,}" in caught.value.detail


BAD_LOGINS: list[Any] = [
    pytest.param({"static_key": BEA.auth_key}, Reason.AUTH_KEY_MISMATCH, id="right token, another user's key"),
    pytest.param({"static_key": derived("any")}, Reason.AUTH_KEY_MISMATCH, id="right token, any key"),
    pytest.param({"token": token(exp=NOW - 60, iat=NOW - 90)}, Reason.TOKEN_EXPIRED, id="right key, old token"),
    pytest.param({"token": ""}, Reason.TOKEN_MALFORMED, id="right key, no token"),
    pytest.param({"token": token(key="k200")}, Reason.TOKEN_SIGNATURE_INVALID, id="right key, forged token"),
    pytest.param({"token": token("bea")}, Reason.TOKEN_SUBJECT_MISMATCH, id="right key, another user's token"),
    pytest.param({"token": token("ada", OWLS)}, Reason.NOT_ENLISTED, id="right key, token of another partner"),
    pytest.param({"token": token(iss="nobody")}, Reason.BAD_INTEGRATOR, id="right key, token of nobody"),
    pytest.param({"account_number": 0}, Reason.NOT_ENLISTED, id="no account number"),
    pytest.param({"account_number": 2**64 - 1}, Reason.NOT_ENLISTED, id="an account number of nobody"),
    pytest.param({"protocol_version": 0}, Reason.PROTOCOL_VERSION_TOO_OLD, id="an old client"),
    pytest.param({"client_ip": "198.51.100.7"}, Reason.LOGIN_MALFORMED, id="a client address in direct mode"),
    pytest.param({"mode": ConnectionMode.PROXY}, Reason.PROXY_NOT_ALLOWED, id="a proxy nobody agreed to"),
]


@pytest.mark.requirement("ENL-07", "CHN-07")
@pytest.mark.parametrize(("changes", "reason"), BAD_LOGINS)
async def test_a_login_needs_all_that_belongs_to_it(world: World, changes: dict[str, Any], reason: Reason) -> None:
    """Neither half of the proof replaces the other, and a refused login records nothing (ENL-07, CHN-07, T3)."""
    ada, user = await world.enlisted(keys=ADA), await world.opted_in()
    await world.enlisted("bea", keys=BEA)
    with refused(reason):
        await world.logins.log_in(world.login(ada, **({"read_receipts": False} | changes)))
    assert (await world.store.routes.get_facts(user, [ada.jid]))[ada.jid].read_receipts


async def test_a_user_cannot_log_in_as_another(world: World) -> None:
    """Own token and own key with another's account number, or with another's key besides (T2)."""
    ada, bea = await world.enlisted("ada", keys=ADA), await world.enlisted("bea", keys=BEA)
    own_token = token("ada")
    with refused(Reason.TOKEN_SUBJECT_MISMATCH):
        await world.logins.log_in(world.login(bea, static_key=ada.auth_key, token=own_token))
    with refused(Reason.TOKEN_SUBJECT_MISMATCH):
        await world.logins.log_in(world.login(bea, keys=BEA, token=own_token))


async def test_a_partner_cannot_log_in_as_anothers_user(world: World) -> None:
    """The account is looked up at the token's partner only, though the number is another's (T1)."""
    ada = await world.enlisted("ada", BATS)
    forged = world.login(ada, token=token("ada", OWLS))
    with refused(Reason.NOT_ENLISTED):
        await world.logins.log_in(forged)


async def test_the_identifier_is_compared_in_its_normal_form(world: World) -> None:
    """What enlisted as `Ada` logs in as `ADA`; what is no identifier of that partner any more does not (ENL-07)."""
    ada = await world.enlisted("Ada")
    assert await world.logins.log_in(world.login(ada, token=token("ADA"))) == ada
    await world.register(partner(BATS, identifier_type=IdentifierType.PHONE))
    with refused(Reason.TOKEN_SUBJECT_MISMATCH):
        await world.logins.log_in(world.login(ada))


async def test_re_enlisting_with_another_auth_key_shuts_out_the_old_one(world: World) -> None:
    """One account has one key to log in with (CHN-07, ENL-13)."""
    ada = await world.enlisted(keys=ADA)
    again = await world.enlisted(keys=BEA)
    with refused(Reason.AUTH_KEY_MISMATCH):
        await world.logins.log_in(world.login(ada, keys=ADA))
    assert await world.logins.log_in(world.login(ada, keys=BEA)) == again


async def test_a_deleted_account_has_to_enlist_again(world: World) -> None:
    """The old number leads nowhere (LIF-03)."""
    ada = await world.enlisted()
    await world.deletion.delete(ada)
    with refused(Reason.NOT_ENLISTED):
        await world.logins.log_in(world.login(ada))


async def test_a_whatsapp_user_logs_in_with_number_and_key(world: World) -> None:
    """No token, whatever the platform: the key is all there is (CHN-07)."""
    user = await world.whatsapp_user(platform=Platform.WEB)
    assert await world.logins.log_in(world.login(user)) == user


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"static_key": ADA.auth_key}, Reason.AUTH_KEY_MISMATCH),
        ({"phone_number": "491500000000"}, Reason.NOT_ENLISTED),
        ({"phone_number": ""}, Reason.NOT_ENLISTED),
        ({"mode": ConnectionMode.PROXY, "client_ip": "198.51.100.7"}, Reason.PROXY_NOT_ALLOWED),
        ({"client_ip": "198.51.100.7"}, Reason.PROXY_NOT_ALLOWED),
        ({"protocol_version": 0}, Reason.PROTOCOL_VERSION_TOO_OLD),
    ],
)
async def test_a_whatsapp_user_connects_directly_or_not_at_all(
    world: World, changes: dict[str, Any], reason: Reason
) -> None:
    """A proxy is for partners' clients (PRX-01)."""
    user = await world.whatsapp_user()
    with refused(reason):
        await world.logins.log_in(world.login(user, **changes))


@pytest.mark.requirement("PRX-01")
async def test_a_proxy_works_where_the_agreement_allows_it(world: World) -> None:
    """With the end client's public address (PRX-01, PRX-02)."""
    ada = await world.enlisted()
    await world.register(partner(BATS, proxy_allowed=True))
    by_proxy = world.login(ada, mode=ConnectionMode.PROXY, client_ip="198.51.100.7")
    assert await world.logins.log_in(by_proxy) == ada
    for missing in ("", "10.0.0.1"):
        with refused(Reason.CLIENT_ADDRESS_INVALID):
            await world.logins.log_in(replace(by_proxy, client_ip=missing))


@pytest.mark.requirement("PRX-05")
async def test_connection_signals_speak_for_the_client_in_direct_mode_only(world: World) -> None:
    """Behind a proxy, peer address and fingerprint are the proxy's (PRX-05)."""
    ada = await world.enlisted()
    direct = ConnectionFacts(ada, ConnectionMode.DIRECT, "", "ipv4:198.51.100.7:1", NOW_MS)
    assert direct.signals_available
    assert not replace(direct, mode=ConnectionMode.PROXY, client_ip="198.51.100.8").signals_available


@pytest.mark.requirement("ENL-01", "PRX-01", "LIF-03")
@pytest.mark.parametrize(
    ("change", "mode", "reason"),
    [
        ({"status": PartnerStatus.SUSPENDED}, ConnectionMode.DIRECT, Reason.PARTNER_NOT_ACTIVE),
        ({"proxy_allowed": False}, ConnectionMode.PROXY, Reason.PROXY_NOT_ALLOWED),
        (None, ConnectionMode.DIRECT, Reason.NOT_ENLISTED),
    ],
    ids=["suspended", "no proxies any more", "deleted"],
)
async def test_what_changes_during_a_login_holds_for_it(
    world: World, change: dict[str, Any] | None, mode: ConnectionMode, reason: Reason
) -> None:
    """The operator or the user is faster, after everything was looked at: who was let in now would stay."""
    allowed = partner(BATS, proxy_allowed=True)
    await world.register(allowed)
    ada = await world.enlisted()
    set_connected = world.store.accounts.set_connected

    async def overtaken(*arguments: Any) -> PartnerTerms | None:
        if change is None:
            await world.deletion.delete(ada)
        else:
            await world.store.partners.put(replace(allowed, **change))
        return await set_connected(*arguments)

    world.store.accounts.set_connected = overtaken  # type: ignore[method-assign]
    client_ip = "203.0.113.7" if mode is ConnectionMode.PROXY else ""
    with refused(reason):
        await world.logins.log_in(world.login(ada, mode=mode, client_ip=client_ip))


@pytest.mark.requirement("PRX-07")
async def test_logins_are_limited_by_the_clients_address(world: World) -> None:
    """Whoever it is that logs in there, with whatever outcome; other addresses do not suffer."""
    rules = world.with_limits(login_client_burst=2, login_client_per_second=0.1)
    logins, ada, user = rules.logins, await world.enlisted(), await world.whatsapp_user()
    await logins.log_in(world.login(ada), "203.0.113.7")
    with refused(Reason.TOKEN_MALFORMED):
        await logins.log_in(world.login(ada, token="x"), "203.0.113.7")
    with refused(Reason.RATE_LIMITED) as caught:
        await logins.log_in(world.login(user), "203.0.113.7")
    assert caught.value.retry_after_ms == 10_001
    await logins.log_in(world.login(ada), "203.0.113.8")
    for _ in range(5):  # this machine's is many people's
        await logins.log_in(world.login(ada), "127.0.0.1")
    world.clock.advance(10_001)
    await logins.log_in(world.login(user), "203.0.113.7")


@pytest.mark.requirement("PRX-07")
async def test_logins_by_proxy_are_limited_by_both_addresses(world: World) -> None:
    """The client's, once the proxy has shown that it is one, and the proxy's."""
    await world.register(partner(BATS, proxy_allowed=True))
    rules = world.with_limits(login_client_burst=2, login_proxy_burst=5, login_proxy_per_second=0.1)
    logins, ada = rules.logins, await world.enlisted()

    async def log_in(client_ip: str, proxy_ip: str, **changes: Any) -> None:
        await logins.log_in(world.login(ada, mode=ConnectionMode.PROXY, client_ip=client_ip, **changes), proxy_ip)

    for _ in range(3):
        with refused(Reason.TOKEN_MALFORMED):
            await log_in("203.0.113.7", "198.51.100.1", token="x")
    await log_in("203.0.113.7", "198.51.100.1")
    await log_in("203.0.113.7", "198.51.100.2")
    with refused(Reason.RATE_LIMITED):
        await log_in("203.0.113.7", "198.51.100.3")
    await log_in("203.0.113.8", "198.51.100.1")
    with refused(Reason.RATE_LIMITED):
        await log_in("203.0.113.9", "198.51.100.1")
    with refused(Reason.RATE_LIMITED):  # a client that connects itself from there has used the same up
        await logins.log_in(world.login(ada), "203.0.113.7")
    await log_in("203.0.113.9", "198.51.100.2")
