"""The server's certificate chain: a client tells apart everything that can be wrong with it (CHN-04)."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.certificates import (
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
    """As it was signed."""
    assert CertificateChain.decode(CHAIN.encode()) == CHAIN


def test_the_fields_are_the_documented_ones():
    """Written by hand: serial 1, issuer serial 2, key 3, not before 4, not after 5; details 1, signature 2; leaf 1."""
    leaf = b"\x08\x02\x10\x01\x1a\x20" + SERVER_STATIC + b"\x20\xe8\x07\x28\xd0\x0f"
    intermediate = b"\x08\x01\x1a\x20" + public_key(INTERMEDIATE) + b"\x20\xe8\x07\x28\xd0\x0f"
    certificates = [
        b"\x0a" + bytes([len(details)]) + details + b"\x12\x40" + signed.signature
        for details, signed in ((leaf, CHAIN.leaf), (intermediate, CHAIN.intermediate))
    ]
    expected = b"".join(
        bytes([tag, len(certificate)]) + certificate
        for tag, certificate in zip((0x0A, 0x12), certificates, strict=True)
    )
    assert CHAIN.encode() == expected


def test_details_are_verified_as_they_came():
    """Another implementation may write fields in another order, or more of them."""
    details = CHAIN.leaf.decoded
    strange = b"\xf8\x01\x07" + details._replace(serial=0).encode() + b"\x08\x02"
    leaf = Certificate(strange, sign_xeddsa(INTERMEDIATE, strange, bytes(64)))
    assert leaf.decoded == details
    chain = CertificateChain.decode(replace(CHAIN, leaf=leaf).encode())
    verify_chain(chain, public_key(ROOT), SERVER_STATIC, 1_500)


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
    payload = CHAIN.encode()
    for bit in range(8 * len(payload)):
        changed = (int.from_bytes(payload) ^ 1 << bit).to_bytes(len(payload))
        with pytest.raises(CertificateError):
            verify_chain(CertificateChain.decode(changed), public_key(ROOT), SERVER_STATIC, 1_500)


@given(st.binary(max_size=300))
def test_random_bytes_are_never_a_chain(payload: bytes):
    """Whatever a server shows, the client gets a typed refusal."""
    with pytest.raises(CertificateError) as caught:
        CertificateChain.decode(payload)
    assert caught.value.reason == "MALFORMED"


@given(
    st.tuples(*[st.integers(0, 2**32 - 1)] * 2),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=64, max_size=64),
)
def test_a_stranger_is_never_trusted(serials: tuple[int, int], key: bytes, signature: bytes):
    """Well-formed, and signed by nobody."""
    stranger = Certificate(CertificateDetails(*serials, key, VALID).encode(), signature)
    assert CertificateChain.decode(CertificateChain(stranger, stranger).encode()).leaf == stranger
    assert refusal(replace(CHAIN, intermediate=stranger)) == "WRONG_ROOT"
    assert refusal(replace(CHAIN, leaf=stranger)) == "BROKEN_CHAIN"


@pytest.mark.parametrize(
    ("details", "signature"),
    [
        (CHAIN.leaf.details, bytes(63)),
        (CHAIN.leaf.details, bytes(65)),
        (CHAIN.leaf.details[:-1], bytes(64)),
        (b"", bytes(64)),
        (b"\x1a\x1f" + bytes(31), bytes(64)),
        (b"\x1a\x21" + bytes(33), bytes(64)),
    ],
    ids=["short signature", "long signature", "cut", "empty", "short key", "long key"],
)
def test_a_certificate_of_another_form_is_malformed(details: bytes, signature: bytes):
    """It cannot even be held."""
    with pytest.raises(CertificateError) as caught:
        Certificate(details, signature)
    assert caught.value.reason == "MALFORMED"


@pytest.mark.parametrize("payload", [CHAIN.encode()[:-1], CHAIN.encode()[: len(CHAIN.encode()) // 2], b""])
def test_a_chain_that_is_not_whole_is_malformed(payload: bytes):
    """Cut within a certificate, between them, or nothing at all."""
    with pytest.raises(CertificateError, match="MALFORMED"):
        CertificateChain.decode(payload)


def test_only_whole_keys_are_certified():
    """A client would refuse another."""
    with pytest.raises(ValueError, match="31 bytes instead of 32"):
        issue_chain(ROOT, INTERMEDIATE, bytes(31), VALID, NONCES)
