"""Tokens of partners: a right one from a fixed key, and everything that can be wrong with one."""

import asyncio
import base64
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from interop_protocol.encoding import encode_base64url
from interop_server.core.enlistment.tokens import KeySets, PartnerTokens
from interop_server.core.errors import Refusal
from interop_server.core.journal import Journal
from interop_server.core.limits import Limits
from interop_server.core.model import IdentifierType, Partner, PartnerStatus
from interop_server.runtime.jwt import JoserfcTokens
from interop_server.runtime.rng import SeededRng
from tests.manual_clock import ManualClock
from tests.vectors import rsa
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import Field, big, choice, flag, octets, optional, record, text
from tests.vectors.fixed import flip

NOW = 1_750_000_000
ISSUER, KEY_ID = "https://bats.example", "bats-2025"

REASONS = (
    "TOKEN_TOO_LARGE",
    "TOKEN_MALFORMED",
    "TOKEN_ALGORITHM_REFUSED",
    "TOKEN_CLAIMS_INVALID",
    "BAD_INTEGRATOR",
    "TOKEN_KEY_UNKNOWN",
    "TOKEN_SIGNATURE_INVALID",
    "TOKEN_EXPIRED",
    "TOKEN_NOT_YET_VALID",
    "TOKEN_LIFETIME_TOO_LONG",
)
_JWK: Field = record(
    "The private key as a JSON Web Key.",
    {name: text("Base64url of the number, or RSA.") for name in ("kty", "n", "e", "d", "p", "q", "dp", "dq", "qi")},
)
_FIELDS = {
    "private_jwk": optional(_JWK | {"description": "Signs the token with RS256; null: only verify."}),
    "jwks": text("The messenger's key set, as its server answers it: JSON."),
    "issuer": text("The issuer that the messenger is registered with."),
    "now": big("The server's clock: seconds since the UNIX epoch."),
    "header": optional(text("The header, as it is encoded in the token; null where it cannot be read.")),
    "claims": optional(text("The claims, as they are encoded in the token; null where they cannot be read.")),
    "signing_input": optional(text("What is signed: both in base64url, with a dot between.")),
    "signature": optional(octets("RS256 over the signing input.")),
    "token": text("The compact JWS."),
    "valid": flag("Whether a server takes it."),
    "subject": optional(text("The user-visible identifier that it speaks for.")),
    "reason": optional(choice("Why it is refused.", *REASONS)),
}
_CLAIMS = {"iss": ISSUER, "sub": "ada@bats.example", "aud": "interopsim", "iat": NOW, "exp": NOW + 600}
_HEADER = {"alg": "RS256", "kid": KEY_ID}


def document() -> Document:
    """Returns the file."""
    claims: list[tuple[str, str, dict[str, Any]]] = [
        ("audience-of-several", "`aud` is a list with the right one in it.", {"aud": ["other", "interopsim"]}),
        ("not-before", "`nbf` may be there.", {"nbf": NOW}),
        ("more-claims", "Other claims are ignored.", {"jti": "1", "name": "Ada"}),
        ("clock-ahead", "Issued 30 seconds ahead: clocks differ.", {"iat": NOW + 30, "exp": NOW + 600}),
        ("clock-behind", "Ended 29 seconds ago.", {"iat": NOW - 600, "exp": NOW - 29}),
        ("longest-life", "An hour.", {"exp": NOW + 3_600}),
        ("other-issuer", "No messenger has this issuer.", {"iss": "https://owls.example"}),
        ("no-issuer", "`iss` is absent.", {"iss": None}),
        ("expired", "Ended 30 seconds ago.", {"iat": NOW - 600, "exp": NOW - 30}),
        ("not-yet-valid", "Issued 31 seconds ahead.", {"iat": NOW + 31, "exp": NOW + 600}),
        ("not-before-ahead", "`nbf` is 31 seconds ahead.", {"nbf": NOW + 31}),
        ("lives-too-long", "A second over an hour.", {"exp": NOW + 3_601}),
        ("no-end", "`exp` is absent.", {"exp": None}),
        ("end-is-text", "`exp` is a text.", {"exp": str(NOW + 600)}),
        ("other-audience", "It is for somebody else.", {"aud": "other"}),
        ("no-subject", "`sub` is absent.", {"sub": None}),
        ("subject-is-a-number", "`sub` is no text.", {"sub": 1}),
    ]
    headers: list[tuple[str, str, dict[str, Any]]] = [
        ("algorithm-none", "A token that nobody signed.", {"alg": "none"}),
        ("algorithm-hs256", "The public key as if it were a secret.", {"alg": "HS256"}),
        ("unknown-key", "The key set has no such key.", {"kid": "bats-2019"}),
        ("no-key-id", "`kid` is absent.", {"kid": None}),
        ("critical-extension", "`crit` asks for what nobody here knows.", {"crit": ["exp"]}),
    ]
    texts = [
        ("signature-altered", "One bit of the signature is another.", _altered(right())),
        ("two-parts", "The signature is missing.", right().rpartition(".")[0]),
        ("claims-twice", "A claim occurs twice: two readers could see different ones.", _token(_HEADER, _twice())),
        ("no-token", "No JWS.", "token"),
        ("too-large", "4,097 bytes.", "a" * 4_097),
    ]
    return Document(
        "tokens",
        "Tokens of a messenger for its users. As the messenger's server: sign header and claims with the private key, "
        "and compare the token. As a server of the protocol: verify with the key set and the clock.",
        ("ENL-03", "ENL-04", "ENL-05", "ENL-06", "ENL-07"),
        _FIELDS,
        [
            _vector("right", "As a messenger's server issues it, for ten minutes.", right(), is_signed=True),
            *(_vector(name, comment, _token(_HEADER, _with(_CLAIMS, changes))) for name, comment, changes in claims),
            *(_vector(name, comment, _token(_with(_HEADER, changes), _CLAIMS)) for name, comment, changes in headers),
            *(_vector(*given) for given in texts),
        ],
    )


def right() -> str:
    """Returns the right token, which the form of enlistment_forms.json has, too."""
    return _token(_HEADER, _CLAIMS)


def _with(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {**members, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _twice() -> str:
    return json.dumps(_CLAIMS, separators=(",", ":"))[:-1] + ',"sub":"eve@bats.example"}'


def _token(header: dict[str, Any], claims: dict[str, Any] | str) -> str:
    encoded = claims if isinstance(claims, str) else json.dumps(claims, separators=(",", ":"))
    parts = (json.dumps(header, separators=(",", ":")), encoded)
    signed = ".".join(encode_base64url(part.encode()) for part in parts)
    return f"{signed}.{encode_base64url(rsa.sign(signed.encode()))}"


def _altered(token: str) -> str:
    signed, _, _ = token.rpartition(".")
    return f"{signed}.{encode_base64url(flip(rsa.sign(signed.encode()), 0))}"


def parts_of(token: str) -> dict[str, Any]:
    """Returns the parts of a token, each null where there is none."""
    segments = token.split(".")
    if len(segments) != 3:
        return dict.fromkeys(("header", "claims", "signing_input", "signature"))
    header, claims, signature = (_decoded(segment) for segment in segments)
    return {
        "header": header.decode(),
        "claims": claims.decode(),
        "signing_input": ".".join(segments[:2]),
        "signature": signature.hex(),
    }


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _vector(name: str, comment: str, token: str, *, is_signed: bool = False) -> Vector:
    jwks = json.dumps({"keys": [rsa.public_jwk(KEY_ID)]}, separators=(",", ":"))
    subject, reason = verdict(token, jwks, ISSUER, NOW)
    return {
        "name": name,
        "comment": comment,
        "private_jwk": rsa.private_jwk() if is_signed else None,
        "jwks": jwks,
        "issuer": ISSUER,
        "now": str(NOW),
        **parts_of(token),
        "token": token,
        "valid": reason is None,
        "subject": subject,
        "reason": reason,
    }


@dataclass
class _Partners:
    """The store of one messenger, and the server that answers its key set."""

    partner: Partner
    jwks: str
    kept: dict[int, str] = field(default_factory=dict)

    async def get_by_issuer(self, issuer: str) -> Partner | None:
        return self.partner if issuer == self.partner.issuer else None

    async def get_jwks(self, integrator: int) -> str | None:
        return self.kept.get(integrator)

    async def put_jwks(self, integrator: int, jwks: str, now_ms: int) -> None:
        self.kept[integrator] = jwks

    async def fetch(self, partner: Partner) -> str:
        return self.jwks


def verdict(token: str, jwks: str, issuer: str, now: int) -> tuple[str | None, str | None]:
    """Returns whom a token speaks for and why it is refused; one of them is None."""
    partner = Partner(
        integrator=12,
        name="Bats",
        issuer=issuer,
        base_url="https://bats.example",
        push_url="https://bats.example/push",
        media_url="https://bats.example/media",
        status=PartnerStatus.ACTIVE,
        identifier_type=IdentifierType.EMAIL,
    )
    partners, clock, reader = _Partners(partner, jwks), ManualClock(now * 1_000), JoserfcTokens()
    store: Any = SimpleNamespace(partners=partners)
    journal = Journal(clock, SeededRng(1))
    key_sets = KeySets(store, partners, reader, journal, clock, Limits())
    try:
        verified = asyncio.run(PartnerTokens(store, reader, key_sets, clock, Limits()).verify(token))
    except Refusal as refusal:
        return None, refusal.reason.name
    return verified.external_id, None
