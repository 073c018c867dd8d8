"""The RSA key that signs the tokens of the vectors; public like every key in them."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from interop_protocol.encoding import encode_base64url

_P = int(
    "c66a037c1c0f118cdc6b4f6133bc04c95dae41a333e14134bd7e2492925184be1e9bdc394913ca80059b50eaebb1e5a9"
    "3433971afe0d0374411fc28950c17c4783ceb29f5dbd84bb93d8cbcd537ced1dc0f50b95e36d95ede28e43ae6db8c785"
    "bcb71ff3ddad52ac537b0149ff0e6fbf7305275aa2b4b3941af20936f18fc385",
    16,
)
_Q = int(
    "c30d22302c1cedbc70ecc4a714803dcda08c2dda7db42b6124f422654b3dd7f2e13cdbfb47767c1fead0146bb177ef5b"
    "59a32cae6f272b184b274e38d3f26696169956f4360d67f8b00418857e1c813e5573dadd3213766e5afe0c0d1db76bf2"
    "2c0b62399812bf38091c47f4c04835236bfd7f58a9eb353dafc32f9025534769",
    16,
)
_EXPONENT = 65_537


def private_jwk() -> dict[str, str]:
    """Returns the private key as a JSON Web Key (RFC 7518, section 6.3)."""
    private = pow(_EXPONENT, -1, (_P - 1) * (_Q - 1))
    numbers = {
        "n": _P * _Q,
        "e": _EXPONENT,
        "d": private,
        "p": _P,
        "q": _Q,
        "dp": private % (_P - 1),
        "dq": private % (_Q - 1),
        "qi": pow(_Q, -1, _P),
    }
    return {"kty": "RSA", **{name: _text(value) for name, value in numbers.items()}}


def public_jwk(key_id: str) -> dict[str, str]:
    """Returns the public key as it stands in a messenger's key set."""
    private = private_jwk()
    return {"kid": key_id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": private["n"], "e": private["e"]}


def sign(message: bytes) -> bytes:
    """Returns the RS256 signature: RSASSA-PKCS1-v1_5 with SHA-256, the same every time."""
    return _private_key().sign(message, padding.PKCS1v15(), SHA256())


@cache
def _private_key() -> rsa.RSAPrivateKey:
    private = pow(_EXPONENT, -1, (_P - 1) * (_Q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, _P * _Q)
    rest = private % (_P - 1), private % (_Q - 1), pow(_Q, -1, _P)
    return rsa.RSAPrivateNumbers(_P, _Q, private, *rest, public).private_key()


def _text(number: int) -> str:
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
