"""JSON Web Tokens and key sets, read and signed with joserfc; knows nothing of what a claim means.

joserfc takes long to import and a plain start does not need it, so functions import it where they use it.
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from interop_server.core.errors import Reason, Refusal
from interop_server.core.ports import TokenHeader
from interop_server.core.shared_store import SecretStore

if TYPE_CHECKING:
    from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
PUSH_ISSUER = "WHATSAPP"
PUSH_LIFE_SECONDS = 3_600
MAX_TOKEN_CHARACTERS = 8_192
"""Bounds the work spent on a token; higher than every limit of the protocol."""
MAX_KEYS = 64
"""How many keys of a set are read; policy."""
MIN_MODULUS_BITS = 2_048
MAX_MODULUS_BITS = 8_192
"""Bounds verification time, which grows with the square of the modulus; policy."""
_PARSED = 64
"""Tokens that are remembered as read: each is read twice, before the partner's keys are known and with them."""
_PUSH_KEY_NAME = "push-signing-key"
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_EXPONENT = re.compile(r"[A-Za-z0-9_-]{1,6}")  # 32 bits fit: a longer exponent only costs time
_MOST_OF_A_NUMBER = (MAX_MODULUS_BITS // 8 * 4 + 2) // 3
"""How many characters a modulus has in base64url at most, and hence a signature."""
_MODULUS = re.compile(rf"[A-Za-z0-9_-]{{1,{_MOST_OF_A_NUMBER}}}")


class JoserfcTokens:
    """Reads partner tokens; raises Refusal for every bad one. Source: ENL-04, ENL-05; threat T4."""

    def peek(self, token: str) -> TokenHeader:
        """Reads without verifying.

        Raises:
            Refusal: TOKEN_MALFORMED.
        """
        header, claims = _parse_token(token)
        return TokenHeader(_text(header, "alg"), _text(header, "kid"), _text(claims, "iss"))

    def key_ids(self, jwks: str) -> list[str]:
        """Ids of the usable keys in a key set: RSA of at least 2,048 bits, RS256, `use` sig (ENL-04, ENL-05).

        A key id that occurs twice in the set is ambiguous, so keys with that id are not usable.

        Raises:
            Refusal: JWKS_UNAVAILABLE when the text is not a key set.
        """
        return list(_usable_keys(jwks))

    def verify(self, token: str, jwks: str) -> Mapping[str, object]:
        """Verifies the RS256 signature under the key that `kid` names and returns the claims.

        Raises:
            Refusal: TOKEN_ALGORITHM_REFUSED, TOKEN_KEY_UNKNOWN, TOKEN_SIGNATURE_INVALID, TOKEN_MALFORMED or
                JWKS_UNAVAILABLE.
        """
        header, claims = _parse_token(token)
        if header.get("alg") != ALGORITHM:
            raise Refusal(Reason.TOKEN_ALGORITHM_REFUSED)
        if "crit" in header or "b64" in header:
            raise Refusal(Reason.TOKEN_MALFORMED, "the header asks for JWS extensions")
        key = _usable_keys(jwks).get(_text(header, "kid"))
        if key is None:
            raise Refusal(Reason.TOKEN_KEY_UNKNOWN)
        _verify_signature(token, key)
        return claims


class PushSigner:
    """Signs the tokens that authenticate pushes (LIF-01).

    Args:
        private_key_pem: RSA private key, PEM.

    Raises:
        ValueError: The PEM does not hold an RSA private key.
    """

    def __init__(self, private_key_pem: bytes) -> None:
        from joserfc.jwk import RSAKey

        self._key = RSAKey.import_key(private_key_pem)
        if not self._key.is_private:
            raise ValueError("a public key cannot sign")

    @cached_property
    def key_id(self) -> str:
        """The RFC 7638 thumbprint of the key, hence the same after a restart."""
        return self._key.thumbprint()

    def sign(self, audience: str, issued_at: int) -> str:
        """Returns a token for one partner, valid for an hour.

        Args:
            audience: The partner's base URL.
            issued_at: Seconds since the UNIX epoch.
        """
        from joserfc import jwt

        claims = {"iss": PUSH_ISSUER, "aud": audience, "iat": issued_at, "exp": issued_at + PUSH_LIFE_SECONDS}
        return jwt.encode({"alg": ALGORITHM, "kid": self.key_id, "typ": "JWT"}, claims, self._key)

    def public_jwks(self) -> dict[str, object]:
        """Returns the key set with which partners verify pushes."""
        public = self._key.as_dict(private=False)
        return {
            "keys": [
                {"kid": self.key_id, "kty": "RSA", "alg": ALGORITHM, "use": "sig", "n": public["n"], "e": public["e"]}
            ]
        }


class PushSigners:
    """Makes the server's push signer at its first use, from the key in the store (LIF-01).

    Args:
        secrets: Keeps the key beyond the life of the process.
    """

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets
        self._lock = asyncio.Lock()
        self._signer: PushSigner | None = None

    async def get(self) -> PushSigner:
        """Returns the signer: always the same one."""
        async with self._lock:
            if self._signer is None:
                pem = await self._secrets.get(_PUSH_KEY_NAME)
                if pem is None:
                    candidate = await asyncio.to_thread(generate_rsa_private_key)
                    pem = await self._secrets.get_or_put(_PUSH_KEY_NAME, candidate)
                self._signer = await asyncio.to_thread(PushSigner, pem)
            return self._signer

    async def public_jwks(self) -> dict[str, object]:
        """Returns the key set with which partners verify pushes."""
        return (await self.get()).public_jwks()


def generate_rsa_private_key() -> bytes:
    """Returns a new RSA key of 2,048 bits as PEM. Takes a tenth of a second or more: call it in a thread."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65_537, key_size=MIN_MODULUS_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(_PARSED)
def _parse_token(token: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Refusal(Reason.TOKEN_MALFORMED, f"a token of more than {MAX_TOKEN_CHARACTERS} characters is not read")
    segments = token.split(".")
    # An empty signature passes here, so that a token with `alg` none is refused for its algorithm.
    if len(segments) != 3 or not all(_SEGMENT.fullmatch(segment) for segment in (*segments[:2], segments[2] or "A")):
        raise Refusal(Reason.TOKEN_MALFORMED)
    try:
        header, claims = (_parse_object(_decode(segment)) for segment in segments[:2])
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.TOKEN_MALFORMED, "header or claims are not a JSON object") from error
    return header, claims


def _decode(segment: str) -> bytes:
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)


def _parse_object(text: str | bytes) -> dict[str, object]:
    plain = text if isinstance(text, str) else text.decode("utf-8")
    parsed = _JSON.decode(plain)
    if not isinstance(parsed, dict):
        raise ValueError("not a JSON object")
    if "\\u" in plain:
        # An escaped lone surrogate is JSON but not text (RFC 8259, section 8.2): no store and no wire can take it.
        json.dumps(parsed, ensure_ascii=False).encode("utf-8")
    return parsed


def _unique_members(members: list[tuple[str, object]]) -> dict[str, object]:
    # Two parsers of one token must not see different members (RFC 7519, section 4).
    unique = dict(members)
    if len(unique) != len(members):
        raise ValueError("a member occurs twice")
    return unique


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_unique_members, parse_constant=_refuse_constant)


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


@lru_cache(maxsize=64)
def _usable_keys(jwks: str) -> "dict[str, RSAKey]":
    try:
        entries = _parse_object(jwks).get("keys")
    except (ValueError, RecursionError) as error:
        raise Refusal(Reason.JWKS_UNAVAILABLE, "the key set is not a JSON object") from error
    if not isinstance(entries, list):
        raise Refusal(Reason.JWKS_UNAVAILABLE, "the key set has no list `keys`")
    usable: dict[str, RSAKey] = {}
    seen: set[str] = set()
    for entry in entries[:MAX_KEYS]:
        key_id = _text(entry, "kid") if isinstance(entry, dict) else ""
        if key_id in seen:
            usable.pop(key_id, None)
            continue
        seen.add(key_id)
        key = _import_key(entry) if key_id else None
        if key is not None:
            usable[key_id] = key
    return usable


def _import_key(entry: Mapping[str, object]) -> "RSAKey | None":
    """Imports the public key of a key set entry; None when the entry is not usable."""
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    modulus, exponent = _text(entry, "n"), _text(entry, "e")
    if (entry.get("kty"), entry.get("alg"), entry.get("use")) != ("RSA", ALGORITHM, "sig"):
        return None
    if not _MODULUS.fullmatch(modulus) or not _EXPONENT.fullmatch(exponent):
        return None
    try:
        number = int.from_bytes(_decode(modulus), "big")
        if number.bit_length() < MIN_MODULUS_BITS or number % 2 == 0:
            return None
        return RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})
    except (JoseError, ValueError):
        return None


def _verify_signature(token: str, key: "RSAKey") -> None:
    from joserfc.errors import BadSignatureError, ExceededSizeError, JoseError
    from joserfc.jws import JWSRegistry, deserialize_compact

    registry = JWSRegistry(algorithms=[ALGORITHM], strict_check_header=False)
    registry.max_header_length = MAX_TOKEN_CHARACTERS
    registry.max_signature_length = _MOST_OF_A_NUMBER  # joserfc counts characters, and its own bound refuses long keys
    try:
        deserialize_compact(token, key, registry=registry)
    except BadSignatureError as error:
        raise Refusal(Reason.TOKEN_SIGNATURE_INVALID) from error
    except ExceededSizeError as error:
        detail = f"the signature is longer than that of a key of {MAX_MODULUS_BITS:,} bits"
        raise Refusal(Reason.TOKEN_MALFORMED, detail) from error
    except JoseError as error:
        raise Refusal(Reason.TOKEN_MALFORMED, "the header has a member of the wrong type") from error
