"""Checks published keys: form, ranges and signatures; knows no store and no wire format."""

from interop_protocol.curve_keys import WeakKey, check_public_key
from interop_protocol.sizes import MAX_PREKEY_ID, SIGNATURE_BYTES
from interop_protocol.xeddsa_keys import verify_signed_prekey
from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import PublishedKeys, SignedPreKey


def check_published_keys(keys: PublishedKeys) -> PublishedKeys:
    """Checks identity key and signed prekey (KEY-02, ENL-10), and returns the keys.

    A refusal names fields as in SetPreKeysRequest: `identity_key`, `signed_prekey.key_id` and so on.

    Raises:
        Refusal: KEY_MALFORMED or PREKEY_SIGNATURE_INVALID.
    """
    check_key(keys.identity_key, "the identity key", "identity_key", "KEY-02")
    check_signed_prekey(keys.identity_key, keys.signed_prekey)
    return keys


def check_key(public_key: bytes, name: str, field: str, requirement: str) -> None:
    """Checks a Curve25519 public key (KEY-02).

    It is kept as it came, because signatures and digests cover these bytes; keys are compared with `is_same_key`.

    Args:
        public_key: The key.
        name: Its name in the refusal's text.
        field: Its path in the request.
        requirement: Id of the rule that it belongs to.

    Raises:
        Refusal: KEY_MALFORMED.
    """
    try:
        check_public_key(public_key)
    except WeakKey as error:
        raise Refusal(Reason.KEY_MALFORMED, f"{name} {error}", field=field, requirement=requirement) from error


def check_signed_prekey(identity_key: bytes, signed_prekey: SignedPreKey) -> None:
    """Checks form and signature of a signed prekey (KEY-02, ENL-10).

    Raises:
        Refusal: KEY_MALFORMED or PREKEY_SIGNATURE_INVALID.
    """
    check_prekey(signed_prekey.key_id, signed_prekey.public_key, "the signed prekey", "signed_prekey")
    if len(signed_prekey.signature) != SIGNATURE_BYTES:
        raise Refusal(
            Reason.KEY_MALFORMED,
            f"the signed prekey's signature has {len(signed_prekey.signature)} bytes instead of {SIGNATURE_BYTES}",
            field="signed_prekey.signature",
            requirement="KEY-02",
        )
    if not verify_signed_prekey(identity_key, signed_prekey.public_key, signed_prekey.signature):
        raise Refusal(Reason.PREKEY_SIGNATURE_INVALID, field="signed_prekey.signature")


def check_prekey(key_id: int, public_key: bytes, name: str, field: str) -> None:
    """Checks id and key of a prekey (KEY-02).

    Args:
        key_id: Its id.
        public_key: The key.
        name: The name of the prekey in the refusal's text.
        field: Path of the prekey in the request.

    Raises:
        Refusal: KEY_MALFORMED.
    """
    if not 1 <= key_id <= MAX_PREKEY_ID:
        detail = f"the id of {name} is {key_id}, outside 1 to {MAX_PREKEY_ID:,}"
        raise Refusal(Reason.KEY_MALFORMED, detail, field=f"{field}.key_id", requirement="KEY-02")
    check_key(public_key, name, f"{field}.public_key", "KEY-02")
