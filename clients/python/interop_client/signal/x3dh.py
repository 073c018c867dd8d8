"""Extended Triple Diffie-Hellman: the first secret of a session; knows nothing of the messages that follow.

The initiator has the responder's prekey bundle, the responder has only the initiator's first message. With I for the
identity keys, S the signed prekey, O the one-time prekey and E the initiator's base ("ephemeral") key, both compute

    HKDF(salt = 0^32, ikm = F ‖ DH(I_i,S_r) ‖ DH(E_i,I_r) ‖ DH(E_i,S_r) [‖ DH(E_i,O_r)], info = "WhisperText")

with F = 0xFF^32. Its first 32 bytes are the root key. libsignal expands 32 more bytes, the key of a chain in which no
message is ever sent, because the responder begins with a ratchet step.

Source: Signal, "The X3DH Key Agreement Protocol", sections 2.2 and 3.3; white paper 3.2.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interop_client.signal.errors import InvalidKey, InvalidSignature
from interop_client.signal.kem import KemPreKeyPublic
from interop_client.signal.keys import KeyPair, check_key
from interop_protocol.kem_keys import verify_kem_prekey
from interop_protocol.sizes import KEM_PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from interop_protocol.xeddsa_keys import verify_signed_prekey

_F = b"\xff" * 32
_SALT = bytes(32)


@dataclass(frozen=True, slots=True)
class PreKeyBundle:
    """The keys that a sender takes from the server to open a session with one device."""

    registration_id: int
    """32 bits."""
    device_id: int
    """0: one device per account (KEY-08)."""
    identity_key: bytes
    """32 bytes."""
    signed_prekey_id: int
    """1 to 16,777,215."""
    signed_prekey: bytes
    """32 bytes."""
    signed_prekey_signature: bytes
    """64 bytes."""
    one_time_prekey_id: int | None = None
    """None, like the key, when the server has no one-time prekey left (KEY-06)."""
    one_time_prekey: bytes | None = None
    """32 bytes."""
    kem_prekey: KemPreKeyPublic | None = None
    """None unless the device has published KEM prekeys. Not used for the agreement (KEY-15)."""
    kem_withdrawn: bool = False
    """Whether the server says that the device has published KEM prekeys before and has none now (KEY-16)."""

    def verify(self) -> None:
        """Checks that the identity key signed the signed prekey, and the KEM prekey if there is one.

        Raises:
            InvalidKey: A key is weak or has a wrong length, or a one-time prekey comes without its id.
            InvalidSignature: A signature does not verify.
        """
        if (self.one_time_prekey is None) != (self.one_time_prekey_id is None):
            raise InvalidKey("a one-time prekey and its id come together")
        for public_key in (self.identity_key, self.signed_prekey, self.one_time_prekey):
            if public_key is not None:
                check_key(public_key)
        if len(self.signed_prekey_signature) != SIGNATURE_BYTES or not verify_signed_prekey(
            self.identity_key, self.signed_prekey, self.signed_prekey_signature
        ):
            raise InvalidSignature("the identity key of the bundle did not sign its signed prekey")
        if self.kem_prekey is not None:
            _verify_kem_prekey(self.identity_key, self.kem_prekey)


def _verify_kem_prekey(identity_key: bytes, prekey: KemPreKeyPublic) -> None:
    if len(prekey.public_key) != KEM_PUBLIC_KEY_BYTES:
        raise InvalidKey(f"the bundle's KEM prekey has {len(prekey.public_key)} bytes, not {KEM_PUBLIC_KEY_BYTES}")
    if len(prekey.signature) != SIGNATURE_BYTES or not verify_kem_prekey(
        identity_key, prekey.public_key, prekey.signature
    ):
        raise InvalidSignature("the identity key of the bundle did not sign its KEM prekey")


def initiator_root_key(identity: KeyPair, base_key: KeyPair, bundle: PreKeyBundle) -> bytes:
    """Returns the root key as the initiator computes it.

    Args:
        identity: The initiator's identity key.
        base_key: A fresh key, used for this agreement only.
        bundle: A verified bundle of the responder.

    Raises:
        InvalidKey: No secret can be agreed with one of the bundle's keys.
    """
    secrets = [
        identity.agree(bundle.signed_prekey),
        base_key.agree(bundle.identity_key),
        base_key.agree(bundle.signed_prekey),
    ]
    if bundle.one_time_prekey is not None:
        secrets.append(base_key.agree(bundle.one_time_prekey))
    return _root_key(secrets)


def responder_root_key(
    identity: KeyPair,
    signed_prekey: KeyPair,
    one_time_prekey: KeyPair | None,
    initiator_identity: bytes,
    initiator_base_key: bytes,
) -> bytes:
    """Returns the root key as the responder computes it.

    Args:
        identity: The responder's identity key.
        signed_prekey: The signed prekey that the initiator names.
        one_time_prekey: The one-time prekey that the initiator names, if any.
        initiator_identity: 32 bytes.
        initiator_base_key: 32 bytes.

    Raises:
        InvalidKey: No secret can be agreed with one of the initiator's keys.
    """
    secrets = [
        signed_prekey.agree(initiator_identity),
        identity.agree(initiator_base_key),
        signed_prekey.agree(initiator_base_key),
    ]
    if one_time_prekey is not None:
        secrets.append(one_time_prekey.agree(initiator_base_key))
    return _root_key(secrets)


def _root_key(secrets: list[bytes]) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=b"WhisperText").derive(_F + b"".join(secrets))
