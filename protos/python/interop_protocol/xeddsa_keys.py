"""XEdDSA: signatures made and verified with Curve25519 keys; knows nothing of a key's owner or store."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interop_protocol.curve_keys import FIELD_PRIME, WeakKey, check_public_key
from interop_protocol.sizes import PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES

KEY_TYPE = 5
"""The type byte of a Curve25519 key (ENL-08)."""
NONCE_BYTES = 64
"""Random bytes that one signature needs."""

_SIGN_BIT = 0x80


def verify_xeddsa(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Says whether a signature over a message was made with the private half of a Curve25519 key.

    A weak key signs nothing: with one of low order, a signature can be made up for any message.

    Args:
        public_key: 32 bytes, Curve25519 u-coordinate; the top bit is ignored.
        message: What was signed.
        signature: 64 bytes; the top bit of the last one is the sign of the Edwards key.

    Raises:
        ValueError: The key or the signature has a wrong length.

    Source: Signal, "The XEdDSA and VXEdDSA Signature Schemes", section 2; sign bit as libsignal sets it.
    """
    _check_length("public key", public_key, PUBLIC_KEY_BYTES)
    _check_length("signature", signature, SIGNATURE_BYTES)
    try:
        u = int.from_bytes(check_public_key(public_key), "little")
    except WeakKey:
        return False  # among them u = -1, which maps to no Edwards point
    y = (u - 1) * pow(u + 1, -1, FIELD_PRIME) % FIELD_PRIME
    sign = signature[-1] & _SIGN_BIT
    edwards_key = Ed25519PublicKey.from_public_bytes((y | sign << 248).to_bytes(PUBLIC_KEY_BYTES, "little"))
    try:
        edwards_key.verify(signature[:-1] + bytes((signature[-1] ^ sign,)), message)
    except InvalidSignature:
        return False
    return True


def sign_xeddsa(private_key: bytes, message: bytes, nonce: bytes) -> bytes:
    """Signs a message with a Curve25519 key, as libsignal does.

    Args:
        private_key: 32 bytes; clamped here, as X25519 does.
        message: What to sign.
        nonce: 64 fresh random bytes.

    Returns:
        64 bytes; the top bit of the last one is the sign of the Edwards key.

    Raises:
        ValueError: The key or the nonce has a wrong length.
    """
    import xeddsa  # here: it takes 20 ms, which a process that only verifies need not spend

    _check_length("private key", private_key, PRIVATE_KEY_BYTES)
    _check_length("nonce", nonce, NONCE_BYTES)
    scalar = bytes((private_key[0] & 0xF8, *private_key[1:-1], private_key[-1] & 0x7F | 0x40))
    signature = xeddsa.ed25519_priv_sign(scalar, message, nonce)
    sign = xeddsa.priv_to_ed25519_pub(scalar)[-1] & _SIGN_BIT
    return signature[:-1] + bytes((signature[-1] | sign,))


def signed_prekey_message(public_key: bytes) -> bytes:
    """Returns what an identity key signs for a signed prekey: the type byte, then the key (ENL-10).

    Args:
        public_key: The signed prekey, 32 bytes.

    Raises:
        ValueError: The key has a wrong length.
    """
    _check_length("public key", public_key, PUBLIC_KEY_BYTES)
    return bytes((KEY_TYPE,)) + public_key


def verify_signed_prekey(identity_key: bytes, signed_prekey: bytes, signature: bytes) -> bool:
    """Says whether an identity key signed a signed prekey (ENL-10).

    Args:
        identity_key: 32 bytes, no type byte.
        signed_prekey: 32 bytes, no type byte.
        signature: 64 bytes.

    Raises:
        ValueError: A key or the signature has a wrong length.
    """
    return verify_xeddsa(identity_key, signed_prekey_message(signed_prekey), signature)


def _check_length(name: str, value: bytes, expected: int) -> None:
    if len(value) != expected:
        raise ValueError(f"the {name} has {len(value)} bytes instead of {expected}")
