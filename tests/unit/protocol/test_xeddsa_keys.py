"""XEdDSA against Meta's published enlistment sample, an independent library, and hostile input."""

import random
import subprocess
import sys

import pytest
import xeddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.encoding import decode_base64url
from interop_protocol.xeddsa_keys import (
    KEY_TYPE,
    sign_xeddsa,
    signed_prekey_message,
    verify_signed_prekey,
    verify_xeddsa,
)
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL

# Meta, "Messaging Interoperability: technical framework", enlistment sample.
IDENTITY_KEY = decode_base64url("x6g6tGpek0Obx65-vVx9t3wNtjJUXcQY2iarR-Aush4", 32)
SIGNED_PREKEY = decode_base64url("_tdJvCOi0-F9hl7iaHhrn42d1GnI3p6LwkFx3BS_jXw", 32)
SIGNATURE = decode_base64url(
    "BPEcejlI7RhacXe9MvBMUEs_IHctlcDyza24vDrZca0N77YDGqCAXr2VWDALvOcTSziNWfVMJ4IDxIENwvyACA", 64
)


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def flip(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "little") ^ 1 << bit).to_bytes(len(value), "little")


@pytest.mark.requirement("ENL-09", "ENL-10")
def test_metas_enlistment_sample_verifies():
    """ENL-09, ENL-10: the published sample passes key validation."""
    assert verify_signed_prekey(IDENTITY_KEY, SIGNED_PREKEY, SIGNATURE)
    assert verify_xeddsa(IDENTITY_KEY, b"\x05" + SIGNED_PREKEY, SIGNATURE)


@pytest.mark.requirement("ENL-10")
def test_metas_sample_does_not_verify_without_the_type_byte():
    """The signature covers 33 bytes, type byte first, and not the bare key."""
    assert not verify_xeddsa(IDENTITY_KEY, SIGNED_PREKEY, SIGNATURE)


def test_no_bit_of_the_sample_signature_may_change():
    """Every bit of a signature counts, the sign bit included."""
    for bit in range(8 * 64):
        assert not verify_signed_prekey(IDENTITY_KEY, SIGNED_PREKEY, flip(SIGNATURE, bit)), bit


def test_no_bit_of_the_sample_keys_may_change():
    """Every bit of the signed key counts, and every bit of the identity key but the ignored top one."""
    for bit in range(8 * 32):
        assert not verify_signed_prekey(IDENTITY_KEY, flip(SIGNED_PREKEY, bit), SIGNATURE), bit
    for bit in range(8 * 32 - 1):
        assert not verify_signed_prekey(flip(IDENTITY_KEY, bit), SIGNED_PREKEY, SIGNATURE), bit


def test_the_top_bit_of_a_public_key_is_ignored():
    """X25519 ignores it (RFC 7748), so two spellings are one key."""
    assert verify_signed_prekey(flip(IDENTITY_KEY, 255), SIGNED_PREKEY, SIGNATURE)


def test_signatures_verify_whatever_the_private_key():
    """Clamped or not, with either sign of the Edwards key, a signature verifies here and in an independent library."""
    rng = random.Random(20)
    signs = set()
    for _ in range(40):
        private_key, nonce = rng.randbytes(32), rng.randbytes(64)
        signature = sign_xeddsa(private_key, b"message", nonce)
        signs.add(signature[-1] >> 7)

        assert verify_xeddsa(public_key(private_key), b"message", signature)
        assert not verify_xeddsa(public_key(private_key), b"massage", signature)
        edwards_key = xeddsa.curve25519_pub_to_ed25519_pub(public_key(private_key), bool(signature[-1] & 0x80))
        assert xeddsa.ed25519_verify(signature[:-1] + bytes((signature[-1] & 0x7F,)), edwards_key, b"message")
    assert signs == {0, 1}


def test_the_nonce_is_the_only_randomness_of_a_signature():
    """The same nonce gives the same signature, another one another, so callers decide what is random."""
    key = bytes(range(32))
    assert sign_xeddsa(key, b"m", bytes(64)) == sign_xeddsa(key, b"m", bytes(64))
    assert sign_xeddsa(key, b"m", bytes(64)) != sign_xeddsa(key, b"m", bytes(63) + b"\x01")


@pytest.mark.parametrize("point", [*LOW_ORDER, *NOT_CANONICAL, b"\xff" * 32], ids=bytes.hex)
def test_a_degenerate_public_key_is_refused_without_a_crash(point: bytes):
    """Points of low order and numbers over the field prime verify nothing."""
    assert not verify_xeddsa(point, b"message", SIGNATURE)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.binary(min_size=64, max_size=64))
def test_random_input_never_verifies_and_never_raises(key: bytes, message: bytes, signature: bytes):
    """Whatever 32 and 64 bytes come from the wire, the answer is no."""
    assert not verify_xeddsa(key, message, signature)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_of_wrong_length_is_a_value_error(length: int):
    """A key with its type byte still on it, for example, is a caller's mistake."""
    with pytest.raises(ValueError, match="public key"):
        verify_xeddsa(bytes(length), b"", SIGNATURE)
    with pytest.raises(ValueError, match="public key"):
        signed_prekey_message(bytes(length))
    with pytest.raises(ValueError, match="private key"):
        sign_xeddsa(bytes(length), b"", bytes(64))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_or_nonce_of_wrong_length_is_a_value_error(length: int):
    """Neither is cut or padded."""
    with pytest.raises(ValueError, match="signature"):
        verify_xeddsa(IDENTITY_KEY, b"", bytes(length))
    with pytest.raises(ValueError, match="nonce"):
        sign_xeddsa(bytes(32), b"", bytes(length))


def test_a_signed_prekey_is_signed_with_its_type_byte():
    """ENL-10."""
    assert KEY_TYPE == 5
    assert signed_prekey_message(SIGNED_PREKEY) == b"\x05" + SIGNED_PREKEY


def test_verifying_does_not_load_the_signing_library():
    """A server that only verifies does not pay for the import."""
    program = "import sys, interop_protocol.xeddsa_keys; sys.exit('xeddsa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
