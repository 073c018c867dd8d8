"""Curve25519 public keys: which are none, which protect nothing, and which two are one."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from interop_protocol.curve_keys import WeakKey, canonical_key, check_public_key, is_same_key
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL, with_top_bit

pytestmark = pytest.mark.requirement("KEY-02")


@pytest.mark.parametrize("key", LOW_ORDER, ids=bytes.hex)
def test_a_key_of_low_order_is_refused(key: bytes) -> None:
    """In every encoding, with and without its top bit: with it, everybody knows what is agreed (KEY-02)."""
    for form in (key, with_top_bit(key)):
        with pytest.raises(WeakKey, match="low order"):
            check_public_key(form)


@pytest.mark.parametrize("key", NOT_CANONICAL, ids=bytes.hex)
def test_a_key_that_is_not_below_the_prime_is_refused(key: bytes) -> None:
    """With and without its top bit: a second encoding of a key would be a second key (KEY-02)."""
    for form in (key, with_top_bit(key)):
        with pytest.raises(WeakKey, match=r"2\^255|low order"):
            check_public_key(form)


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_has_32_bytes(length: int) -> None:
    """Neither more nor fewer (KEY-02)."""
    with pytest.raises(WeakKey, match=f"{length} bytes instead of 32"):
        check_public_key(b"\x09" * length)


@pytest.mark.requirement("KEY-04")
def test_a_key_with_its_top_bit_set_is_the_same_key() -> None:
    """It agrees on the same secret, so it has the same form (KEY-04)."""
    own, other = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key().public_bytes_raw()
    twin = with_top_bit(other)
    assert own.exchange(X25519PublicKey.from_public_bytes(twin)) == own.exchange(
        X25519PublicKey.from_public_bytes(other)
    )
    assert check_public_key(twin) == canonical_key(twin) == check_public_key(other) == canonical_key(other) == other
    assert is_same_key(twin, other) and is_same_key(other, twin) and is_same_key(twin, twin)
    for different in (other[:-1], twin + b"\0", b"", bytes((other[0] ^ 1,)) + other[1:]):
        assert not is_same_key(different, other) and not is_same_key(twin, different)


def test_whatever_x25519_makes_is_a_key() -> None:
    """A thousand keys of a library, and the base point; the largest coordinate that is below the prime, too."""
    for _ in range(1_000):
        key = X25519PrivateKey.from_private_bytes(os.urandom(32)).public_key().public_bytes_raw()
        assert check_public_key(key) == key
    for number in (2, 9, 2**255 - 21):
        key = number.to_bytes(32, "little")
        assert check_public_key(key) == key
