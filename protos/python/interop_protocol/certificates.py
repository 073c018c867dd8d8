"""The two-level chain that certifies the server's static key; knows neither key storage nor a clock.

Leaf ← intermediate ← root. The chain travels as the payload of the handshake's second message, as protobufs with the
observed field numbers: `CertificateChain`, `Certificate` and `CertificateDetails` (chat.proto). Each signature is
XEdDSA under the issuer's key over the details as they came.

Source: CHN-04.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2
from interop_protocol.sizes import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from interop_protocol.xeddsa_keys import sign_xeddsa, verify_xeddsa

ROOT_SERIAL = 0
"""The root has no certificate; its serial is that of WhatsApp's root."""
INTERMEDIATE_SERIAL = 1
"""Serial of an issued intermediate certificate; policy."""
LEAF_SERIAL = 2
"""Serial of an issued leaf certificate; policy."""

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
        return chat_pb2.CertificateDetails(
            serial=self.serial,
            issuer_serial=self.issuer_serial,
            key=self.key,
            not_before=self.validity.not_before,
            not_after=self.validity.not_after,
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, details: bytes) -> Self:
        """Reads what `encode` wrote, or another implementation.

        Raises:
            CertificateError: MALFORMED: this is no `CertificateDetails`, or the key has a wrong length.
        """
        try:
            read = chat_pb2.CertificateDetails.FromString(details)
        except DecodeError as error:
            raise CertificateError("MALFORMED", "a certificate's details are no CertificateDetails") from error
        if len(read.key) != PUBLIC_KEY_BYTES:
            raise CertificateError("MALFORMED", f"a certified key has {PUBLIC_KEY_BYTES} bytes, not {len(read.key)}")
        return cls(read.serial, read.issuer_serial, read.key, Validity(read.not_before, read.not_after))


@dataclass(frozen=True, slots=True)
class Certificate:
    """The encoded details and the issuer's signature over exactly these bytes.

    Raises:
        CertificateError: MALFORMED: the details cannot be read, or the signature has a wrong length.
    """

    details: bytes
    """As received: not encoded anew, because they are signed."""
    signature: bytes
    """64 bytes."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise CertificateError("MALFORMED", f"a signature has {SIGNATURE_BYTES} bytes, not {len(self.signature)}")
        CertificateDetails.decode(self.details)

    @property
    def decoded(self) -> CertificateDetails:
        """The details, not verified: `verify_chain` does that."""
        return CertificateDetails.decode(self.details)


@dataclass(frozen=True, slots=True)
class CertificateChain:
    """The certificates that a server sends to prove its static key."""

    leaf: Certificate
    """Certifies the static key."""
    intermediate: Certificate
    """Certifies the key that signed the leaf; signed by the root."""

    def encode(self) -> bytes:
        """Returns the chain as sent."""
        return chat_pb2.CertificateChain(
            leaf=chat_pb2.Certificate(details=self.leaf.details, signature=self.leaf.signature),
            intermediate=chat_pb2.Certificate(details=self.intermediate.details, signature=self.intermediate.signature),
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Parses a chain and verifies nothing but its form.

        Raises:
            CertificateError: MALFORMED: this is no `CertificateChain`, or a part is missing or has a wrong length.
        """
        try:
            read = chat_pb2.CertificateChain.FromString(payload)
        except DecodeError as error:
            raise CertificateError("MALFORMED", "the payload is no CertificateChain") from error
        return cls(
            Certificate(read.leaf.details, read.leaf.signature),
            Certificate(read.intermediate.details, read.intermediate.signature),
        )


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
