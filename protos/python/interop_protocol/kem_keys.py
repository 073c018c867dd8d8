"""ML-KEM-1024 prekeys: what is one, and who signed it; knows no session, and nothing of who stores it."""

from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES
from interop_protocol.xeddsa_keys import verify_xeddsa


def is_encapsulation_key(public_key: bytes) -> bool:
    """Says whether bytes are an ML-KEM-1024 encapsulation key: of its length, with every coefficient reduced.

    Source: FIPS 203, section 7.2, "Encapsulation key check".
    """
    # Here: its 60 ms are not for a process that meets no KEM prekey.
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PublicKey

    if len(public_key) != KEM_PUBLIC_KEY_BYTES:
        return False
    try:
        MLKEM1024PublicKey.from_public_bytes(public_key)
    except ValueError:
        return False
    return True


def verify_kem_prekey(identity_key: bytes, public_key: bytes, signature: bytes) -> bool:
    """Says whether an identity key signed a KEM prekey: the key itself, without a type byte (KEY-15).

    Args:
        identity_key: 32 bytes, no type byte.
        public_key: 1,568 bytes.
        signature: 64 bytes.

    Raises:
        ValueError: The identity key or the signature has a wrong length.
    """
    return verify_xeddsa(identity_key, public_key, signature)
