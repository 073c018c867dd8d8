"""Curve25519 key pairs and the public keys that an account publishes; knows no message and no session.

Keys are 32 raw bytes everywhere in this package and on the interop server's wire. Inside Signal messages, and inside
the bytes that an identity key signs, a public key has the type byte 0x05 in front: `encode_public_key`,
`decode_public_key`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from interop_client.signal.errors import InvalidKey
from interop_protocol.curve_keys import WeakKey, check_public_key
from interop_protocol.sizes import MAX_PREKEY_ID, MIN_PREKEY_ID, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES
from interop_protocol.xeddsa_keys import KEY_TYPE, NONCE_BYTES, sign_xeddsa, signed_prekey_message

ENCODED_KEY_BYTES = 1 + PUBLIC_KEY_BYTES
"""Length of a public key with its type byte."""

_TYPE_BYTE = bytes((KEY_TYPE,))

Entropy = Callable[[int], bytes]
"""Returns that many unpredictable bytes: `os.urandom`, except in tests that must be reproducible."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 key pair: identity key, prekey, ephemeral key or ratchet key."""

    private_key: bytes = field(repr=False)
    """32 bytes."""
    public_key: bytes
    """32 bytes, no type byte."""
    _x25519: X25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def from_private(cls, private_key: bytes) -> Self:
        """Returns the key pair of a private key.

        Raises:
            InvalidKey: The private key does not have 32 bytes.
        """
        if len(private_key) != PRIVATE_KEY_BYTES:
            raise InvalidKey(f"a private key has {len(private_key)} bytes instead of {PRIVATE_KEY_BYTES}")
        x25519 = X25519PrivateKey.from_private_bytes(private_key)
        return cls(private_key, x25519.public_key().public_bytes_raw(), x25519)

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """Makes a new key pair."""
        return cls.from_private(entropy(PRIVATE_KEY_BYTES))

    def agree(self, public_key: bytes) -> bytes:
        """Returns the 32-byte X25519 secret shared with the holder of a public key.

        Args:
            public_key: 32 bytes, no type byte.

        Raises:
            InvalidKey: The key has a wrong length, has low order, so that every shared secret is zero, or is not
                canonical.
        """
        check_key(public_key)
        return self._x25519.exchange(X25519PublicKey.from_public_bytes(public_key))


@dataclass(frozen=True, slots=True)
class PreKeyPublic:
    """A one-time prekey as published, without its private key."""

    key_id: int
    """1 to 16,777,215."""
    public_key: bytes
    """32 bytes."""


@dataclass(frozen=True, slots=True)
class SignedPreKeyPublic:
    """A signed prekey as published, without its private key."""

    key_id: int
    """1 to 16,777,215."""
    public_key: bytes
    """32 bytes."""
    signature: bytes
    """64 bytes, XEdDSA over the type byte and the key."""


@dataclass(frozen=True, slots=True)
class SignedPreKey:
    """A signed prekey with its private key."""

    key_id: int
    """1 to 16,777,215."""
    key_pair: KeyPair
    """The prekey."""
    signature: bytes
    """64 bytes, by the identity key."""

    @classmethod
    def generate(cls, key_id: int, identity: KeyPair, entropy: Entropy) -> Self:
        """Makes a new signed prekey."""
        key_pair = KeyPair.generate(entropy)
        message = signed_prekey_message(key_pair.public_key)
        return cls(key_id, key_pair, sign_xeddsa(identity.private_key, message, entropy(NONCE_BYTES)))

    @property
    def public(self) -> SignedPreKeyPublic:
        """The part that the account publishes."""
        return SignedPreKeyPublic(self.key_id, self.key_pair.public_key, self.signature)


def encode_public_key(public_key: bytes) -> bytes:
    """Returns a 32-byte public key with its type byte: 33 bytes."""
    return _TYPE_BYTE + public_key


def decode_public_key(encoded: bytes) -> bytes:
    """Returns the 32-byte public key in an encoded one.

    Raises:
        InvalidKey: The encoded key is not 33 bytes that begin with 0x05, or the key is weak.
    """
    if len(encoded) != ENCODED_KEY_BYTES or encoded[:1] != _TYPE_BYTE:
        raise InvalidKey("a public key is not 33 bytes that begin with 0x05")
    check_key(encoded[1:])
    return encoded[1:]


def check_key(public_key: bytes) -> None:
    """Checks a public key that came from elsewhere (KEY-02).

    Raises:
        InvalidKey: It has a wrong length, has low order, or is not canonical.
    """
    try:
        check_public_key(public_key)
    except WeakKey as error:
        raise InvalidKey(f"a public key {error}") from error


def next_prekey_id(key_id: int) -> int:
    """Returns the prekey id after this one: after 16,777,215 comes 1 (KEY-02)."""
    return key_id + 1 if key_id < MAX_PREKEY_ID else MIN_PREKEY_ID
