"""Media encryption: a file becomes a blob, and a blob the file again; knows no upload, download or message.

    blob = AES-256-CBC(plaintext, PKCS #7) ‖ first 10 bytes of HMAC-SHA256(MAC key, IV ‖ ciphertext)

IV, cipher key and MAC key come from HKDF over the 32-byte media key, with an info string for each media type. Both
directions stream: a file of any size takes a few MiB of memory.

Source: MED-01, MED-06; protocol facts 4.8.
"""

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO, Self

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

MEDIA_KEY_BYTES = 32
MAC_BYTES = 10
CHUNK_BYTES = 1 << 20
"""How much of a file is held at once."""

_BLOCK_BYTES = 16
_EXPANDED_BYTES = 112


class MediaType(Enum):
    """What a file is, and so with which info string its key is expanded."""

    IMAGE = b"WhatsApp Image Keys"
    VIDEO = b"WhatsApp Video Keys"
    AUDIO = b"WhatsApp Audio Keys"
    PTT = AUDIO
    """A voice message: the same keys as any audio."""
    DOCUMENT = b"WhatsApp Document Keys"


@dataclass(frozen=True, slots=True)
class EncryptedMedia:
    """What the sender of a blob tells its receiver, besides the media key."""

    plaintext_sha256: bytes
    """32 bytes."""
    plaintext_length: int
    """In bytes."""
    ciphertext_sha256: bytes
    """SHA-256 of the blob, MAC included: 32 bytes."""

    @property
    def ciphertext_length(self) -> int:
        """Length of the blob in bytes, which follows from that of the plaintext."""
        return (self.plaintext_length // _BLOCK_BYTES + 1) * _BLOCK_BYTES + MAC_BYTES


class MediaCheck(Enum):
    """What a blob must stand up to, in the order of checking."""

    CIPHERTEXT_LENGTH = auto()
    CIPHERTEXT_SHA256 = auto()
    MAC = auto()
    PADDING = auto()
    PLAINTEXT_LENGTH = auto()
    PLAINTEXT_SHA256 = auto()


class MediaTampered(Exception):
    """A blob, or what it decrypts to, is not what its sender described.

    Args:
        check: The one that failed.
    """

    def __init__(self, check: MediaCheck) -> None:
        super().__init__(f"the media failed the check of {check.name}")
        self.check = check


@dataclass(frozen=True, slots=True)
class MediaKeys:
    """What a media key expands to."""

    iv: bytes = field(repr=False)
    """16 bytes."""
    cipher_key: bytes = field(repr=False)
    """32 bytes."""
    mac_key: bytes = field(repr=False)
    """32 bytes; the last 32 of the 112 expanded bytes, the reference key, have no use here."""

    @classmethod
    def expand(cls, media_key: bytes, media_type: MediaType) -> Self:
        """Expands a media key.

        Raises:
            ValueError: The media key has not 32 bytes.
        """
        if len(media_key) != MEDIA_KEY_BYTES:
            raise ValueError(f"a media key has {len(media_key)} bytes instead of {MEDIA_KEY_BYTES}")
        okm = HKDF(algorithm=SHA256(), length=_EXPANDED_BYTES, salt=None, info=media_type.value).derive(media_key)
        return cls(okm[:16], okm[16:48], okm[48:80])

    @property
    def cipher(self) -> Cipher[CBC]:
        """The cipher that these keys set up."""
        return Cipher(AES256(self.cipher_key), CBC(self.iv))

    def new_mac(self) -> hmac.HMAC:
        """Begins a MAC, which covers the IV first."""
        return hmac.new(self.mac_key, self.iv, "sha256")


def encrypt_file(source: BinaryIO, target: BinaryIO, media_key: bytes, media_type: MediaType) -> EncryptedMedia:
    """Encrypts a file, from where it stands to its end, into a blob.

    Args:
        source: The plaintext.
        target: Receives the blob.
        media_key: 32 random bytes, used for this file only.
        media_type: What the file is.

    Returns:
        What to tell the receiver.

    Raises:
        ValueError: The media key has not 32 bytes.
    """
    keys = MediaKeys.expand(media_key, media_type)
    encryptor, padder, mac = keys.cipher.encryptor(), PKCS7(_BLOCK_BYTES * 8).padder(), keys.new_mac()
    plaintext_hash, blob_hash, plaintext_length = hashlib.sha256(), hashlib.sha256(), 0

    def put(ciphertext: bytes) -> None:
        mac.update(ciphertext)
        blob_hash.update(ciphertext)
        target.write(ciphertext)

    while chunk := source.read(CHUNK_BYTES):
        plaintext_hash.update(chunk)
        plaintext_length += len(chunk)
        put(encryptor.update(padder.update(chunk)))
    put(encryptor.update(padder.finalize()) + encryptor.finalize())
    tag = mac.digest()[:MAC_BYTES]
    blob_hash.update(tag)
    target.write(tag)
    return EncryptedMedia(plaintext_hash.digest(), plaintext_length, blob_hash.digest())


def decrypt_file(
    source: BinaryIO, target: BinaryIO, media_key: bytes, media_type: MediaType, expected: EncryptedMedia
) -> None:
    """Decrypts a blob, from where it stands to its end.

    The blob is read twice: once to verify all of it, once to decrypt. So no byte of plaintext is written before the
    whole blob proved authentic, without a second copy on disk as verifying while decrypting would need.

    Args:
        source: The blob; must be seekable.
        target: Receives the plaintext. Discard it when this function raises.
        media_key: As the sender told it, 32 bytes.
        media_type: As the sender told it.
        expected: What the sender told of the blob.

    Raises:
        MediaTampered: The blob is not what the sender described. The checks from PADDING on come after the target was
            written to: they fail when the sender itself was wrong, or the blob changed between the two readings.
        ValueError: The media key has not 32 bytes.
    """
    keys = MediaKeys.expand(media_key, media_type)
    start = source.tell()
    _verify_blob(source, keys, expected)
    source.seek(start)
    _decrypt_verified(source, target, keys, expected)


def _verify_blob(source: BinaryIO, keys: MediaKeys, expected: EncryptedMedia) -> None:
    blob_hash, mac = hashlib.sha256(), keys.new_mac()
    for chunk in _ciphertext_chunks(source, expected):
        blob_hash.update(chunk)
        mac.update(chunk)
    tag = source.read(MAC_BYTES)
    if len(tag) != MAC_BYTES or source.read(1):
        raise MediaTampered(MediaCheck.CIPHERTEXT_LENGTH)
    blob_hash.update(tag)
    if not hmac.compare_digest(blob_hash.digest(), expected.ciphertext_sha256):
        raise MediaTampered(MediaCheck.CIPHERTEXT_SHA256)
    if not hmac.compare_digest(mac.digest()[:MAC_BYTES], tag):
        raise MediaTampered(MediaCheck.MAC)


def _decrypt_verified(source: BinaryIO, target: BinaryIO, keys: MediaKeys, expected: EncryptedMedia) -> None:
    decryptor, unpadder = keys.cipher.decryptor(), PKCS7(_BLOCK_BYTES * 8).unpadder()
    plaintext_hash, plaintext_length = hashlib.sha256(), 0

    def put(plaintext: bytes) -> None:
        nonlocal plaintext_length
        plaintext_length += len(plaintext)
        plaintext_hash.update(plaintext)
        target.write(plaintext)

    for chunk in _ciphertext_chunks(source, expected):
        put(unpadder.update(decryptor.update(chunk)))
    try:
        put(unpadder.update(decryptor.finalize()) + unpadder.finalize())
    except ValueError as error:
        raise MediaTampered(MediaCheck.PADDING) from error
    if plaintext_length != expected.plaintext_length:
        raise MediaTampered(MediaCheck.PLAINTEXT_LENGTH)
    if not hmac.compare_digest(plaintext_hash.digest(), expected.plaintext_sha256):
        raise MediaTampered(MediaCheck.PLAINTEXT_SHA256)


def _ciphertext_chunks(source: BinaryIO, expected: EncryptedMedia) -> Iterator[bytes]:
    """Yields the blob without its MAC: never more than its sender announced, whatever the source holds."""
    left = expected.ciphertext_length - MAC_BYTES
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise MediaTampered(MediaCheck.CIPHERTEXT_LENGTH)
        left -= len(chunk)
        yield chunk
