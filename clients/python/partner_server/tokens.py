"""Tokens by which a partner vouches for its users; knows nothing of HTTP and reads no clock."""

from dataclasses import dataclass

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from interop_protocol.sizes import MAX_TOKEN_BYTES
from partner_server.keys import SigningKeys

AUDIENCE = "interopsim"
DEFAULT_TTL_SECONDS = 600
MAX_USER_CHARACTERS = 256


class TokenRefused(Exception):
    """A token does not verify or is for another use; the message says why and contains nothing of the token."""


def is_user_identifier(value: object) -> bool:
    """Says whether a value can be a user-visible identifier: 1 to 256 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_USER_CHARACTERS and value.isprintable()


def verified_claims(token: str, keys: KeySet) -> dict[str, object]:
    """Returns the claims of a token that one of the keys has signed with RS256.

    Raises:
        ValueError: None of them has, or it is no token.
    """
    try:
        return dict(jwt.decode(token, keys, algorithms=["RS256"]).claims)
    except (JoseError, TypeError, RecursionError) as error:  # a `crit` that is no list of texts, a header without end
        raise ValueError("the token does not verify") from error


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Issues and verifies the tokens of one partner."""

    issuer: str
    """The `iss` under which the partner is registered."""
    keys: SigningKeys
    """The keys that sign and verify."""

    def issue_token(self, user: str, now: float, ttl: int = DEFAULT_TTL_SECONDS, **overrides: object) -> str:
        """Issues a token that vouches for a user.

        Args:
            user: User-visible identifier, becomes `sub`.
            now: Seconds since the UNIX epoch.
            ttl: Lifetime in seconds.
            **overrides: Claims with other values, or None to leave one out: for tests of a verifier.

        Returns:
            A compact JWS, signed with RS256 under the current key.

        Source: ENL-05, ENL-07.
        """
        issued_at = int(now)
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": user,
            "aud": AUDIENCE,
            "iat": issued_at,
            "exp": issued_at + ttl,
        }
        claims.update(overrides)
        present = {name: value for name, value in claims.items() if value is not None}
        key = self.keys.current
        return jwt.encode({"alg": "RS256", "kid": str(key.kid)}, present, key, algorithms=["RS256"])

    def verify_token(self, token: str, user: str, now: float) -> None:
        """Checks that this partner issued a token to this user, and that it has not expired.

        Raises:
            TokenRefused: Another issuer signed it, it is for another user or use, or it has expired.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused("the token is too long")
        try:
            claims = verified_claims(token, self.keys.verification_keys)
        except ValueError as error:
            raise TokenRefused("the token was not signed by this messenger") from error
        if (claims.get("iss"), claims.get("aud"), claims.get("sub")) != (self.issuer, AUDIENCE, user):
            raise TokenRefused("the token was issued for another purpose or user")
        expires_at = claims.get("exp")
        if not isinstance(expires_at, int) or expires_at <= now:
            raise TokenRefused("the token has expired")
