"""Certificate chains: a right one at its bounds, and everything that can be wrong with one."""

from dataclasses import replace
from typing import Any

from interop_api.v1 import chat_pb2
from interop_protocol.certificates import (
    Certificate,
    CertificateChain,
    CertificateDetails,
    CertificateError,
    Validity,
    issue_chain,
    verify_chain,
)
from interop_protocol.xeddsa_keys import sign_xeddsa
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import big, choice, flag, number, octets, optional, record
from tests.vectors.fixed import flip, public_key, secret, seq

SERVER_STATIC = secret("server static")
"""The private key that the chain certifies."""
VALIDITY = Validity(1_735_689_600, 1_767_225_599)
"""The year 2025, UTC."""

_ROOT, _INTERMEDIATE, _OTHER = (secret(f"certificate {which}") for which in ("root", "intermediate", "of another"))
_NONCES = (secret("certificate nonce of the leaf", 64), secret("certificate nonce of the intermediate", 64))
_NOW = 1_750_000_000
_REASONS = ("WRONG_ROOT", "BROKEN_CHAIN", "WRONG_LEAF_KEY", "NOT_YET_VALID", "EXPIRED", "MALFORMED")
_CERTIFICATE = optional(
    record(
        "What a certificate says; null where the chain cannot be read.",
        {
            "details": octets("CertificateDetails as it came: what is signed."),
            "signature": octets("Under the issuer's key.", 64),
            "serial": number("Of this certificate."),
            "issuer_serial": number("Of the one whose key signed it; 0 is the root."),
            "key": octets("The certified key.", 32),
            "not_before": big("Seconds since the UNIX epoch; this second counts."),
            "not_after": big("Seconds since the UNIX epoch; this second counts."),
        },
    )
)
_FIELDS = {
    "root_public_key": octets("What the client pins.", 32),
    "server_static_key": octets("What the handshake proved.", 32),
    "now": big("Seconds since the UNIX epoch."),
    "chain": octets("ServerHello.payload, opened: a CertificateChain."),
    "leaf": _CERTIFICATE,
    "intermediate": _CERTIFICATE,
    "valid": flag("Whether the client goes on."),
    "reason": optional(choice("Why it does not.", *_REASONS)),
}


def chain() -> bytes:
    """Returns the right chain, serialised."""
    return _right().encode()


def _right() -> CertificateChain:
    return issue_chain(_ROOT, _INTERMEDIATE, public_key(SERVER_STATIC), VALIDITY, _NONCES)


def document() -> Document:
    """Returns the file."""
    right = _right()
    leaf, intermediate = right.leaf.decoded, right.intermediate.decoded
    short = Validity(_NOW - 10, _NOW - 1)
    other_root = issue_chain(_OTHER, _INTERMEDIATE, public_key(SERVER_STATIC), VALIDITY, _NONCES)
    other_key = issue_chain(_ROOT, _INTERMEDIATE, public_key(_OTHER), VALIDITY, _NONCES)
    changed: list[tuple[str, str, CertificateChain | bytes]] = [
        ("right", "Everything holds.", right),
        ("later-fields", "A newer writer: another order, and a field that nobody knows. Verify what came.",
         replace(right, leaf=_signed(_INTERMEDIATE, _of_a_newer_writer(leaf)))),
        ("wrong-root", "A well-made chain under somebody else's root.", other_root),
        ("intermediate-altered", "One bit of the intermediate's signature is another.",
         replace(right, intermediate=replace(right.intermediate, signature=flip(right.intermediate.signature, 0)))),
        ("leaf-altered", "One bit of the leaf's signature is another.",
         replace(right, leaf=replace(right.leaf, signature=flip(right.leaf.signature, 0)))),
        ("leaf-signed-by-root", "The root itself signed the leaf.", replace(right, leaf=_signed(_ROOT, leaf.encode()))),
        ("leaf-of-another-issuer", "The leaf names serial 7 as its issuer.",
         replace(right, leaf=_signed(_INTERMEDIATE, leaf._replace(issuer_serial=7).encode()))),
        ("intermediate-of-another-issuer", "The intermediate does not name the root, 0.",
         replace(right, intermediate=_signed(_ROOT, intermediate._replace(issuer_serial=1).encode()))),
        ("wrong-leaf-key", "A good chain, for another key than the handshake proved.", other_key),
        ("leaf-expired", "The leaf ended a second ago, the intermediate did not.",
         replace(right, leaf=_signed(_INTERMEDIATE, leaf._replace(validity=short).encode()))),
        ("swapped", "Leaf and intermediate in each other's place.",
         CertificateChain(leaf=right.intermediate, intermediate=right.leaf)),
        ("no-protobuf", "Bytes that are no message.", b"\xff" * 12),
        ("empty", "No bytes: both certificates are missing.", b""),
        ("no-intermediate", "Only the leaf.", _only_leaf(right)),
        ("signature-cut", "The leaf's signature has 63 bytes.", _with_leaf(right, signature=right.leaf.signature[:-1])),
        ("key-cut", "The certified key has 31 bytes.", _with_leaf(right, details=_short_key(leaf))),
    ]  # fmt: skip
    times = [
        ("first-second", "The first second counts.", VALIDITY.not_before),
        ("last-second", "So does the last.", VALIDITY.not_after),
        ("too-early", "A second before.", VALIDITY.not_before - 1),
        ("too-late", "A second after.", VALIDITY.not_after + 1),
    ]
    spec = issue_chain(seq(0), seq(32), public_key(seq(96)), Validity(1_000, 2_000), (bytes(64), bytes(range(64))))
    return Document(
        "certificates",
        "Chains in the handshake's second message: verify each against the pinned root, the server's static key and the"
        " time. A client sends no third message after a chain that is not valid.",
        ("CHN-04",),
        _FIELDS,
        [
            _vector("spec", "The one of SPEC.md.", spec, 1_500, public_key(seq(0)), public_key(seq(96))),
            *(_vector(name, comment, given) for name, comment, given in changed),
            *(_vector(name, comment, right, now) for name, comment, now in times),
        ],
    )


def _signed(issuer: bytes, details: bytes) -> Certificate:
    return Certificate(details, sign_xeddsa(issuer, details, _NONCES[0]))


def _of_a_newer_writer(details: CertificateDetails) -> bytes:
    serial = chat_pb2.CertificateDetails(serial=details.serial).SerializeToString(deterministic=True)
    return b"\xf8\x01\x07" + details._replace(serial=0).encode() + serial


def _only_leaf(chain: CertificateChain) -> bytes:
    leaf = chat_pb2.Certificate(details=chain.leaf.details, signature=chain.leaf.signature)
    return chat_pb2.CertificateChain(leaf=leaf).SerializeToString(deterministic=True)


def _with_leaf(chain: CertificateChain, **fields: bytes) -> bytes:
    message = chat_pb2.CertificateChain.FromString(chain.encode())
    for name, value in fields.items():
        setattr(message.leaf, name, value)
    return message.SerializeToString(deterministic=True)


def _short_key(details: CertificateDetails) -> bytes:
    message = chat_pb2.CertificateDetails.FromString(details.encode())
    message.key = message.key[:-1]
    return message.SerializeToString(deterministic=True)


def _vector(
    name: str,
    comment: str,
    given: CertificateChain | bytes,
    now: int = _NOW,
    root: bytes = public_key(_ROOT),
    static: bytes = public_key(SERVER_STATIC),
) -> Vector:
    encoded = given if isinstance(given, bytes) else given.encode()
    reason = reason_against(encoded, root, static, now)
    return {
        "name": name,
        "comment": comment,
        "root_public_key": root.hex(),
        "server_static_key": static.hex(),
        "now": str(now),
        "chain": encoded.hex(),
        **decoded(encoded),
        "valid": not reason,
        "reason": reason or None,
    }


def decoded(encoded: bytes) -> dict[str, Any]:
    """Returns what both certificates of a chain say."""
    try:
        chain = CertificateChain.decode(encoded)
    except CertificateError:
        return {"leaf": None, "intermediate": None}
    return {"leaf": _shown(chain.leaf), "intermediate": _shown(chain.intermediate)}


def _shown(certificate: Certificate) -> dict[str, Any]:
    details = certificate.decoded
    return {
        "details": certificate.details.hex(),
        "signature": certificate.signature.hex(),
        "serial": details.serial,
        "issuer_serial": details.issuer_serial,
        "key": details.key.hex(),
        "not_before": str(details.validity.not_before),
        "not_after": str(details.validity.not_after),
    }


def reason_against(encoded: bytes, root: bytes, static: bytes, now: int) -> str:
    """Returns why a client refuses a chain; empty if it does not."""
    try:
        verify_chain(CertificateChain.decode(encoded), root, static, now)
    except CertificateError as error:
        return error.reason
    return ""
