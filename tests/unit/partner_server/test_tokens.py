"""What the messenger says of its users, and with which keys."""

import base64

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from partner_server.keys import SigningKeys
from partner_server.tokens import TokenIssuer, TokenRefused

NOW = 1_800_000_000.5
PRIVATE_FIELDS = {"d", "p", "q", "dp", "dq", "qi"}


@pytest.fixture
def issuer(keys: SigningKeys) -> TokenIssuer:
    return TokenIssuer("https://bats.example", keys)


def with_header(header: str) -> str:
    """Returns a token that nobody has signed."""
    return f"{base64.urlsafe_b64encode(header.encode()).decode().rstrip('=')}.e30.eA"


def test_a_token_names_issuer_user_audience_and_life(issuer: TokenIssuer) -> None:
    """ENL-05, ENL-07: RS256 with a kid, and exactly the documented claims in whole seconds."""
    token = issuer.issue_token("bob@bats.example", NOW)

    decoded = jwt.decode(token, KeySet.import_key_set(issuer.keys.jwks()), algorithms=["RS256"])
    assert decoded.claims == {
        "iss": "https://bats.example",
        "sub": "bob@bats.example",
        "aud": "interopsim",
        "iat": 1_800_000_000,
        "exp": 1_800_000_600,
    }
    assert decoded.header["kid"] == issuer.keys.current.kid


def test_claims_can_be_changed_and_left_out(issuer: TokenIssuer) -> None:
    """A test of a verifier needs tokens that are wrong in one thing."""
    token = issuer.issue_token("bob", NOW, ttl=60, aud=None, nbf=7)

    claims = jwt.decode(token, issuer.keys.verification_keys).claims
    assert set(claims) == {"iss", "sub", "iat", "exp", "nbf"}
    assert claims["exp"] - claims["iat"] == 60


def test_a_key_set_holds_the_documented_fields_and_nothing_private(keys: SigningKeys) -> None:
    """ENL-03, ENL-04."""
    [key] = keys.jwks()["keys"]

    assert set(key) == {"kid", "kty", "alg", "use", "n", "e"}
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert not PRIVATE_FIELDS & set(key)
    assert SigningKeys().current.kid != key["kid"]


def test_rotation_that_keeps_the_old_key_keeps_its_tokens() -> None:
    """ENL-04: new tokens name the new kid, and old ones verify until they expire."""
    issuer = TokenIssuer("https://bats.example", SigningKeys())
    old = issuer.issue_token("bob", NOW)

    new_kid = issuer.keys.rotate()

    assert jws.extract_compact(issuer.issue_token("bob", NOW).encode()).headers()["kid"] == new_kid
    assert len(issuer.keys.jwks()["keys"]) == 2
    issuer.verify_token(old, "bob", NOW)


def test_rotation_that_drops_the_old_key_ends_its_tokens() -> None:
    """ENL-04: a leaked key verifies nothing any more."""
    issuer = TokenIssuer("https://bats.example", SigningKeys())
    old = issuer.issue_token("bob", NOW)

    new_kid = issuer.keys.rotate(keep_old=False)

    assert [key["kid"] for key in issuer.keys.jwks()["keys"]] == [new_kid]
    with pytest.raises(TokenRefused):
        issuer.verify_token(old, "bob", NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": "eve"},
        {"iss": "https://other.example"},
        {"aud": "elsewhere"},
        {"exp": int(NOW)},
        {"exp": None},
        {"exp": "late"},
    ],
)
def test_the_messenger_does_not_recognise_a_token_that_is_not_good_for_this(
    issuer: TokenIssuer, changes: dict[str, object]
) -> None:
    with pytest.raises(TokenRefused):
        issuer.verify_token(issuer.issue_token("bob", NOW, **changes), "bob", NOW)


@pytest.mark.parametrize(
    "token",
    [
        *("", "a.b.c", "x" * 5000, "ä.ä.ä", "eyJhbGciOiJub25lIn0.e30.", with_header("[]"), with_header("[" * 3_000)),
        *(with_header(f'{{"alg":"RS256","kid":"a","crit":{crit}}}') for crit in ("5", "null", "[{}]", "[[]]", '"exp"')),
        *(with_header(f'{{"alg":{other},"kid":{other}}}') for other in ("5", "null", "[]", "{}")),
        *(with_header(f'{{"alg":"RS256","kid":{other}}}') for other in ("5", "null", "[]", "{}")),
    ],
)
def test_the_messenger_does_not_recognise_what_is_no_token(issuer: TokenIssuer, token: str) -> None:
    with pytest.raises(TokenRefused):
        issuer.verify_token(token, "bob", NOW)
