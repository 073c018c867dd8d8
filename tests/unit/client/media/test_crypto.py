"""Media encryption: the expansion of keys, files of awkward lengths, and every way to tamper with a blob."""

import hashlib
import hmac
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC

from interop_client.media.crypto import (
    CHUNK_BYTES,
    MAC_BYTES,
    EncryptedMedia,
    MediaCheck,
    MediaKeys,
    MediaTampered,
    MediaType,
    decrypt_file,
    encrypt_file,
)

KEY = bytes(range(32))
PLAINTEXT = b"a picture worth a thousand words"


def expand_by_hand(info: bytes) -> bytes:
    """HKDF-SHA256 as RFC 5869 has it, with an empty salt, to 112 bytes."""
    extracted = hmac.digest(bytes(32), KEY, "sha256")
    okm = block = b""
    for number in range(1, 5):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        okm += block
    return okm[:112]


def encrypted(plaintext: bytes = PLAINTEXT, media_type: MediaType = MediaType.IMAGE) -> tuple[bytes, EncryptedMedia]:
    blob = io.BytesIO()
    described = encrypt_file(io.BytesIO(plaintext), blob, KEY, media_type)
    return blob.getvalue(), described


def decrypted(blob: bytes, expected: EncryptedMedia, media_type: MediaType = MediaType.IMAGE) -> bytes:
    target = io.BytesIO()
    decrypt_file(io.BytesIO(blob), target, KEY, media_type, expected)
    return target.getvalue()


def failed_check(blob: bytes, expected: EncryptedMedia, media_type: MediaType = MediaType.IMAGE) -> MediaCheck:
    """Returns the check that a blob fails; up to the MAC, no plaintext may have come out."""
    target = io.BytesIO()
    with pytest.raises(MediaTampered) as tampered:
        decrypt_file(io.BytesIO(blob), target, KEY, media_type, expected)
    if tampered.value.check in (MediaCheck.CIPHERTEXT_LENGTH, MediaCheck.CIPHERTEXT_SHA256, MediaCheck.MAC):
        assert target.getvalue() == b""
    return tampered.value.check


@pytest.mark.requirement("MED-06")
def test_info_strings_are_whatsapps() -> None:
    """A voice message has the keys of any audio (protocol facts 4.8)."""
    assert {media_type.name: media_type.value for media_type in MediaType} == {
        "IMAGE": b"WhatsApp Image Keys",
        "VIDEO": b"WhatsApp Video Keys",
        "AUDIO": b"WhatsApp Audio Keys",
        "DOCUMENT": b"WhatsApp Document Keys",
    }
    assert MediaType["PTT"] is MediaType.AUDIO


@pytest.mark.requirement("MED-06")
@pytest.mark.parametrize("media_type", MediaType)
def test_a_blob_is_what_the_rule_says(media_type: MediaType) -> None:
    """IV, cipher key and MAC key from HKDF-112; AES-256-CBC with PKCS #7; ten bytes of HMAC over IV and ciphertext."""
    okm = expand_by_hand(media_type.value)
    iv, cipher_key, mac_key = okm[:16], okm[16:48], okm[48:80]
    keys = MediaKeys.expand(KEY, media_type)
    assert (keys.iv, keys.cipher_key, keys.mac_key) == (iv, cipher_key, mac_key)
    encryptor = Cipher(AES256(cipher_key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(PLAINTEXT + b"\x10" * 16) + encryptor.finalize()
    blob, described = encrypted(media_type=media_type)
    assert blob == ciphertext + hmac.digest(mac_key, iv + ciphertext, "sha256")[:10]
    assert described == EncryptedMedia(
        hashlib.sha256(PLAINTEXT).digest(), len(PLAINTEXT), hashlib.sha256(blob).digest()
    )
    assert described.ciphertext_length == len(blob)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_files_of_every_length_come_back(length: int) -> None:
    """Around blocks and chunks, and from where the source stands."""
    plaintext = (b"0123456789abcdef!" * (length // 17 + 1))[:length]
    blob, described = encrypted(plaintext)
    assert len(blob) == described.ciphertext_length
    assert decrypted(blob, described) == plaintext
    source = io.BytesIO(b"before" + blob)
    source.seek(6)
    target = io.BytesIO()
    decrypt_file(source, target, KEY, MediaType.IMAGE, described)
    assert target.getvalue() == plaintext


class Recorder(io.BytesIO):
    """A file that remembers the largest piece asked of it or given to it."""

    largest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None and size >= 0, "a read without a bound"
        self.largest = max(self.largest, size)
        return super().read(size)

    def write(self, piece: bytes, /) -> int:  # type: ignore[override]
        self.largest = max(self.largest, len(piece))
        return super().write(piece)


def test_no_file_is_ever_held_whole() -> None:
    """Pieces are of 1 MiB at most."""
    source, blob, back = Recorder(bytes(5 * CHUNK_BYTES)), Recorder(), Recorder()
    described = encrypt_file(source, blob, KEY, MediaType.VIDEO)
    blob.seek(0)
    decrypt_file(blob, back, KEY, MediaType.VIDEO, described)
    assert back.getvalue() == bytes(5 * CHUNK_BYTES)
    assert max(source.largest, blob.largest, back.largest) <= CHUNK_BYTES + 16


def test_every_flipped_byte_of_a_blob_is_found_before_any_plaintext() -> None:
    """By the hash when the sender's description is right, by the MAC when that was forged along."""
    blob, described = encrypted()
    for at in range(len(blob)):
        altered = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        assert failed_check(altered, described) is MediaCheck.CIPHERTEXT_SHA256
        forged = replace(described, ciphertext_sha256=hashlib.sha256(altered).digest())
        assert failed_check(altered, forged) is MediaCheck.MAC


@pytest.mark.parametrize("blob_of", [lambda blob: blob[:-1], lambda blob: blob + b"\0", lambda _blob: b""])
def test_a_blob_of_another_length_is_refused(blob_of: Callable[[bytes], bytes]) -> None:
    """Cut short, too long, or not there."""
    blob, described = encrypted()
    assert failed_check(blob_of(blob), described) is MediaCheck.CIPHERTEXT_LENGTH


def test_the_keys_of_another_media_type_do_not_open_a_blob() -> None:
    """The info string separates them."""
    blob, described = encrypted()
    assert failed_check(blob, described, MediaType.VIDEO) is MediaCheck.MAC


def test_a_wrong_description_of_the_plaintext_is_found() -> None:
    """The sender itself lied about the plaintext, or does not pad as it must."""
    blob, described = encrypted()
    assert failed_check(blob, replace(described, plaintext_sha256=bytes(32))) is MediaCheck.PLAINTEXT_SHA256
    assert failed_check(blob, replace(described, plaintext_length=33)) is MediaCheck.PLAINTEXT_LENGTH
    keys = MediaKeys.expand(KEY, MediaType.IMAGE)
    encryptor = keys.cipher.encryptor()
    ciphertext = encryptor.update(bytes(48)) + encryptor.finalize()
    mac = keys.new_mac()
    mac.update(ciphertext)
    unpadded = ciphertext + mac.digest()[:MAC_BYTES]
    forged = replace(described, ciphertext_sha256=hashlib.sha256(unpadded).digest())
    assert failed_check(unpadded, forged) is MediaCheck.PADDING


def test_a_media_key_of_another_length_is_refused() -> None:
    """In both directions."""
    _, described = encrypted()
    with pytest.raises(ValueError, match="media key"):
        encrypt_file(io.BytesIO(), io.BytesIO(), bytes(31), MediaType.IMAGE)
    with pytest.raises(ValueError, match="media key"):
        decrypt_file(io.BytesIO(), io.BytesIO(), bytes(33), MediaType.IMAGE, described)
