"""Media encryption: encrypts a file to a blob, and decrypts a blob to the file; knows no upload, download or message.

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
"""How much of a file is in memory at once."""

_BLOCK_BYTES = 16
_EXPANDED_BYTES = 112


class MediaType(Enum):
    """The type of a file; its value is the info string with which the media key is expanded."""

    IMAGE = b"WhatsApp Image Keys"
    VIDEO = b"WhatsApp Video Keys"
    AUDIO = b"WhatsApp Audio Keys"
    PTT = AUDIO
    """A voice message: the same keys as any audio."""
    DOCUMENT = b"WhatsApp Document Keys"


@dataclass(frozen=True, slots=True)
class EncryptedMedia:
    """The description of a blob that its sender gives to the recipient, besides the media key."""

    plaintext_sha256: bytes
    """32 bytes."""
    plaintext_length: int
    """Length in bytes."""
    ciphertext_sha256: bytes
    """SHA-256 of the blob, MAC included: 32 bytes."""

    @property
    def ciphertext_length(self) -> int:
        """Length of the blob in bytes, which follows from that of the plaintext."""
        return (self.plaintext_length // _BLOCK_BYTES + 1) * _BLOCK_BYTES + MAC_BYTES


class MediaCheck(Enum):
    """The checks that a blob must pass, in this order."""

    CIPHERTEXT_LENGTH = auto()
    CIPHERTEXT_SHA256 = auto()
    MAC = auto()
    PADDING = auto()
    PLAINTEXT_LENGTH = auto()
    PLAINTEXT_SHA256 = auto()


class MediaTampered(Exception):
    """A blob or its plaintext is not what the sender described.

    Args:
        check: The check that failed.
    """

    def __init__(self, check: MediaCheck) -> None:
        super().__init__(f"the media failed the check of {check.name}")
        self.check = check


@dataclass(frozen=True, slots=True)
class MediaKeys:
    """The keys that a media key expands to."""

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
            ValueError: The media key does not have 32 bytes.
        """
        if len(media_key) != MEDIA_KEY_BYTES:
            raise ValueError(f"a media key has {len(media_key)} bytes instead of {MEDIA_KEY_BYTES}")
        okm = HKDF(algorithm=SHA256(), length=_EXPANDED_BYTES, salt=None, info=media_type.value).derive(media_key)
        return cls(okm[:16], okm[16:48], okm[48:80])

    @property
    def cipher(self) -> Cipher[CBC]:
        """The cipher with these keys."""
        return Cipher(AES256(self.cipher_key), CBC(self.iv))

    def new_mac(self) -> hmac.HMAC:
        """Returns a new MAC, which already covers the IV."""
        return hmac.new(self.mac_key, self.iv, "sha256")


def encrypt_file(source: BinaryIO, target: BinaryIO, media_key: bytes, media_type: MediaType) -> EncryptedMedia:
    """Encrypts a file, from its current position to its end, to a blob.

    Args:
        source: The plaintext.
        target: Receives the blob.
        media_key: 32 random bytes, used for this file only.
        media_type: The type of the file.

    Returns:
        The description of the blob for the recipient.

    Raises:
        ValueError: The media key does not have 32 bytes.
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
    """Decrypts a blob, from its current position to its end.

    It reads the blob twice: once to verify all of it, once to decrypt it. So it writes no plaintext before the whole
    blob is verified, and needs no second copy on disk, as verifying while decrypting would.

    Args:
        source: The blob; must be seekable.
        target: Receives the plaintext. Discard it when this function raises.
        media_key: From the sender, 32 bytes.
        media_type: From the sender.
        expected: The sender's description of the blob.

    Raises:
        MediaTampered: The blob is not what the sender described. The checks from PADDING on run after plaintext was
            written: they fail when the sender's description was wrong, or the blob changed between the two reads.
        ValueError: The media key does not have 32 bytes.
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
    """Yields the blob without its MAC: never more bytes than its sender announced, even if the source is longer."""
    left = expected.ciphertext_length - MAC_BYTES
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise MediaTampered(MediaCheck.CIPHERTEXT_LENGTH)
        left -= len(chunk)
        yield chunk
