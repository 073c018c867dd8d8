"""What a partner's token must hold, and when its partner is asked for keys."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import PartnerStatus
from interop_server.core.ports import TokenHeader
from interop_server.core.rules import build_rules
from interop_server.runtime.jwt import JoserfcTokens
from tests.unit.core.world import BATS, NOW, OWLS, World, jwk, key_set, partner, refused, signing_key, token

PAUSE_MS = 10_000
SKEW = 30


async def test_a_good_token_says_whom_it_speaks_for(world: World) -> None:
    """The partner by its issuer, the user by the identifier as the token has it (ENL-03, ENL-07)."""
    assert await world.tokens.verify(token("Ada")) == (partner(BATS), "Ada")
    assert await world.tokens.verify(token("Ada", OWLS)) == (partner(OWLS), "Ada")


@pytest.mark.requirement("ENL-06")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("a" * 4_097, Reason.TOKEN_TOO_LARGE, id="one byte too long"),
        pytest.param("a" * 4_096, Reason.TOKEN_MALFORMED, id="as long as may be"),
        pytest.param("é" * 2_049, Reason.TOKEN_TOO_LARGE, id="too long in bytes only"),
        pytest.param("\ud800" * 2_000, Reason.TOKEN_TOO_LARGE, id="lone surrogates, too long"),
        pytest.param("\ud800", Reason.TOKEN_MALFORMED, id="a lone surrogate"),
        pytest.param("", Reason.TOKEN_MALFORMED, id="nothing"),
        pytest.param("a.b.c", Reason.TOKEN_MALFORMED, id="no JSON"),
    ],
)
async def test_a_token_is_at_most_4096_bytes_of_compact_jws(world: World, text: str, reason: Reason) -> None:
    """Size first, so that nothing long is parsed (ENL-06)."""
    with refused(reason):
        await world.tokens.verify(text)


BAD_HEADERS: list[Any] = [
    pytest.param({"alg": "none"}, Reason.TOKEN_ALGORITHM_REFUSED, id="none"),
    pytest.param({"alg": "HS256"}, Reason.TOKEN_ALGORITHM_REFUSED, id="hmac"),
    pytest.param({"alg": "RS512"}, Reason.TOKEN_ALGORITHM_REFUSED, id="another RSA algorithm"),
    pytest.param({"alg": "rs256"}, Reason.TOKEN_ALGORITHM_REFUSED, id="lower case"),
    pytest.param({"alg": None}, Reason.TOKEN_ALGORITHM_REFUSED, id="no algorithm"),
    pytest.param({"kid": None}, Reason.TOKEN_KEY_UNKNOWN, id="no kid"),
    pytest.param({"kid": 1}, Reason.TOKEN_KEY_UNKNOWN, id="kid is no text"),
    pytest.param({"kid": "k200"}, Reason.TOKEN_KEY_UNKNOWN, id="kid of another partner"),
]


@pytest.mark.parametrize(("header", "reason"), BAD_HEADERS)
async def test_only_rs256_under_a_known_key_id_is_accepted(
    world: World, header: dict[str, Any], reason: Reason
) -> None:
    """Algorithm and key id are checked before any key is used (ENL-04, ENL-05, T4)."""
    with refused(reason):
        await world.tokens.verify(token(header=header))


BAD_CLAIMS: list[Any] = [
    pytest.param({"iss": None}, Reason.TOKEN_CLAIMS_INVALID, id="no issuer"),
    pytest.param({"iss": ["https://100.example"]}, Reason.TOKEN_CLAIMS_INVALID, id="a list of issuers"),
    pytest.param({"iss": "https://nobody.example"}, Reason.BAD_INTEGRATOR, id="an unknown issuer"),
    pytest.param({"iss": "https://100.EXAMPLE"}, Reason.BAD_INTEGRATOR, id="the issuer in other case"),
    pytest.param({"aud": None}, Reason.TOKEN_CLAIMS_INVALID, id="no audience"),
    pytest.param({"aud": "somebody else"}, Reason.TOKEN_CLAIMS_INVALID, id="another audience"),
    pytest.param({"aud": ["a", "b"]}, Reason.TOKEN_CLAIMS_INVALID, id="other audiences"),
    pytest.param({"aud": []}, Reason.TOKEN_CLAIMS_INVALID, id="an empty list of audiences"),
    pytest.param({"sub": None}, Reason.TOKEN_CLAIMS_INVALID, id="no subject"),
    pytest.param({"sub": ""}, Reason.TOKEN_CLAIMS_INVALID, id="an empty subject"),
    pytest.param({"sub": 7}, Reason.TOKEN_CLAIMS_INVALID, id="a subject that is no text"),
    pytest.param({"iat": None}, Reason.TOKEN_CLAIMS_INVALID, id="no iat"),
    pytest.param({"exp": None}, Reason.TOKEN_CLAIMS_INVALID, id="no exp"),
    pytest.param({"exp": True}, Reason.TOKEN_CLAIMS_INVALID, id="exp is a truth value"),
    pytest.param({"exp": str(NOW + 60)}, Reason.TOKEN_CLAIMS_INVALID, id="exp is text"),
    pytest.param({"exp": 10**12}, Reason.TOKEN_CLAIMS_INVALID, id="exp in the far future"),
    pytest.param({"iat": -(10**400)}, Reason.TOKEN_CLAIMS_INVALID, id="iat too large for a float"),
    pytest.param({"nbf": "now"}, Reason.TOKEN_CLAIMS_INVALID, id="nbf is text"),
    pytest.param({"iat": NOW, "exp": NOW + 3_601}, Reason.TOKEN_LIFETIME_TOO_LONG, id="a second too long a life"),
    pytest.param({"iat": NOW - 86_400}, Reason.TOKEN_LIFETIME_TOO_LONG, id="a life that began long ago"),
    pytest.param({"iat": NOW - 600, "exp": NOW - SKEW}, Reason.TOKEN_EXPIRED, id="expired"),
    pytest.param({"iat": NOW + SKEW + 1}, Reason.TOKEN_NOT_YET_VALID, id="issued in the future"),
    pytest.param({"nbf": NOW + SKEW + 1}, Reason.TOKEN_NOT_YET_VALID, id="not before the future"),
    pytest.param({"nbf": NOW, "iat": NOW + SKEW + 1}, Reason.TOKEN_NOT_YET_VALID, id="nbf does not excuse iat"),
]


@pytest.mark.parametrize(("claims", "reason"), BAD_CLAIMS)
async def test_a_token_with_a_bad_claim_is_refused(world: World, claims: dict[str, Any], reason: Reason) -> None:
    """Each claim has its type, and time is bounded on both ends (ENL-05, ENL-07)."""
    with refused(reason):
        await world.tokens.verify(token(**claims))


@pytest.mark.requirement("ENL-05")
@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": NOW - SKEW + 1}, id="expired within the skew"),
        pytest.param({"iat": NOW + SKEW}, id="issued ahead within the skew"),
        pytest.param({"nbf": NOW + SKEW}, id="not before, within the skew"),
        pytest.param({"iat": NOW, "exp": NOW + 3_600}, id="as long a life as may be"),
        pytest.param({"iat": NOW - 0.5, "exp": NOW + 0.5}, id="fractions of seconds"),
        pytest.param({"aud": ["somebody else", "interopsim"]}, id="one audience of several"),
    ],
)
async def test_a_token_at_the_edge_is_accepted(world: World, claims: dict[str, Any]) -> None:
    """A small clock skew is allowed, to the second (ENL-05)."""
    assert (await world.tokens.verify(token(**claims))).external_id == "ada"


async def test_an_issuer_that_is_no_text_is_refused(world: World) -> None:
    """A lone surrogate can be escaped in JSON and looked up nowhere (ENL-05)."""
    with refused(Reason.TOKEN_MALFORMED):
        await world.tokens.verify(token(iss="\ud800"))


@pytest.mark.parametrize("status", [each for each in PartnerStatus if each is not PartnerStatus.ACTIVE])
async def test_everything_is_refused_for_a_partner_that_is_not_active(world: World, status: PartnerStatus) -> None:
    """And its server is not even asked (ENL-01)."""
    await world.register(partner(BATS, status=status))
    with refused(Reason.PARTNER_NOT_ACTIVE):
        await world.tokens.verify(token())
    assert world.key_servers.fetches == []


async def test_a_partner_cannot_speak_for_another(world: World) -> None:
    """Signed by the other partner, under its own key id or under the victim's (T1)."""
    await world.tokens.verify(token())
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token(key="k200", header={"kid": "k200"}))
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        await world.tokens.verify(token(key="k200"))


async def test_equal_key_ids_of_two_partners_stay_apart(world: World) -> None:
    """A `kid` means something within its partner's key set only (ENL-04, T1)."""
    for integrator in (BATS, OWLS):
        world.key_servers.served[integrator] = key_set(jwk("same", f"k{integrator}"))
    for integrator in (BATS, OWLS):
        verified = await world.tokens.verify(token(integrator=integrator, header={"kid": "same"}))
        assert verified.partner.integrator == integrator
    with refused(Reason.TOKEN_SIGNATURE_INVALID):
        await world.tokens.verify(token(header={"kid": "same"}, key="k200"))


class DuplicitousReader(JoserfcTokens):
    """Says before verification that every token comes from BATS."""

    def peek(self, token: str) -> TokenHeader:
        return super().peek(token)._replace(issuer=partner(BATS).issuer)

    def verify(self, token: str, jwks: str) -> Mapping[str, object]:
        return super().verify(token, key_set(jwk("k200", "k200")))


async def test_what_a_token_says_before_it_is_verified_proves_nothing(world: World) -> None:
    """The issuer among the verified claims decides, whatever was read earlier (T1)."""
    world.key_servers.served[BATS] = key_set(jwk("k200", "k200"))
    tokens = replace(world.tokens, reader=DuplicitousReader())
    with refused(Reason.BAD_INTEGRATOR):
        await tokens.verify(token(integrator=OWLS))


async def test_tokens_are_verified_against_the_cached_keys(world: World) -> None:
    """One fetch serves any number of tokens, also when the partner has gone since (ENL-03)."""
    for _ in range(3):
        await world.tokens.verify(token())
    world.key_servers.down.add(BATS)
    world.clock.advance(PAUSE_MS)
    await world.tokens.verify(token())
    assert world.key_servers.fetches == [BATS]


@pytest.mark.requirement("ENL-04")
async def test_an_unknown_key_id_causes_at_most_one_fetch_in_a_pause(world: World) -> None:
    """Whoever invents key ids cannot make the server hammer a partner (ENL-04)."""
    await world.tokens.verify(token())
    world.clock.advance(PAUSE_MS)
    for _ in range(3):
        with refused(Reason.TOKEN_KEY_UNKNOWN):
            await world.tokens.verify(token(header={"kid": "invented"}))
    assert world.key_servers.fetches == [BATS, BATS]
    world.clock.advance(PAUSE_MS - 1)
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token(header={"kid": "invented"}))
    assert world.key_servers.fetches == [BATS, BATS]
    world.clock.advance(1)
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token(header={"kid": "invented"}))
    assert world.key_servers.fetches == [BATS, BATS, BATS]


async def test_of_an_unknown_key_id_its_start_is_named(world: World) -> None:
    """So much that the caller knows it again; all of it might be a whole token."""
    with refused(Reason.TOKEN_KEY_UNKNOWN) as caught:
        await world.tokens.verify(token(header={"kid": "k" * 65}))
    assert caught.value.detail.endswith(f" {'k' * 64!r}")


async def test_many_unknown_key_ids_at_once_cause_one_fetch(world: World) -> None:
    """The pause begins when the asking begins (ENL-04)."""
    await world.tokens.verify(token())
    world.clock.advance(PAUSE_MS)
    bad = [world.tokens.verify(token(header={"kid": f"invented {number}"})) for number in range(10)]
    outcomes = await asyncio.gather(*bad, return_exceptions=True)
    assert {each.reason for each in outcomes if isinstance(each, Refusal)} == {Reason.TOKEN_KEY_UNKNOWN}
    assert world.key_servers.fetches == [BATS, BATS]


async def test_one_partners_pause_is_not_anothers(world: World) -> None:
    """Each partner is asked by its own clock (ENL-04)."""
    await world.tokens.verify(token())
    await world.tokens.verify(token(integrator=OWLS))
    assert world.key_servers.fetches == [BATS, OWLS]


async def test_a_partner_rotates_its_keys(world: World) -> None:
    """A token under the new key works at once, one under the withdrawn key no longer (ENL-03, ENL-04)."""
    await world.tokens.verify(token())
    world.key_servers.served[BATS] = key_set(jwk("new", "new key"))
    world.clock.advance(PAUSE_MS)
    await world.tokens.verify(token(key="new key", header={"kid": "new"}))
    world.clock.advance(PAUSE_MS)
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token())


async def test_a_refresh_withdraws_a_key(world: World) -> None:
    """What the partner no longer serves is not accepted after the timer's fetch (ENL-03)."""
    await world.tokens.verify(token())
    world.key_servers.served[BATS] = key_set(jwk("a", "new key"), jwk("b", "k200"))
    assert await world.key_sets.refresh(partner(BATS)) == 2
    with refused(Reason.TOKEN_KEY_UNKNOWN):
        await world.tokens.verify(token())


@pytest.mark.requirement("ENL-03")
@pytest.mark.parametrize(
    "served",
    [
        pytest.param("no json", id="garbage"),
        pytest.param("[]", id="no object"),
        pytest.param("{}", id="no keys"),
        pytest.param(key_set(), id="empty"),
        pytest.param(key_set(jwk("k100", "k100", use="enc")), id="a key of another use"),
        pytest.param(key_set(jwk("k100", "k100", alg="RS512")), id="a key of another algorithm"),
        pytest.param(key_set(jwk("k100", "k100", n="AQAB")), id="a short key"),
        pytest.param(None, id="server down"),
    ],
)
async def test_the_last_good_copy_stays(world: World, served: str | None) -> None:
    """A key set that fails or holds nothing usable replaces nothing (ENL-03, ENL-05)."""
    await world.tokens.verify(token())
    if served is None:
        world.key_servers.down.add(BATS)
    else:
        world.key_servers.served[BATS] = served
    with refused(Reason.JWKS_UNAVAILABLE):
        await world.key_sets.refresh(partner(BATS))
    await world.tokens.verify(token())
    world.clock.advance(PAUSE_MS)
    with refused(Reason.TOKEN_KEY_UNKNOWN) as caught:
        await world.tokens.verify(token(header={"kid": "invented"}))
    assert caught.value.retry_after_ms == PAUSE_MS  # the partner may serve the key by then
    await world.tokens.verify(token())


async def test_without_any_copy_the_partner_is_asked_with_pauses(world: World) -> None:
    """A partner that never answered is unavailable, not wrong; its token works once it is up (ENL-03, ENL-04)."""
    world.key_servers.down.add(BATS)
    for passed_ms in (0, 3):
        world.clock.advance(passed_ms)
        with refused(Reason.JWKS_UNAVAILABLE) as caught:
            await world.tokens.verify(token())
        assert caught.value.retry_after_ms == PAUSE_MS - passed_ms
    assert world.key_servers.fetches == [BATS]
    world.key_servers.down.clear()
    world.clock.advance(PAUSE_MS - 3)
    await world.tokens.verify(token())


async def test_without_any_copy_it_is_said_what_the_partner_served(world: World) -> None:
    """While there is a pause, that nothing could be fetched: its server was not asked again."""
    world.key_servers.served[BATS] = key_set()
    for detail in (
        "the key set has no RSA key of 2,048 bits or more with RS256 and use=sig",
        "no key set of this partner could be fetched so far",
    ):
        with refused(Reason.JWKS_UNAVAILABLE) as caught:
            await world.tokens.verify(token())
        assert caught.value.detail == detail


async def test_the_last_good_copy_outlives_the_process(world: World) -> None:
    """After a restart, tokens are verified without asking (ENL-03)."""
    await world.tokens.verify(token())
    restarted = build_rules(world.ports)
    await restarted.tokens.verify(token())
    assert world.key_servers.fetches == [BATS]


async def test_a_refusal_never_repeats_the_token(world: World) -> None:
    """What is said about a token holds neither its signature nor its subject (CHN-08)."""
    bad = token("ada-lovelace-1815", exp=NOW - 600, iat=NOW - 1_200)
    with refused(Reason.TOKEN_EXPIRED) as caught:
        await world.tokens.verify(bad)
    for secret in (*bad.split("."), "ada-lovelace-1815", signing_key("k100").public_key().public_numbers().n):
        assert str(secret) not in f"{caught.value} {caught.value.advice}"
