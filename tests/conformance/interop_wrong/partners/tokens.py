"""Defects of tokens."""

import base64
import json
from collections.abc import Callable
from typing import Any

from joserfc import jwt

from interop_wrong.register import wrong_partner
from partner_server.keys import SigningKeys
from partner_server.tokens import TokenIssuer

_ENLISTS = "ENL-07.token-enlists"
_NAMES_KEY = "ENL-04.token-names-its-key"


def _change_claims(change: Callable[[str, int], dict[str, Any]]) -> None:
    """Has tokens carry other claims.

    Args:
        change: Returns the claims that differ, for a user and the time.
    """
    issue = TokenIssuer.issue_token

    def changed(self: TokenIssuer, user: str, now: float, ttl: int = 600, **overrides: object) -> str:
        return issue(self, user, now, ttl, **{**overrides, **change(user, int(now))})

    TokenIssuer.issue_token = changed  # type: ignore[method-assign]


@wrong_partner("ENL-04.token-is-signed-with-rs256")
def issues_unsigned_tokens() -> None:
    """Leaves its tokens unsigned."""
    issue = TokenIssuer.issue_token

    def unsigned(self: TokenIssuer, user: str, now: float, ttl: int = 600, **overrides: object) -> str:
        claims = issue(self, user, now, ttl, **overrides).split(".")[1]
        header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
        return f"{header}.{claims}."

    TokenIssuer.issue_token = unsigned  # type: ignore[method-assign]


@wrong_partner(_NAMES_KEY)
def names_no_key() -> None:
    """Leaves `kid` out of its tokens."""

    def nameless(self: TokenIssuer, user: str, now: float, ttl: int = 600, **_: object) -> str:
        claims = {"iss": self.issuer, "sub": user, "aud": "interopsim", "iat": int(now), "exp": int(now) + ttl}
        return jwt.encode({"alg": "RS256"}, claims, self.keys.current, algorithms=["RS256"])

    TokenIssuer.issue_token = nameless  # type: ignore[method-assign]


@wrong_partner("ENL-03.token-verifies", also=(_ENLISTS,))
def signs_with_another_key() -> None:
    """Signs with a key of which it serves no public part, under the name of one that it serves."""
    other = SigningKeys().current
    encode = jwt.encode

    def signed(header: Any, claims: Any, _: Any, **options: Any) -> str:
        return encode(header, claims, other, **options)

    jwt.encode = signed  # type: ignore[assignment]


@wrong_partner("ENL-07.token-names-its-user")
def names_users_by_number() -> None:
    """Names in its tokens a number of its own for the user."""
    _change_claims(lambda user, _: {"sub": f"user-{len(user)}"})


@wrong_partner("ENL-07.token-names-its-issuer", also=(_ENLISTS,))
def has_another_issuer() -> None:
    """Names itself with a slash at the end."""
    _change_claims(lambda _, __: {"iss": "https://messenger.example/"})


@wrong_partner("ENL-05.token-is-dated", also=(_ENLISTS,))
def issues_tokens_without_end() -> None:
    """Does not say when its tokens end."""
    _change_claims(lambda _, __: {"exp": None})


@wrong_partner("ENL-05.token-is-of-now", also=(_ENLISTS,))
def has_a_clock_that_is_fast() -> None:
    """Dates its tokens two hours ahead."""
    _change_claims(lambda _, now: {"iat": now + 7_200, "exp": now + 7_800})


@wrong_partner("ENL-06.token-is-short", also=(_ENLISTS,))
def puts_a_profile_into_tokens() -> None:
    """Puts the user's picture into its tokens."""
    _change_claims(lambda _, __: {"picture": "A" * 5_000})


@wrong_partner("ENL-07.token-names-its-audience", also=(_ENLISTS,))
def issues_tokens_for_anybody() -> None:
    """Does not say for whom its tokens are."""
    _change_claims(lambda _, __: {"aud": None})


@wrong_partner("ENL-07.token-is-fresh")
def keeps_tokens() -> None:
    """Gives a user the same token again and again."""
    issue = TokenIssuer.issue_token
    kept: dict[str, str] = {}

    def issue_kept(self: TokenIssuer, user: str, now: float, ttl: int = 600, **overrides: object) -> str:
        return kept.get(user) or kept.setdefault(user, issue(self, user, now, ttl, **overrides))

    TokenIssuer.issue_token = issue_kept  # type: ignore[method-assign]
