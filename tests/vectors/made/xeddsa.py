"""Signatures: made with a given nonce, and verified; true ones and false ones."""

from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interop_protocol.encoding import decode_base64url
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message, verify_xeddsa
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import flag, octets, optional
from tests.vectors.fixed import flip, public_key, secret, seq

ORDER = 2**252 + 27742317777372353535851937790883648493
"""Order of the group's base point."""
META_IDENTITY = decode_base64url("x6g6tGpek0Obx65-vVx9t3wNtjJUXcQY2iarR-Aush4", 32)
META_PREKEY = decode_base64url("_tdJvCOi0-F9hl7iaHhrn42d1GnI3p6LwkFx3BS_jXw", 32)
META_SIGNATURE = decode_base64url(
    "BPEcejlI7RhacXe9MvBMUEs_IHctlcDyza24vDrZca0N77YDGqCAXr2VWDALvOcTSziNWfVMJ4IDxIENwvyACA", 64
)

_FIELDS = {
    "private_key": optional(octets("The signer's X25519 private key, not clamped; null: only verify.", 32)),
    "public_key": octets("The signer's public key, 32 bytes without 0x05.", 32),
    "message": octets("What is signed."),
    "nonce": optional(octets("The 64 bytes that the signature takes for random ones; null where private_key is.", 64)),
    "signature": octets("64 bytes. Where there is a private key, signing as SPEC.md says gives exactly this.", 64),
    "valid": flag("Whether it verifies."),
}


def document() -> Document:
    """Returns the file."""
    return Document(
        "xeddsa",
        "XEdDSA over Curve25519 keys. With a private key: sign the message with the nonce and compare, then verify. "
        "Without one: verify, and get what `valid` says. SPEC.md, Keys and signatures, says how the clients here sign; "
        "another signer's signatures differ, and verify.",
        ("KEY-02", "KEY-04", "CHN-04", "ENL-10"),
        _FIELDS,
        [*_signed(), *_verified()],
    )


def _signed() -> list[Vector]:
    positive, negative = _one_of_each_sign()
    return [
        _sign("signs", "A message of some bytes.", positive, b"a message", secret("xeddsa nonce", 64)),
        _sign(
            "signs-with-sign-bit",
            "The Edwards key of this private key has its top bit set, and so has the signature's last byte.",
            negative,
            b"a message",
            secret("xeddsa nonce", 64),
        ),
        _sign("signs-nothing", "An empty message.", positive, b"", secret("xeddsa nonce of nothing", 64)),
        _sign("signs-seq", "The private key is the bytes 0 to 31, the nonce zero.", seq(0), b"seq", bytes(64)),
    ]


def _one_of_each_sign() -> tuple[bytes, bytes]:
    keys = [secret(f"xeddsa signer {number}") for number in range(16)]
    signs = [sign_xeddsa(key, b"", bytes(64))[-1] >> 7 for key in keys]
    return keys[signs.index(0)], keys[signs.index(1)]


def _sign(name: str, comment: str, private_key: bytes, message: bytes, nonce: bytes) -> Vector:
    return {
        "name": name,
        "comment": comment,
        "private_key": private_key.hex(),
        "public_key": public_key(private_key).hex(),
        "message": message.hex(),
        "nonce": nonce.hex(),
        "signature": sign_xeddsa(private_key, message, nonce).hex(),
        "valid": True,
    }


def _verified() -> list[Vector]:
    key, other = secret("xeddsa verified"), secret("xeddsa of another")
    message = b"what was signed"
    public, right = public_key(key), sign_xeddsa(key, message, secret("xeddsa verified nonce", 64))
    meta = signed_prekey_message(META_PREKEY)
    forged = _message_that_holds(_FORGED)
    return [
        _verify("meta-sample", "The sample of Meta's documentation.", META_IDENTITY, meta, META_SIGNATURE),
        _verify("meta-sample-without-type-byte", "The same over 32 bytes, without 0x05.", META_IDENTITY, META_PREKEY,
                META_SIGNATURE),
        _verify("true", "What the others are changed from.", public, message, right),
        _verify("key-with-top-bit", "The top bit of a public key is ignored.", flip(public, -1, 0x80), message, right),
        _verify("other-message", "One bit of the message is another.", public, flip(message), right),
        _verify("other-key", "The signature of somebody else.", public_key(other), message, right),
        _verify("other-point", "One bit of the signature's first half is another.", public, message, flip(right, 0)),
        _verify("other-scalar", "One bit of its second half is another.", public, message, flip(right, 32)),
        _verify("other-sign", "Its top bit is another: that of another Edwards key.", public, message,
                flip(right, 63, 0x80)),
        _verify("scalar-not-reduced", "The order of the group was added to the scalar.", public, message,
                _not_reduced(right)),
        _verify("zero-signature", "64 zero bytes.", public, message, bytes(64)),
        _verify("low-order-key", "Under the key 0 this signature satisfies the equation, and the key signs nothing.",
                bytes(32), forged, _FORGED),
    ]  # fmt: skip


_FORGED = b"\1" + bytes(63)
"""The neutral element and the scalar 0: made without any private key."""


def _message_that_holds(signature: bytes) -> bytes:
    """Returns a message for which a signature is right in Ed25519, under the point of order 2, to which 0 maps."""
    edwards_key = Ed25519PublicKey.from_public_bytes((2**255 - 20).to_bytes(32, "little"))
    for number in range(64):
        message = f"forged {number}".encode()
        with suppress(InvalidSignature):
            edwards_key.verify(signature, message)
            return message
    raise AssertionError("half of all messages should do")


def _not_reduced(signature: bytes) -> bytes:
    sign = signature[-1] & 0x80
    scalar = int.from_bytes(signature[32:63] + bytes((signature[63] & 0x7F,)), "little") + ORDER
    encoded = scalar.to_bytes(32, "little")
    return signature[:32] + encoded[:-1] + bytes((encoded[-1] | sign,))


def _verify(name: str, comment: str, public: bytes, message: bytes, signature: bytes) -> Vector:
    return {
        "name": name,
        "comment": comment,
        "private_key": None,
        "public_key": public.hex(),
        "message": message.hex(),
        "nonce": None,
        "signature": signature.hex(),
        "valid": verify_xeddsa(public, message, signature),
    }
