"""Defects of how pushes are taken."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey, RSAKey

from interop_wrong.register import wrong_partner
from partner_server import push_tokens
from partner_server.push_tokens import PushVerifier
from partner_server.routes import PUSH_PATH, Routes
from partner_server.tokens import TokenIssuer, TokenRefused

_WITHOUT = "LIF-01.push-without-token-is-refused"
_UNSIGNED = "LIF-01.push-unsigned-is-refused"
_SECRET = "LIF-01.push-of-shared-secret-is-refused"
_UNKNOWN = "LIF-01.push-of-unknown-key-is-refused"
_OWN_KEY = "LIF-01.push-with-own-key-is-refused"
_ALTERED = "LIF-01.push-altered-is-refused"
_ANOTHER = "LIF-01.push-to-another-is-refused"
_ISSUER = "LIF-01.push-of-another-issuer-is-refused"
_EXPIRED = "LIF-01.push-expired-is-refused"
_ENDLESS = "LIF-02.push-without-end-is-refused"
_NAMELESS = "LIF-02.push-without-kid-is-refused"
_LONG = "LIF-02.push-too-long-is-refused"


def _believe(believes: Callable[[str, Exception], bool]) -> None:
    """Has it accept what it should refuse.

    Args:
        believes: Says whether it takes a token, which it should refuse with an error.
    """
    verify = PushVerifier.verify

    async def verify_less(self: PushVerifier, authorization: str) -> None:
        try:
            await verify(self, authorization)
        except TokenRefused as error:
            if not believes(authorization.partition(" ")[2], error):
                raise

    PushVerifier.verify = verify_less  # type: ignore[method-assign]


def _change_claims(**believed: str) -> None:
    """Has it see other claims than a token has."""
    verified = PushVerifier._verified_claims

    async def changed(self: PushVerifier, token: str) -> dict[str, object]:
        return {**await verified(self, token), **believed}

    PushVerifier._verified_claims = changed  # type: ignore[method-assign]


@wrong_partner(
    _WITHOUT,
    _UNSIGNED,
    _SECRET,
    _UNKNOWN,
    _OWN_KEY,
    _ALTERED,
    _ANOTHER,
    _ISSUER,
    _EXPIRED,
    _ENDLESS,
    _NAMELESS,
    _LONG,
)
def accepts_any_push() -> None:
    """Takes pushes of whoever finds the address."""
    _believe(lambda _, __: True)


@wrong_partner(_UNSIGNED, _SECRET, _UNKNOWN, _OWN_KEY, _ALTERED, also=(_NAMELESS,))
def verifies_no_signature() -> None:
    """Reads the claims of a token, and never looks at its signature."""

    async def read(_: PushVerifier, token: str) -> dict[str, object]:
        try:
            claims: dict[str, object] = json.loads(jws.extract_compact(token.encode()).payload)
        except (JoseError, ValueError) as error:
            raise TokenRefused("no token") from error
        return claims

    PushVerifier._verified_claims = read  # type: ignore[method-assign, assignment]


@wrong_partner(_UNSIGNED)
def believes_in_none() -> None:
    """Lets a token say that it needs no signature."""

    def says_none(token: str, _: Exception) -> bool:
        try:
            return jws.extract_compact(token.encode()).headers().get("alg") == "none"
        except (JoseError, ValueError):
            return False

    _believe(says_none)


@wrong_partner(_SECRET)
def takes_its_public_key_for_a_secret() -> None:
    """Lets a token choose the algorithm: with HS256 the public key is the secret."""
    verified = PushVerifier._verified_claims

    async def by_its_algorithm(self: PushVerifier, token: str) -> dict[str, object]:
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError) as error:
            raise TokenRefused("no token") from error
        if header.get("alg") != "HS256":
            return await verified(self, token)
        keys = await self._keys.keys_for(str(header.get("kid")))
        pem = next(key for key in keys.keys if key.kid == header.get("kid")).as_pem(private=False)  # type: ignore[union-attr]
        return dict(jwt.decode(token, OctKey.import_key(pem), algorithms=["HS256"]).claims)

    PushVerifier._verified_claims = by_its_algorithm  # type: ignore[method-assign]


@wrong_partner(_OWN_KEY)
def believes_the_key_in_the_token() -> None:
    """Verifies a token with the key that it brings with it."""
    verified = PushVerifier._verified_claims
    registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    registry.max_header_length = 8_192

    async def with_its_key(self: PushVerifier, token: str) -> dict[str, object]:
        try:
            brought = jws.extract_compact(token.encode(), registry=registry).headers().get("jwk")
        except (JoseError, ValueError) as error:
            raise TokenRefused("no token") from error
        if not isinstance(brought, dict):
            return await verified(self, token)
        key = RSAKey.import_key({name: str(brought[name]) for name in ("kty", "n", "e")})
        claims: dict[str, object] = json.loads(jws.deserialize_compact(token, key, registry=registry).payload)
        return claims

    PushVerifier._verified_claims = with_its_key  # type: ignore[method-assign]


@wrong_partner(_NAMELESS)
def guesses_the_key() -> None:
    """Tries all keys when a token names none."""
    verified = PushVerifier._verified_claims

    async def with_any(self: PushVerifier, token: str) -> dict[str, object]:
        try:
            return await verified(self, token)
        except TokenRefused as error:
            keys: KeySet | None = self._keys._keys
            if "names no key" not in str(error) or keys is None:
                raise
        for key in keys.keys:
            try:
                return dict(jwt.decode(token, key, algorithms=["RS256"]).claims)
            except (JoseError, ValueError):
                continue
        raise TokenRefused("no key fits")

    PushVerifier._verified_claims = with_any  # type: ignore[method-assign]


@wrong_partner(_ANOTHER)
def accepts_pushes_to_others() -> None:
    """Does not look for whom a token is."""
    verified = PushVerifier._verified_claims

    async def changed(self: PushVerifier, token: str) -> dict[str, object]:
        return {**await verified(self, token), "aud": self._audience}

    PushVerifier._verified_claims = changed  # type: ignore[method-assign]


@wrong_partner(_ISSUER)
def accepts_other_issuers() -> None:
    """Does not look who has issued a token."""
    _change_claims(iss=push_tokens.WHATSAPP_ISSUER)


@wrong_partner(_EXPIRED)
def accepts_expired_pushes() -> None:
    """Does not look whether a token has ended."""
    push_tokens.CLOCK_SKEW_SECONDS = 1_000_000


@wrong_partner("LIF-02.push-retry-is-accepted")
def takes_a_retry_for_an_attack() -> None:
    """Refuses a token that has been used before."""
    verify = PushVerifier.verify
    used: Counter[str] = Counter()

    async def verify_once(self: PushVerifier, authorization: str) -> None:
        await verify(self, authorization)
        used[authorization] += 1
        if used[authorization] > 1:
            raise TokenRefused("the token was used before")

    PushVerifier.verify = verify_once  # type: ignore[method-assign]


@wrong_partner("LIF-02.push-for-nobody-is-answered-alike")
def tells_who_is_a_user() -> None:
    """Answers a push for somebody who has never asked for a token with 404."""
    issue, take = TokenIssuer.issue_token, Routes._take_push
    known: set[str] = set()

    def note(self: TokenIssuer, user: str, *arguments: Any, **overrides: Any) -> str:
        known.add(user)
        return issue(self, user, *arguments, **overrides)

    async def take_known(self: Routes, request: web.Request) -> web.Response:
        answer = await take(self, request)
        if json.loads(await request.read())["to"] not in known:
            raise web.HTTPNotFound
        return answer

    TokenIssuer.issue_token = note  # type: ignore[method-assign]
    Routes._take_push = take_known  # type: ignore[method-assign]


@wrong_partner("LIF-01.push-takes-post-only")
def takes_any_method() -> None:
    """Answers each request at the address of pushes, whatever its method."""
    routes = Routes.routes

    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    def more(self: Routes) -> list[web.RouteDef]:
        return [*routes(self), web.route("*", PUSH_PATH, answer)]

    Routes.routes = more  # type: ignore[method-assign]


@wrong_partner("LIF-02.push-malformed-is-refused", also=("LIF-02.push-with-more-fields-is-answered",))
def stumbles_over_wrong_bodies() -> None:
    """Fails when a push names no user."""
    take = Routes._take_push

    async def stumble(self: Routes, request: web.Request) -> web.Response:
        try:
            return await take(self, request)
        except web.HTTPBadRequest as error:
            raise web.HTTPInternalServerError from error

    Routes._take_push = stumble  # type: ignore[method-assign]


@wrong_partner("LIF-02.push-refusal-keeps-the-token")
def repeats_what_it_refuses() -> None:
    """Shows in its refusal the token that it does not take."""
    verify = PushVerifier.verify

    async def verify_aloud(self: PushVerifier, authorization: str) -> None:
        try:
            await verify(self, authorization)
        except TokenRefused as error:
            raise TokenRefused(f"{error}: {authorization}") from error

    PushVerifier.verify = verify_aloud  # type: ignore[method-assign]
