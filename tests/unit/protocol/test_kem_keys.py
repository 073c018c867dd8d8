"""What an ML-KEM-1024 prekey is, and who signed it."""

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.kem_keys import is_encapsulation_key, verify_kem_prekey
from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message

pytestmark = pytest.mark.requirement("KEY-15")

KEY = MLKEM1024PrivateKey.from_seed_bytes(bytes(64)).public_key().public_bytes_raw()
COEFFICIENT_BITS = 12
MODULUS = 3_329


def with_coefficient(index: int, value: int) -> bytes:
    """The key with one of its 1,024 coefficients, of 12 bits each, replaced."""
    bits = int.from_bytes(KEY, "little")
    bits &= ~(0xFFF << index * COEFFICIENT_BITS)
    return (bits | value << index * COEFFICIENT_BITS).to_bytes(KEM_PUBLIC_KEY_BYTES, "little")


def test_an_encapsulation_key_has_its_length_and_reduced_coefficients() -> None:
    """FIPS 203, 7.2: of the right length, and no coefficient is 3,329 or more."""
    assert is_encapsulation_key(KEY)
    assert is_encapsulation_key(with_coefficient(1023, MODULUS - 1))
    for wrong in (b"", KEY[1:], KEY + b"\0", bytes(32), with_coefficient(0, MODULUS), with_coefficient(1023, 4_095)):
        assert not is_encapsulation_key(wrong)


def test_the_identity_key_signs_the_key_itself() -> None:
    """Without a type byte; another key, another signer and a changed bit do not verify."""
    private = bytes(range(32))
    identity = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    signature = sign_xeddsa(private, KEY, bytes(64))
    assert verify_kem_prekey(identity, KEY, signature)
    assert not verify_kem_prekey(identity, with_coefficient(3, 7), signature)
    assert not verify_kem_prekey(bytes((identity[0] ^ 1,)) + identity[1:], KEY, signature)
    assert not verify_kem_prekey(identity, KEY, signature[:5] + bytes((signature[5] ^ 1,)) + signature[6:])
    typed = sign_xeddsa(private, signed_prekey_message(KEY[:32])[:1] + KEY, bytes(64))
    assert not verify_kem_prekey(identity, KEY, typed)
