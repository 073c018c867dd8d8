"""The two-level chain that certifies the server's static key; knows neither key storage nor a clock.

Leaf ← intermediate ← root. The chain travels as the payload of the handshake's second message, in a fixed layout:

    chain:        leaf details (56) ‖ leaf signature (64) ‖ intermediate details (56) ‖ intermediate signature (64)
    details:      serial (4) ‖ issuer serial (4) ‖ key (32) ‖ not before (8) ‖ not after (8), integers big-endian

Each signature is XEdDSA over the encoded details, under the issuer's key.

Simulator: WhatsApp writes details and chain as protobufs; the fields, the levels and the signatures are the same.
Source: CHN-04.
"""

import struct
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from interop_protocol.sizes import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from interop_protocol.xeddsa_keys import sign_xeddsa, verify_xeddsa

ROOT_SERIAL = 0
"""The root has no certificate; its serial is that of WhatsApp's root."""
INTERMEDIATE_SERIAL = 1
"""Serial of an issued intermediate certificate; policy."""
LEAF_SERIAL = 2
"""Serial of an issued leaf certificate; policy."""

_DETAILS = struct.Struct(f">II{PUBLIC_KEY_BYTES}sQQ")
_CHAIN = struct.Struct(f"{_DETAILS.size}s{SIGNATURE_BYTES}s{_DETAILS.size}s{SIGNATURE_BYTES}s")
CHAIN_BYTES = _CHAIN.size
"""Length of an encoded chain."""

CertificateErrorReason = Literal[
    "WRONG_ROOT", "WRONG_LEAF_KEY", "EXPIRED", "NOT_YET_VALID", "MALFORMED", "BROKEN_CHAIN"
]
"""Why a chain is not trusted."""


class CertificateError(Exception):
    """A certificate chain is not trusted."""

    def __init__(self, reason: CertificateErrorReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: CertificateErrorReason = reason


@dataclass(frozen=True, slots=True)
class Validity:
    """The time during which a certificate may be used, both ends included."""

    not_before: int
    """Unix seconds."""
    not_after: int
    """Unix seconds."""


class CertificateDetails(NamedTuple):
    """The signed content of a certificate."""

    serial: int
    issuer_serial: int
    """Serial of the certificate whose key signed this one."""
    key: bytes
    """The certified Curve25519 public key, 32 bytes."""
    validity: Validity

    def encode(self) -> bytes:
        """Returns the bytes that are signed.

        Raises:
            ValueError: The key has a wrong length.
        """
        if len(self.key) != PUBLIC_KEY_BYTES:
            raise ValueError(f"the certified key has {len(self.key)} bytes instead of {PUBLIC_KEY_BYTES}")
        return _DETAILS.pack(
            self.serial, self.issuer_serial, self.key, self.validity.not_before, self.validity.not_after
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """The encoded details and the issuer's signature over exactly these bytes.

    Raises:
        CertificateError: MALFORMED: a length is wrong.
    """

    details: bytes
    """56 bytes, as received."""
    signature: bytes
    """64 bytes."""

    def __post_init__(self) -> None:
        if len(self.details) != _DETAILS.size or len(self.signature) != SIGNATURE_BYTES:
            raise CertificateError("MALFORMED", "a certificate's details or signature have a wrong length")

    @property
    def decoded(self) -> CertificateDetails:
        """The details, not verified: `verify_chain` does that."""
        serial, issuer_serial, key, not_before, not_after = _DETAILS.unpack(self.details)
        return CertificateDetails(serial, issuer_serial, key, Validity(not_before, not_after))


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """The certificates that a server sends to prove its static key."""

    leaf: Certificate
    """Certifies the static key."""
    intermediate: Certificate
    """Certifies the key that signed the leaf; signed by the root."""

    def encode(self) -> bytes:
        """Returns the chain as sent, `CHAIN_BYTES` long."""
        return _CHAIN.pack(
            self.leaf.details, self.leaf.signature, self.intermediate.details, self.intermediate.signature
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Parses a chain and verifies nothing but its length.

        Raises:
            CertificateError: MALFORMED: the length is wrong.
        """
        if len(payload) != CHAIN_BYTES:
            raise CertificateError("MALFORMED", f"a chain has {CHAIN_BYTES} bytes, not {len(payload)}")
        leaf_details, leaf_signature, details, signature = _CHAIN.unpack(payload)
        return cls(Certificate(leaf_details, leaf_signature), Certificate(details, signature))


def issue_chain(
    root_private: bytes,
    intermediate_private: bytes,
    leaf_public: bytes,
    validity: Validity,
    nonces: tuple[bytes, bytes],
) -> CertificateChain:
    """Certifies a server's static key.

    Args:
        root_private: 32 bytes, Curve25519.
        intermediate_private: 32 bytes, Curve25519.
        leaf_public: The static key, 32 bytes.
        validity: Of both certificates.
        nonces: 64 fresh random bytes for each of the two signatures.

    Raises:
        ValueError: A key or a nonce has a wrong length.
    """
    intermediate_public = X25519PrivateKey.from_private_bytes(intermediate_private).public_key().public_bytes_raw()
    intermediate = CertificateDetails(INTERMEDIATE_SERIAL, ROOT_SERIAL, intermediate_public, validity).encode()
    leaf = CertificateDetails(LEAF_SERIAL, INTERMEDIATE_SERIAL, leaf_public, validity).encode()
    return CertificateChain(
        leaf=Certificate(leaf, sign_xeddsa(intermediate_private, leaf, nonces[0])),
        intermediate=Certificate(intermediate, sign_xeddsa(root_private, intermediate, nonces[1])),
    )


def verify_chain(chain: CertificateChain, root_public: bytes, server_static: bytes, now: int) -> None:
    """Checks that the trusted root certifies, through the chain, a server's static key. Returns if so.

    Args:
        chain: The chain that the server sent.
        root_public: The trusted root, 32 bytes.
        server_static: The static key that the handshake proved, 32 bytes.
        now: Unix seconds.

    Raises:
        CertificateError: WRONG_ROOT (the root did not sign the intermediate), BROKEN_CHAIN (the intermediate did not
            sign the leaf, or serials do not link), WRONG_LEAF_KEY (another key is certified), NOT_YET_VALID, EXPIRED.
        ValueError: `root_public` has a wrong length.
    """
    if not verify_xeddsa(root_public, chain.intermediate.details, chain.intermediate.signature):
        raise CertificateError("WRONG_ROOT", "the intermediate certificate is not signed by the trusted root")
    intermediate = chain.intermediate.decoded
    if not verify_xeddsa(intermediate.key, chain.leaf.details, chain.leaf.signature):
        raise CertificateError("BROKEN_CHAIN", "the leaf certificate is not signed by the intermediate's key")
    leaf = chain.leaf.decoded
    if intermediate.issuer_serial != ROOT_SERIAL or leaf.issuer_serial != intermediate.serial:
        raise CertificateError("BROKEN_CHAIN", "a certificate names another issuer")
    if leaf.key != server_static:
        raise CertificateError("WRONG_LEAF_KEY", "the leaf certifies another key than the server proved")
    for name, details in (("intermediate", intermediate), ("leaf", leaf)):
        if now < details.validity.not_before:
            raise CertificateError("NOT_YET_VALID", f"the {name} is valid from {details.validity.not_before}")
        if now > details.validity.not_after:
            raise CertificateError("EXPIRED", f"the {name} was valid until {details.validity.not_after}")
