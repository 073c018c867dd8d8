"""The server's certificate chain: a client tells apart everything that can be wrong with it (CHN-04)."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.certificates import (
    CHAIN_BYTES,
    INTERMEDIATE_SERIAL,
    LEAF_SERIAL,
    ROOT_SERIAL,
    Certificate,
    CertificateChain,
    CertificateDetails,
    CertificateError,
    Validity,
    issue_chain,
    verify_chain,
)
from interop_protocol.xeddsa_keys import sign_xeddsa


def public_key(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


ROOT = bytes(range(32))
INTERMEDIATE = bytes(range(32, 64))
OTHER = bytes(range(64, 96))
SERVER_STATIC = public_key(bytes(range(96, 128)))
NONCES = (bytes(64), bytes(range(64)))
VALID = Validity(1_000, 2_000)
CHAIN = issue_chain(ROOT, INTERMEDIATE, SERVER_STATIC, VALID, NONCES)


def certify(issuer: bytes, details: CertificateDetails) -> Certificate:
    return Certificate(details.encode(), sign_xeddsa(issuer, details.encode(), bytes(64)))


def refusal(chain: CertificateChain, static: bytes = SERVER_STATIC, now: int = 1_500) -> str:
    with pytest.raises(CertificateError) as caught:
        verify_chain(chain, public_key(ROOT), static, now)
    return caught.value.reason


@pytest.mark.requirement("CHN-04")
@pytest.mark.parametrize("now", [1_000, 1_500, 2_000])
def test_an_issued_chain_verifies_from_its_first_second_to_its_last(now: int):
    """Both bounds belong to the validity."""
    verify_chain(CHAIN, public_key(ROOT), SERVER_STATIC, now)


def test_a_chain_survives_the_journey():
    """It travels as one text of fixed length."""
    payload = CHAIN.encode()
    assert len(payload) == CHAIN_BYTES == 240
    assert CertificateChain.decode(payload) == CHAIN


def test_the_layout_is_the_documented_one():
    """Serial, issuer serial, key, not before, not after, big-endian; leaf before intermediate."""
    payload = CHAIN.encode()
    assert payload[:56] == b"\0\0\0\x02" + b"\0\0\0\x01" + SERVER_STATIC + (1_000).to_bytes(8) + (2_000).to_bytes(8)
    assert payload[56:120] == CHAIN.leaf.signature
    assert payload[120:128] == b"\0\0\0\x01" + b"\0\0\0\0"
    assert payload[128:160] == public_key(INTERMEDIATE)
    assert payload[176:] == CHAIN.intermediate.signature


def test_the_serials_link_leaf_to_intermediate_to_root():
    """The root's serial is 0, as on the real wire."""
    leaf, intermediate = CHAIN.leaf.decoded, CHAIN.intermediate.decoded
    assert (leaf.serial, leaf.issuer_serial) == (LEAF_SERIAL, INTERMEDIATE_SERIAL)
    assert (intermediate.serial, intermediate.issuer_serial) == (INTERMEDIATE_SERIAL, ROOT_SERIAL)


@pytest.mark.requirement("CHN-04")
def test_another_root_is_the_wrong_root():
    """A well-made chain under somebody else's root."""
    assert refusal(issue_chain(OTHER, INTERMEDIATE, SERVER_STATIC, VALID, NONCES)) == "WRONG_ROOT"


@pytest.mark.requirement("CHN-04")
def test_another_static_key_is_the_wrong_leaf_key():
    """A good chain shown by a server that does not own it."""
    assert refusal(CHAIN, static=public_key(OTHER)) == "WRONG_LEAF_KEY"


@pytest.mark.requirement("CHN-04")
def test_a_chain_out_of_time_is_told_apart():
    """Before and after."""
    assert refusal(CHAIN, now=999) == "NOT_YET_VALID"
    assert refusal(CHAIN, now=2_001) == "EXPIRED"


def test_the_leafs_own_validity_counts():
    """A good intermediate does not lengthen the life of a leaf."""
    leaf = certify(INTERMEDIATE, CHAIN.leaf.decoded._replace(validity=Validity(1_400, 1_600)))
    assert refusal(replace(CHAIN, leaf=leaf), now=1_399) == "NOT_YET_VALID"
    assert refusal(replace(CHAIN, leaf=leaf), now=1_601) == "EXPIRED"


def test_a_leaf_signed_by_another_key_breaks_the_chain():
    """Not even the root may sign a leaf itself."""
    for issuer in (OTHER, ROOT):
        assert refusal(replace(CHAIN, leaf=certify(issuer, CHAIN.leaf.decoded))) == "BROKEN_CHAIN"


def test_a_leaf_that_names_another_issuer_breaks_the_chain():
    """Though the intermediate signed it."""
    leaf = certify(INTERMEDIATE, CHAIN.leaf.decoded._replace(issuer_serial=7))
    assert refusal(replace(CHAIN, leaf=leaf)) == "BROKEN_CHAIN"


def test_an_intermediate_that_does_not_name_the_root_breaks_the_chain():
    """Though the root signed it."""
    intermediate = certify(ROOT, CHAIN.intermediate.decoded._replace(issuer_serial=7))
    assert refusal(replace(CHAIN, intermediate=intermediate)) == "BROKEN_CHAIN"


def test_no_bit_of_a_chain_may_change():
    """A flipped bit anywhere is noticed, whatever it is taken for."""
    payload = int.from_bytes(CHAIN.encode())
    ignored_by_x25519 = 8 * (CHAIN_BYTES - 160) + 7  # top bit of the intermediate key, which the root signed too
    for bit in {*range(0, 8 * CHAIN_BYTES, 11), ignored_by_x25519}:
        chain = CertificateChain.decode((payload ^ 1 << bit).to_bytes(CHAIN_BYTES))
        expected = "BROKEN_CHAIN" if bit >= 8 * 120 else "WRONG_ROOT"
        assert refusal(chain) == expected


@given(st.binary(max_size=300) | st.binary(min_size=CHAIN_BYTES, max_size=CHAIN_BYTES))
def test_random_bytes_are_never_a_trusted_chain(payload: bytes):
    """Whatever a server shows, the client gets a typed refusal."""
    with pytest.raises(CertificateError) as caught:
        verify_chain(CertificateChain.decode(payload), public_key(ROOT), SERVER_STATIC, 1_500)
    assert caught.value.reason == ("WRONG_ROOT" if len(payload) == CHAIN_BYTES else "MALFORMED")


@given(st.binary(min_size=CHAIN_BYTES, max_size=CHAIN_BYTES))
def test_decoding_loses_nothing(payload: bytes):
    """Signatures are over the bytes as received, so every chain encodes to what it was read from."""
    chain = CertificateChain.decode(payload)
    assert chain.encode() == payload
    assert chain.leaf.decoded.encode() == chain.leaf.details


@pytest.mark.parametrize(("details", "signature"), [(55, 64), (57, 64), (56, 63), (56, 65)])
def test_a_certificate_of_wrong_length_is_malformed(details: int, signature: int):
    """It cannot even be held."""
    with pytest.raises(CertificateError) as caught:
        Certificate(bytes(details), bytes(signature))
    assert caught.value.reason == "MALFORMED"


def test_only_whole_keys_are_certified():
    """A short key would be padded by the layout."""
    with pytest.raises(ValueError, match="31 bytes instead of 32"):
        issue_chain(ROOT, INTERMEDIATE, bytes(31), VALID, NONCES)
