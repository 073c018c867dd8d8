"""What an identity key signs for its prekeys: Curve25519 ones and ML-KEM-1024 ones."""

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from interop_protocol.kem_keys import is_encapsulation_key, verify_kem_prekey
from interop_protocol.xeddsa_keys import sign_xeddsa, signed_prekey_message, verify_signed_prekey
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import choice, flag, octets, optional
from tests.vectors.fixed import flip, public_key, secret
from tests.vectors.made.xeddsa import META_IDENTITY, META_PREKEY, META_SIGNATURE

_FIELDS = {
    "kind": choice("Which kind of prekey it is.", "signed_prekey", "kem_prekey"),
    "identity_private_key": optional(octets("The signer's; null: only verify.", 32)),
    "identity_key": octets("32 bytes without 0x05.", 32),
    "kem_seed": optional(octets("The private key of a KEM prekey, d and z of FIPS 203; null: none is known.", 64)),
    "prekey": octets("The public key: 32 bytes, or 1,568 of a KEM prekey."),
    "nonce": optional(octets("What XEdDSA takes for random bytes; null where the private key is.", 64)),
    "signed_bytes": octets("What the signature must cover: 0x05 and the key, or the KEM prekey as it is."),
    "signature": octets("64 bytes.", 64),
    "valid": flag("Whether a server takes this prekey, and a client uses it."),
}
_IDENTITY, _NONCE = secret("prekey identity"), secret("prekey nonce", 64)
_SEED = secret("prekey kem seed", 64)


def document() -> Document:
    """Returns the file."""
    key = public_key(secret("prekey"))
    kem = MLKEM1024PrivateKey.from_seed_bytes(_SEED).public_key().public_bytes_raw()
    plain = sign_xeddsa(_IDENTITY, key, _NONCE)
    with_type = sign_xeddsa(_IDENTITY, b"\x08" + kem, _NONCE)
    signature, kem_signature = _signature(signed_prekey_message(key)), _signature(kem)
    unreduced = b"\xff\xff\xff" + kem[3:]
    return Document(
        "prekey_signatures",
        "Signatures of prekeys. As their owner: make the signature from the private keys. As a server or a sender: "
        "verify it, and check the key: a Curve25519 key as in curve_keys.json, a KEM prekey as in FIPS 203, section "
        "7.2.",
        ("ENL-10", "KEY-02", "KEY-13", "KEY-15"),
        _FIELDS,
        [
            _made("signed-prekey", "Over 33 bytes, the type byte 0x05 first.", "signed_prekey", key, signature),
            _made("kem-prekey", "Over the key as it is, without a type byte.", "kem_prekey", kem, kem_signature),
            _found("meta-sample", "The sample of Meta's documentation.", META_IDENTITY, META_PREKEY, META_SIGNATURE),
            _false("signed-without-type-byte", "The signature covers 32 bytes.", "signed_prekey", key, plain),
            _false("signature-altered", "One bit of it is another.", "signed_prekey", key, flip(signature, 0)),
            _false("other-prekey", "The signature of another prekey.", "signed_prekey", flip(key, 0), signature),
            _false("kem-signed-with-type-byte", "As newer releases of libsignal sign their own, with 0x08 first.",
                   "kem_prekey", kem, with_type),
            _false("kem-signature-altered", "One bit of it is another.", "kem_prekey", kem,
                   flip(kem_signature, 0)),
            _false("kem-short", "A byte is missing, although the signature is right.", "kem_prekey", kem[:-1],
                   _signature(kem[:-1])),
            _false("kem-not-reduced", "Two coefficients are not below 3329; the signature is right.", "kem_prekey",
                   unreduced, _signature(unreduced)),
        ],
    )  # fmt: skip


def _signature(message: bytes) -> bytes:
    return sign_xeddsa(_IDENTITY, message, _NONCE)


def _made(name: str, comment: str, kind: str, key: bytes, signature: bytes) -> Vector:
    own = {"identity_private_key": _IDENTITY.hex(), "nonce": _NONCE.hex()}
    seed = {"kem_seed": _SEED.hex() if kind == "kem_prekey" else None}
    return _vector(name, comment, kind, public_key(_IDENTITY), key, signature) | own | seed


def _false(name: str, comment: str, kind: str, key: bytes, signature: bytes) -> Vector:
    return _vector(name, comment, kind, public_key(_IDENTITY), key, signature)


def _found(name: str, comment: str, identity: bytes, key: bytes, signature: bytes) -> Vector:
    return _vector(name, comment, "signed_prekey", identity, key, signature)


def _vector(name: str, comment: str, kind: str, identity: bytes, key: bytes, signature: bytes) -> Vector:
    return {
        "name": name,
        "comment": comment,
        "kind": kind,
        "identity_private_key": None,
        "identity_key": identity.hex(),
        "kem_seed": None,
        "prekey": key.hex(),
        "nonce": None,
        "signed_bytes": (key if kind == "kem_prekey" else signed_prekey_message(key)).hex(),
        "signature": signature.hex(),
        "valid": is_taken(kind, identity, key, signature),
    }


def is_taken(kind: str, identity: bytes, key: bytes, signature: bytes) -> bool:
    """Says whether a prekey may be used."""
    if kind == "kem_prekey":
        return is_encapsulation_key(key) and verify_kem_prekey(identity, key, signature)
    return verify_signed_prekey(identity, key, signature)
