"""ML-KEM-1024 prekeys: whether a key and its signature are valid; knows neither sessions nor stores."""

from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES
from interop_protocol.xeddsa_keys import verify_xeddsa


def is_encapsulation_key(public_key: bytes) -> bool:
    """Says whether bytes are an ML-KEM-1024 encapsulation key: of the right length, with every coefficient reduced.

    Source: FIPS 203, section 7.2, "Encapsulation key check".
    """
    # Imported here: it takes 60 ms, which a process without KEM prekeys need not spend.
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
