"""ENL-03 to ENL-07: the tokens by which a messenger vouches for its users."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from interop_conformance.check import Level, NotSo, Subject, check
from interop_conformance.checks.partner_keys import MARKED, number, usable
from interop_conformance.partner_stage import PartnerStage
from interop_protocol.sizes import MAX_TOKEN_BYTES

COMES = "ENL-07.token-comes"
SIGNED = "ENL-04.token-is-signed-with-rs256"
NAMES_KEY = "ENL-04.token-names-its-key"
NAMES_USER = "ENL-07.token-names-its-user"
ENLISTS = "ENL-07.token-enlists"
LOGS_IN = "ENL-07.token-logs-in"
AUDIENCE = "interopsim"
MAX_BITS = 16_384
"""Longest key with which the kit verifies: the time that it takes grows with the square."""
SKEW_SECONDS = 30
"""By how much clocks may differ here; a little more than requests take."""
FRESH_SECONDS = 5.0
"""How long the kit asks until a token is another one: those that are dated by the second are alike within it."""


def parts_of(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any], bytes]:
    """Returns header, claims and signature of a token, unverified.

    Raises:
        NotSo: It is no compact JWS.
    """
    segments = token.split(".")
    try:
        header, claims = (json.loads(_decoded(segment)) for segment in segments[:2])
        if len(segments) != 3 or not isinstance(header, dict) or not isinstance(claims, dict):
            raise ValueError("three segments, the first two objects")
        return header, claims, _decoded(segments[2])
    except (ValueError, RecursionError):
        raise NotSo("a JWT of three segments: header.claims.signature", f"{len(token)} characters: no JWT") from None


def _decoded(segment: str) -> bytes:
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)


async def claims(stage: PartnerStage) -> Mapping[str, Any]:
    """Returns the claims of a token of the user."""
    return parts_of(await stage.any_token())[1]


@check(
    COMES,
    Level.MUST,
    "The messenger gives its user a token: a JWT.",
    subject=Subject.PARTNER,
    milestone=1,
)
async def comes(stage: PartnerStage) -> None:
    """Three segments in base64url, of which the first two are objects."""
    parts_of(await stage.token())


@check(
    SIGNED,
    Level.MUST,
    "Tokens are signed with RS256.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def is_signed_with_rs256(stage: PartnerStage) -> None:
    """The header says so, and there is a signature."""
    header, _, signature = parts_of(await stage.any_token())
    stage.expect(header.get("alg") == "RS256" and signature, "`alg` RS256 and a signature", str(header.get("alg"))[:40])


@check(
    NAMES_KEY,
    Level.MUST,
    "A token names by `kid` a key that is in the key set, marked for RS256 signatures.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(SIGNED, MARKED),
)
async def names_its_key(stage: PartnerStage) -> None:
    """Exactly one usable key has this name."""
    kid = parts_of(await stage.any_token())[0].get("kid")
    found = [key for key in usable(await stage.key_set()) if isinstance(kid, str) and key.get("kid") == kid]
    stage.expect(len(found) == 1, "a `kid` of one key in the set", f"{str(kid)[:80]!r}, of {len(found)} keys")


@check(
    "ENL-03.token-verifies",
    Level.MUST,
    "A token's signature verifies with the key that it names.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(NAMES_KEY,),
)
async def verifies(stage: PartnerStage) -> None:
    """PKCS #1 v1.5 with SHA-256, over the first two segments as they came."""
    token = await stage.any_token()
    header, _, signature = parts_of(token)
    key = next((each for each in usable(await stage.key_set()) if each.get("kid") == header.get("kid")), {})
    try:
        exponent, modulus = number(key.get("e")), number(key.get("n"))
        if modulus.bit_length() > MAX_BITS or exponent.bit_length() > 64:
            raise NotSo(f"a key of at most {MAX_BITS} bits", f"{modulus.bit_length()} bits")
        public = RSAPublicNumbers(exponent, modulus).public_key()
        public.verify(signature, token.rpartition(".")[0].encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        raise NotSo("a signature that verifies", "it does not") from None


@check(
    "ENL-07.token-names-its-issuer",
    Level.MUST,
    "A token's `iss` is the issuer under which the messenger is registered.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def names_its_issuer(stage: PartnerStage) -> None:
    """WhatsApp finds the messenger by it."""
    issuer = (await claims(stage)).get("iss")
    stage.expect(issuer == stage.facts.issuer, f"`iss` {stage.facts.issuer}", repr(issuer)[:120])


@check(
    NAMES_USER,
    Level.MUST,
    "A token's `sub` is the user for whom it was asked.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def names_its_user(stage: PartnerStage) -> None:
    """Each of two users gets a token of their own."""
    for user in (stage.user, stage.other_user):
        subject = parts_of(await stage.any_token(user))[1].get("sub")
        stage.expect(subject == user, f"`sub` {user}", repr(subject)[:120])


@check(
    "ENL-07.token-names-its-audience",
    Level.SHOULD,
    "A token's `aud` is the one that the simulator stands for.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def names_its_audience(stage: PartnerStage) -> None:
    """A text, or a list that has it: then nobody else can use the token."""
    audience = (await claims(stage)).get("aud")
    is_named = audience == AUDIENCE or (isinstance(audience, list) and AUDIENCE in audience)
    stage.expect(is_named, f"`aud` {AUDIENCE}", repr(audience)[:120])


@check(
    "ENL-05.token-is-dated",
    Level.SHOULD,
    "A token says when it was issued and when it ends, in whole seconds.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def is_dated(stage: PartnerStage) -> None:
    """`iat` before `exp`. How long a token lives is the messenger's choice."""
    issued, ends = _dates(await claims(stage))
    stage.expect(issued < ends, "`iat` before `exp`", f"{issued} and {ends}")


def _dates(claims: Mapping[str, Any]) -> tuple[float, float]:
    issued, ends = claims.get("iat"), claims.get("exp")
    if not _is_time(issued) or not _is_time(ends):
        raise NotSo("`iat` and `exp` as numbers", f"{issued!r} and {ends!r}"[:120])
    return float(str(issued)), float(str(ends))


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


@check(
    "ENL-05.token-is-of-now",
    Level.SHOULD,
    "A new token is valid now: the messenger's clock is right.",
    subject=Subject.PARTNER,
    milestone=1,
    after=("ENL-05.token-is-dated",),
)
async def is_of_now(stage: PartnerStage) -> None:
    """It was not issued in the future, nor long before it was asked for, and has not ended."""
    began = time.time()
    token_claims = parts_of(await stage.token())[1]
    ended = time.time()
    (issued, ends), begins = _dates(token_claims), token_claims.get("nbf", 0)
    stage.expect(issued <= ended + SKEW_SECONDS, f"`iat` at {ended:.0f} or before", issued)
    stage.expect(not _is_time(begins) or begins <= ended + SKEW_SECONDS, f"`nbf` at {ended:.0f} or before", begins)
    stage.expect(ends > began, f"`exp` after {began:.0f}", ends)


@check(
    "ENL-06.token-is-short",
    Level.MUST,
    "A token has at most 4,096 bytes.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def is_short(stage: PartnerStage) -> None:
    """Longer ones are refused unread."""
    size = len(await stage.any_token())
    stage.expect(size <= MAX_TOKEN_BYTES, f"{MAX_TOKEN_BYTES} bytes or fewer", f"{size} bytes")


@check(
    "ENL-07.token-is-fresh",
    Level.SHOULD,
    "Whoever asks again gets a new token.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(COMES,),
)
async def is_fresh(stage: PartnerStage) -> None:
    """Each connection carries a token of its own. Two of the same second may be alike."""
    first = await stage.token()
    deadline = time.monotonic() + FRESH_SECONDS
    while await stage.token() == first:
        stage.expect(time.monotonic() < deadline, "another token", f"the same one for {FRESH_SECONDS:.0f} s")


@check(
    "ENL-07.tokens-come-side-by-side",
    Level.SHOULD,
    "Users who ask at the same time each get a token of their own.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(NAMES_USER,),
)
async def tokens_come_side_by_side(stage: PartnerStage) -> None:
    """Two users, twice each."""
    users = (stage.user, stage.other_user) * 2
    tokens = await asyncio.gather(*(stage.token(user) for user in users))
    subjects = tuple(parts_of(token)[1].get("sub") for token in tokens)
    stage.expect(subjects == users, ", ".join(users), repr(subjects)[:200])


@check(
    ENLISTS,
    Level.MUST,
    "WhatsApp takes the token when the user enlists.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(NAMES_KEY, NAMES_USER),
)
async def enlists(stage: PartnerStage) -> None:
    """With the documented form, by the SDK."""
    client = await stage.enlisted()
    stage.expect(client.jid.startswith(f"{stage.integrator}-"), f"a JID of messenger {stage.integrator}", client.jid)


@check(
    "ENL-07.token-is-always-of-the-same-user",
    Level.MUST,
    "A user who enlists again, with a new token, is the same account.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(ENLISTS,),
)
async def is_always_of_the_same_user(stage: PartnerStage) -> None:
    """The JID stays, and another user gets another one."""
    first = (await stage.enlisted()).jid
    await stage.token()
    again, other = (await stage.enlisted()).jid, (await stage.enlisted(stage.other_user)).jid
    stage.expect(again == first and other != first, f"{first} again, and another for the other", f"{again}, {other}")


@check(
    LOGS_IN,
    Level.MUST,
    "WhatsApp takes a token of the messenger at login.",
    subject=Subject.PARTNER,
    milestone=1,
    after=(ENLISTS,),
)
async def logs_in(stage: PartnerStage) -> None:
    """Twice, with a new token each."""
    client = await stage.enlisted()
    for _ in range(2):
        await stage.token()
        await stage.does("a user logs in with the messenger's token", client.connect())
