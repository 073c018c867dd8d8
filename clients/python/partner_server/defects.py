"""Tokens that are wrong on purpose, each with the refusal that it must meet; knows no HTTP and reads no clock.

For whoever wants to see how a client takes a refusal, and for whoever wonders what a token must be.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass

from joserfc import jws
from joserfc.jwk import RSAKey

from interop_protocol.encoding import encode_base64url
from interop_protocol.sizes import MAX_TOKEN_BYTES
from partner_server.keys import RSA_BITS
from partner_server.tokens import DEFAULT_TTL_SECONDS, TokenIssuer

_SKEW_SECONDS = 300
"""Longer than the difference between two clocks that a server overlooks."""


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with a token."""

    name: str
    """As it is chosen on a command line."""
    sentence: str
    """What is wrong, for people."""
    reason: str
    """Name of the reason for which the server must refuse the token."""
    requirement: str
    """The requirement behind that."""
    make: Callable[[TokenIssuer, str, float], str]
    """Makes the token: from its issuer, the user and the time in seconds since the UNIX epoch."""


def _with(**claims: object) -> Callable[[TokenIssuer, str, float], str]:
    return lambda issuer, user, now: issuer.issue_token(user, now, DEFAULT_TTL_SECONDS, **claims)


def _timed(issued: int, expires: int) -> Callable[[TokenIssuer, str, float], str]:
    return lambda issuer, user, now: issuer.issue_token(user, now, iat=int(now) + issued, exp=int(now) + expires)


def _header(**changes: object) -> Callable[[TokenIssuer, str, float], str]:
    """Signs a token of another header with the issuer's own key, whatever the header says."""

    def make(issuer: TokenIssuer, user: str, now: float) -> str:
        header = {"alg": "RS256", "kid": str(issuer.keys.current.kid)} | changes
        named = {name: value for name, value in header.items() if value is not None}
        _, payload, signature = issuer.issue_token(user, now).split(".")
        return f"{encode_base64url(json.dumps(named).encode())}.{payload}.{signature}"

    return make


def _unsigned(issuer: TokenIssuer, user: str, now: float) -> str:
    return f"{_header(alg='none')(issuer, user, now).rpartition('.')[0]}."


def _signed_with_public_key(issuer: TokenIssuer, user: str, now: float) -> str:
    signed = _header(alg="HS256")(issuer, user, now).rpartition(".")[0]
    secret = issuer.keys.current.as_pem(private=False)
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _signed_by_another(issuer: TokenIssuer, user: str, now: float) -> str:
    kid = str(issuer.keys.current.kid)
    _, payload, _ = issuer.issue_token(user, now).split(".")
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    stranger = RSAKey.generate_key(RSA_BITS)
    return jws.serialize_compact(
        {"alg": "RS256", "kid": kid}, json.dumps(claims).encode(), stranger, algorithms=["RS256"]
    )


def _other_claims(issuer: TokenIssuer, user: str, now: float) -> str:
    header, _, signature = issuer.issue_token(user, now).split(".")
    payload = issuer.issue_token(f"not-{user}", now).split(".")[1]
    return f"{header}.{payload}.{signature}"


def _too_long(issuer: TokenIssuer, user: str, now: float) -> str:
    token = issuer.issue_token(user, now)
    return token + "A" * (MAX_TOKEN_BYTES + 1 - len(token))


def _cut(issuer: TokenIssuer, user: str, now: float) -> str:
    return issuer.issue_token(user, now).rpartition(".")[0]


_ALL = (
    Defect("expired", "It has expired.", "TOKEN_EXPIRED", "ENL-05", _timed(-2 * _SKEW_SECONDS, -_SKEW_SECONDS)),
    Defect(
        "not-yet-valid",
        "It is valid from five minutes on.",
        "TOKEN_NOT_YET_VALID",
        "ENL-05",
        _timed(_SKEW_SECONDS, _SKEW_SECONDS + DEFAULT_TTL_SECONDS),
    ),
    Defect("too-long-a-life", "It is good for two hours.", "TOKEN_LIFETIME_TOO_LONG", "ENL-05", _timed(0, 7_200)),
    Defect(
        "alg-none", "Its header says alg=none, and nobody signed it.", "TOKEN_ALGORITHM_REFUSED", "ENL-05", _unsigned
    ),
    Defect(
        "alg-hs256",
        "It is signed with HS256, and the public key as the secret.",
        "TOKEN_ALGORITHM_REFUSED",
        "ENL-05",
        _signed_with_public_key,
    ),
    Defect("alg-es256", "Its header says alg=ES256.", "TOKEN_ALGORITHM_REFUSED", "ENL-05", _header(alg="ES256")),
    Defect("no-kid", "Its header names no key.", "TOKEN_KEY_UNKNOWN", "ENL-04", _header(kid=None)),
    Defect(
        "unknown-kid",
        "Its header names a key that the key set lacks.",
        "TOKEN_KEY_UNKNOWN",
        "ENL-04",
        _header(kid="nobody-has-this-key"),
    ),
    Defect(
        "wrong-key",
        "Another key has signed it than the one that it names.",
        "TOKEN_SIGNATURE_INVALID",
        "ENL-03",
        _signed_by_another,
    ),
    Defect(
        "other-claims", "Its claims are not those that were signed.", "TOKEN_SIGNATURE_INVALID", "ENL-03", _other_claims
    ),
    Defect(
        "wrong-issuer", "Its `iss` is no partner's.", "BAD_INTEGRATOR", "ENL-01", _with(iss="https://nobody.example")
    ),
    Defect(
        "wrong-audience", "Its `aud` is somebody else's.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(aud="somebody-else")
    ),
    Defect("no-subject", "It has no `sub`.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(sub=None)),
    Defect("no-issuer", "It has no `iss`.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(iss=None)),
    Defect("no-audience", "It has no `aud`.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(aud=None)),
    Defect("no-expiry", "It has no `exp`.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(exp=None)),
    Defect("no-issue-time", "It has no `iat`.", "TOKEN_CLAIMS_INVALID", "ENL-07", _with(iat=None)),
    Defect("malformed", "Its signature is missing, so it has two parts.", "TOKEN_MALFORMED", "ENL-05", _cut),
    Defect("too-large", f"It has more than {MAX_TOKEN_BYTES} bytes.", "TOKEN_TOO_LARGE", "ENL-06", _too_long),
)

DEFECTS = {defect.name: defect for defect in _ALL}
"""By name."""
