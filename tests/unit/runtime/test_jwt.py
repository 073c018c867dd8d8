"""Every bad token and every bad key set is a Refusal with a reason, nothing else (ENL-04, ENL-05, T4)."""

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from interop_server.core.errors import Reason, Refusal
from interop_server.runtime.jwt import JoserfcTokens, PushSigner, PushSigners, generate_rsa_private_key

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
WEAK_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
CLAIMS = {"iss": "https://partner.example", "sub": "ada@partner.example", "aud": "interopsim", "iat": 1, "exp": 2}
HEADER = {"alg": "RS256", "kid": "k1", "typ": "JWT"}
READER = JoserfcTokens()


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(key: rsa.RSAPrivateKey = KEY, **changes: Any) -> dict[str, Any]:
    public = key.public_key().public_numbers()
    entry = {"kid": "k1", "kty": "RSA", "alg": "RS256", "use": "sig", "n": number(public.n), "e": number(public.e)}
    return {name: value for name, value in (entry | changes).items() if value is not None}


def key_set(*entries: object) -> str:
    return json.dumps({"keys": list(entries)})


def sign(signed: str, key: rsa.RSAPrivateKey = KEY) -> str:
    return f"{signed}.{b64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def token(header: object = HEADER, claims: object = CLAIMS, key: rsa.RSAPrivateKey = KEY) -> str:
    return sign(f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}", key)


def raw_token(header: bytes, claims: bytes) -> str:
    return sign(f"{b64(header)}.{b64(claims)}")


def hs256_with_public_key() -> str:
    signed = f"{b64(json.dumps(HEADER | {'alg': 'HS256'}).encode())}.{b64(json.dumps(CLAIMS).encode())}"
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"{signed}.{b64(hmac.digest(pem, signed.encode(), 'sha256'))}"


def test_a_good_token_is_read_and_verified() -> None:
    """What `peek` says before is what `verify` proves after."""
    assert READER.peek(token()) == ("RS256", "k1", "https://partner.example")
    assert READER.verify(token(), key_set(jwk())) == CLAIMS


@pytest.mark.requirement("ENL-05")
@pytest.mark.parametrize(
    ("exponents", "bits"), [((1_279, 607, 107, 31, 19, 5), 2_048), ((4_423, 3_217, 521, 31), 8_192)]
)
def test_a_key_of_every_promised_length_verifies(exponents: tuple[int, ...], bits: int) -> None:
    """The shortest and the longest that the contract names (ENL-05). Mersenne primes are found faster than others."""
    primes = [2**exponent - 1 for exponent in exponents]
    modulus, size = math.prod(primes), bits // 8
    assert modulus.bit_length() == bits
    signed = token().rpartition(".")[0]
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signed.encode()).digest()
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
    private = pow(65_537, -1, math.lcm(*(prime - 1 for prime in primes)))
    signature = pow(int.from_bytes(padded, "big"), private, modulus).to_bytes(size, "big")
    assert READER.verify(f"{signed}.{b64(signature)}", key_set(jwk(n=number(modulus)))) == CLAIMS


def test_a_signature_longer_than_any_key_gives_is_refused_as_that() -> None:
    """What is wrong is the signature, not the header."""
    signed = token().rpartition(".")[0]
    refusal = refused(Reason.TOKEN_MALFORMED, lambda: READER.verify(f"{signed}.{b64(bytes(1_025))}", key_set(jwk())))
    assert "the signature is longer than that of a key of 8,192 bits" in str(refusal)
    refused(Reason.TOKEN_SIGNATURE_INVALID, lambda: READER.verify(f"{signed}.{b64(bytes(1_024))}", key_set(jwk())))


@pytest.mark.requirement("ENL-04")
def test_the_key_is_chosen_by_kid() -> None:
    """Among several keys of a set, only the one that the header names counts (ENL-04)."""
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    keys = key_set(jwk(other, kid="k0"), jwk(), jwk(other, kid="k2"))
    assert READER.key_ids(keys) == ["k0", "k1", "k2"]
    assert READER.verify(token(), keys) == CLAIMS
    assert READER.verify(token(HEADER | {"kid": "k2"}, key=other), keys) == CLAIMS
    refused(Reason.TOKEN_SIGNATURE_INVALID, lambda: READER.verify(token(HEADER | {"kid": "k2"}), keys))


def refused(reason: Reason, call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    assert caught.value.reason is reason
    return caught.value


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(token(HEADER | {"alg": "none"}), Reason.TOKEN_ALGORITHM_REFUSED, id="alg none"),
        pytest.param(
            token(HEADER | {"alg": "none"}).rpartition(".")[0] + ".",
            Reason.TOKEN_ALGORITHM_REFUSED,
            id="none, unsigned",
        ),
        pytest.param(hs256_with_public_key(), Reason.TOKEN_ALGORITHM_REFUSED, id="HS256 with the public key"),
        pytest.param(token(HEADER | {"alg": "PS256"}), Reason.TOKEN_ALGORITHM_REFUSED, id="PS256"),
        pytest.param(token(HEADER | {"alg": "rs256"}), Reason.TOKEN_ALGORITHM_REFUSED, id="alg in lower case"),
        pytest.param(token(HEADER | {"alg": ["RS256"]}), Reason.TOKEN_ALGORITHM_REFUSED, id="alg is a list"),
        pytest.param(token({"kid": "k1"}), Reason.TOKEN_ALGORITHM_REFUSED, id="no alg"),
        pytest.param(token({"alg": "RS256"}), Reason.TOKEN_KEY_UNKNOWN, id="no kid"),
        pytest.param(token(HEADER | {"kid": 1}), Reason.TOKEN_KEY_UNKNOWN, id="kid is a number"),
        pytest.param(token(HEADER | {"kid": "k9"}), Reason.TOKEN_KEY_UNKNOWN, id="unknown kid"),
        pytest.param(token(HEADER | {"jwk": jwk()}, key=WEAK_KEY), Reason.TOKEN_SIGNATURE_INVALID, id="other key"),
        pytest.param(token(HEADER | {"typ": 5}), Reason.TOKEN_MALFORMED, id="typ is a number"),
        pytest.param(token(HEADER | {"crit": ["b64"], "b64": False}), Reason.TOKEN_MALFORMED, id="unencoded payload"),
        pytest.param(token(HEADER | {"crit": ["exp"]}), Reason.TOKEN_MALFORMED, id="critical extension"),
        pytest.param(token()[:-8] + "AAAAAAAA", Reason.TOKEN_SIGNATURE_INVALID, id="changed signature"),
        pytest.param(token().rpartition(".")[0] + ".", Reason.TOKEN_SIGNATURE_INVALID, id="empty signature"),
        pytest.param(token().replace(".", ".e30", 1), Reason.TOKEN_MALFORMED, id="changed claims"),
        pytest.param(token(claims=[]), Reason.TOKEN_MALFORMED, id="claims are a list"),
        pytest.param(token(header="RS256"), Reason.TOKEN_MALFORMED, id="header is a string"),
        pytest.param(raw_token(b"{", b"{}"), Reason.TOKEN_MALFORMED, id="header is no JSON"),
        pytest.param(
            raw_token(json.dumps(HEADER).encode(), b"\xff\xfe"), Reason.TOKEN_MALFORMED, id="claims not UTF-8"
        ),
        pytest.param(
            raw_token(json.dumps(HEADER).encode(), b'{"iss":"a","iss":"b"}'), Reason.TOKEN_MALFORMED, id="iss twice"
        ),
        pytest.param(
            raw_token(b'{"alg":"none","alg":"RS256","kid":"k1"}', b"{}"), Reason.TOKEN_MALFORMED, id="alg twice"
        ),
        pytest.param(raw_token(json.dumps(HEADER).encode(), b'{"exp":NaN}'), Reason.TOKEN_MALFORMED, id="NaN"),
        pytest.param(raw_token(b"[" * 3_000, b"{}"), Reason.TOKEN_MALFORMED, id="nested too deep"),
        pytest.param(raw_token(b'{"n":' + b"9" * 4_400 + b"}", b"{}"), Reason.TOKEN_MALFORMED, id="huge number"),
        pytest.param(token(claims={"iss": "\ud800"}), Reason.TOKEN_MALFORMED, id="iss is no text"),
        pytest.param(token(HEADER | {"kid": "\udfff"}), Reason.TOKEN_MALFORMED, id="kid is no text"),
        pytest.param(token(claims={"iss": "x" * 8_192}), Reason.TOKEN_MALFORMED, id="too long"),
        pytest.param("", Reason.TOKEN_MALFORMED, id="empty"),
        pytest.param("a.b", Reason.TOKEN_MALFORMED, id="two parts"),
        pytest.param("a.b.c.d.e", Reason.TOKEN_MALFORMED, id="encrypted token"),
        pytest.param("é.é.é", Reason.TOKEN_MALFORMED, id="not ASCII"),
        pytest.param("a\ud800.b.c", Reason.TOKEN_MALFORMED, id="lone surrogate"),
        pytest.param(token() + "\n", Reason.TOKEN_MALFORMED, id="line feed at the end"),
        pytest.param(token().replace(".", "=.", 1), Reason.TOKEN_MALFORMED, id="padded"),
    ],
)
def test_a_bad_token_is_refused(bad: str, reason: Reason) -> None:
    """Each with its reason; never an exception of another kind."""
    refused(reason, lambda: READER.verify(bad, key_set(jwk())))


@pytest.mark.requirement("ENL-04", "ENL-05")
@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([jwk(WEAK_KEY)], id="1,024 bits"),
        pytest.param([jwk(use="enc")], id="use enc"),
        pytest.param([jwk(use=None)], id="no use"),
        pytest.param([jwk(alg="RS512")], id="RS512"),
        pytest.param([jwk(alg=None)], id="no alg"),
        pytest.param([jwk(kid=None)], id="no kid"),
        pytest.param([jwk(kid="")], id="empty kid"),
        pytest.param([jwk(kid=7)], id="kid is a number"),
        pytest.param([jwk(kty="oct", k="c2VjcmV0")], id="symmetric"),
        pytest.param([jwk(n="")], id="no modulus"),
        pytest.param([jwk(n=number(2**2_047))], id="even modulus"),
        pytest.param([jwk(n=number(2**8_200 + 1))], id="modulus of more than 8,192 bits"),
        pytest.param([jwk(n="A" * 5)], id="modulus that is not base64url"),
        pytest.param([jwk(n="é" * 342)], id="modulus not ASCII"),
        pytest.param([jwk(e=number(1))], id="exponent 1"),
        pytest.param([jwk(e=number(2**32))], id="even exponent"),
        pytest.param([jwk(e=number(2**64 + 1))], id="exponent of more than 32 bits"),
        pytest.param([jwk(), jwk()], id="kid twice"),
        pytest.param([jwk(), jwk(use="enc"), jwk()], id="kid thrice"),
        pytest.param([None, 1, "k1", []], id="no objects"),
        pytest.param([jwk(kid=f"k{i + 2}") for i in range(64)] + [jwk()], id="behind 64 others"),
    ],
)
def test_an_unusable_key_verifies_nothing(entries: list[object]) -> None:
    """The set is accepted, the key is not in it, and a token that names it is refused (ENL-04, ENL-05)."""
    assert "k1" not in READER.key_ids(key_set(*entries))
    refused(Reason.TOKEN_KEY_UNKNOWN, lambda: READER.verify(token(), key_set(*entries)))


def test_the_private_half_of_a_published_key_is_not_looked_at() -> None:
    """A partner that publishes garbage in `d` by mistake still verifies by the public half."""
    assert READER.verify(token(), key_set(jwk(d="garbage", p="garbage"))) == CLAIMS


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys":{}}', "[" * 10_000, '{"keys":[],"keys":[]}', "\ud800"])
def test_a_text_that_is_no_key_set_is_refused(text: str) -> None:
    """As not available, which keeps the last good copy in use."""
    refused(Reason.JWKS_UNAVAILABLE, lambda: READER.key_ids(text))
    refused(Reason.JWKS_UNAVAILABLE, lambda: READER.verify(token(), text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
MEMBERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "cty", "iss"]), JSON)


def only_refusals(call: Callable[[], object]) -> None:
    """Calls; a Refusal is an answer, any other exception is left to fail the test."""
    try:
        call()
    except Refusal as refusal:
        assert refusal.reason.advice


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_for_a_token_is_read_or_refused(text: str) -> None:
    """Whatever a client sends."""
    only_refusals(lambda: READER.peek(text))
    refused_or_not = key_set(jwk())
    only_refusals(lambda: READER.verify(text, refused_or_not))


@given(header=MEMBERS, claims=JSON)
def test_any_header_with_a_valid_signature_is_read_or_refused(header: dict[str, object], claims: object) -> None:
    """A hostile partner signs nonsense properly, under a header that names a real key."""
    signed = token(header | {"alg": "RS256", "kid": "k1"}, claims)
    only_refusals(lambda: READER.verify(signed, key_set(jwk())))
    only_refusals(lambda: READER.peek(token(header, claims)))


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "kid": st.just("k1") | JSON,
                "kty": st.just("RSA") | JSON,
                "alg": st.just("RS256") | JSON,
                "use": st.just("sig") | JSON,
                "n": st.text() | st.binary(min_size=256, max_size=300).map(b64),
                "e": st.sampled_from(["AQAB", "AQ", "Aw"]) | st.text(),
            },
        )
    ).map(lambda entries: json.dumps({"keys": entries}))
)
def test_any_text_for_a_key_set_is_read_or_refused(text: str) -> None:
    """Whatever a partner's server sends; what is usable can be verified against."""
    only_refusals(lambda: READER.key_ids(text))
    only_refusals(lambda: READER.verify(token(), text))


@pytest.mark.requirement("LIF-01")
def test_a_push_token_says_what_is_documented() -> None:
    """Header and claims of LIF-01, verified with the served key set by the same rules as any other token."""
    signer = PushSigner(generate_rsa_private_key())
    signed, keys = signer.sign("https://partner.example", 1_688_669_232), json.dumps(signer.public_jwks())
    assert READER.peek(signed) == ("RS256", signer.key_id, "WHATSAPP")
    assert READER.verify(signed, keys) == {
        "iss": "WHATSAPP",
        "aud": "https://partner.example",
        "iat": 1_688_669_232,
        "exp": 1_688_672_832,
    }
    header = json.loads(base64.urlsafe_b64decode(signed.partition(".")[0] + "=="))
    assert header == {"alg": "RS256", "kid": signer.key_id, "typ": "JWT"}
    assert json.loads(keys)["keys"][0].keys() == {"kid", "kty", "alg", "use", "n", "e"}


@pytest.mark.parametrize("pem", [b"", b"garbage"])
def test_a_signer_refuses_what_is_no_private_key(pem: bytes) -> None:
    """With a ValueError, at once."""
    with pytest.raises(ValueError):
        PushSigner(pem)


def test_a_signer_refuses_a_public_key() -> None:
    """It could only fail later."""
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="cannot sign"):
        PushSigner(pem)


class MemorySecrets:
    """A secret store that forgets with the test."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get_or_put(self, name: str, candidate: bytes) -> bytes:
        return self.kept.setdefault(name, candidate)

    async def get(self, name: str) -> bytes | None:
        return self.kept.get(name)


async def test_the_push_key_is_made_once_and_survives_a_restart() -> None:
    """Nothing is made before it is needed; a second server on the same store serves the same key set."""
    secrets = MemorySecrets()
    signers = PushSigners(secrets)
    assert secrets.kept == {}
    assert await signers.get() is await signers.get()
    assert await PushSigners(secrets).public_jwks() == await signers.public_jwks()
