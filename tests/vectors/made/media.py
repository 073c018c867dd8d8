"""Media: files and their blobs, blobs that are not what their sender described, and parts of a blob."""

import hashlib
import io
from dataclasses import replace

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interop_client.media.crypto import (
    MAC_BYTES,
    EncryptedMedia,
    MediaKeys,
    MediaTampered,
    MediaType,
    decrypt_file,
    encrypt_file,
)
from interop_protocol.encoding import media_token
from interop_server.core.errors import Refusal
from interop_server.core.media.media import check_range
from tests.vectors.documents import Document, Vector
from tests.vectors.fields import big, choice, number, octets, optional, text
from tests.vectors.fixed import flip, secret, seq

TYPES = {
    "image": MediaType.IMAGE,
    "video": MediaType.VIDEO,
    "audio": MediaType.AUDIO,
    "voice": MediaType.PTT,
    "document": MediaType.DOCUMENT,
}
CHECKS = ("CIPHERTEXT_LENGTH", "CIPHERTEXT_SHA256", "MAC", "PADDING", "PLAINTEXT_LENGTH", "PLAINTEXT_SHA256")

_KIND = choice("What the file is; `voice` is an AudioMessage with `ptt`.", *TYPES)
_DESCRIBED = {
    "media_key": octets("32 bytes.", 32),
    "file_sha256": octets("Of the file.", 32),
    "file_length": big("Of the file, in bytes."),
    "file_enc_sha256": octets("Of the blob, MAC included.", 32),
}
_FIELDS = {
    "kind": _KIND,
    "info": text("HKDF's info."),
    **_DESCRIBED,
    "iv": octets("16 bytes.", 16),
    "cipher_key": octets("AES-256-CBC.", 32),
    "mac_key": octets("HMAC-SHA256.", 32),
    "reference_key": octets("The last 32 of the 112 bytes; not used here.", 32),
    "file": octets("The file itself."),
    "blob": octets("Ciphertext and the first 10 bytes of the MAC."),
    "mac": octets("The whole HMAC over IV and ciphertext.", 32),
    "upload_token": text("UploadStart.upload_token: base64url of file_enc_sha256."),
}
_REFUSED_FIELDS = {
    "kind": _KIND,
    **_DESCRIBED,
    "blob": octets("What was downloaded."),
    "failed_check": choice("The first check that fails; the order is that of this list.", *CHECKS),
}
_RANGE_FIELDS = {
    "blob": octets("What the server keeps."),
    "offset": optional(big("DownloadRequest.offset; null: absent.")),
    "length": optional(big("DownloadRequest.length; null: absent.")),
    "range_header": optional(text("The Range header that asks for the same over HTTP; null: none, or none can.")),
    "reason": optional(choice("Why there is no answer.", "RANGE_INVALID")),
    "http_status": number("Of the answer over HTTP."),
    "content_range": optional(text("The header Content-Range of that answer.")),
    "start_offset": optional(big("DownloadStart.offset.")),
    "total_bytes": big("DownloadStart.total_bytes."),
    "bytes": optional(octets("What comes, in one chunk or several.")),
}


def blobs() -> Document:
    """Returns the file of files and their blobs."""
    picture = b"a picture worth a thousand words"
    given = [
        ("spec-image", "The one of SPEC.md. 32 bytes of file: a whole block of padding.", "image", seq(0), picture),
        ("image", "A file of less than a block.", "image", secret("media image"), b"a dot"),
        ("video", "As many bytes as one block less one.", "video", secret("media video"), b"fifteen bytes!!"),
        ("audio", "Exactly one block.", "audio", secret("media audio"), b"sixteen bytes!!!"),
        ("voice", "A voice message has the keys of any audio: compare with the one before.", "voice",
         secret("media audio"), b"sixteen bytes!!!"),
        ("document", "Several blocks.", "document", secret("media document"), bytes(range(100))),
        ("empty-document", "A file of no bytes still has a block of padding.", "document", secret("media empty"), b""),
    ]  # fmt: skip
    return Document(
        "media",
        "Media encryption. As a sender: expand the media key, encrypt the file, and compare the blob and all that "
        "describes it. As a receiver: decrypt the blob, and compare the file.",
        ("MED-01", "MED-05", "MED-06"),
        _FIELDS,
        [_blob(*each) for each in given],
    )


def _blob(name: str, comment: str, kind: str, media_key: bytes, file: bytes) -> Vector:
    blob, keys = io.BytesIO(), MediaKeys.expand(media_key, TYPES[kind])
    described = encrypt_file(io.BytesIO(file), blob, media_key, TYPES[kind])
    mac = keys.new_mac()
    mac.update(blob.getvalue()[:-MAC_BYTES])
    return {
        "name": name,
        "comment": comment,
        "kind": kind,
        "info": TYPES[kind].value.decode(),
        **_shown(media_key, described),
        "iv": keys.iv.hex(),
        "cipher_key": keys.cipher_key.hex(),
        "mac_key": keys.mac_key.hex(),
        "reference_key": expanded(media_key, TYPES[kind].value)[80:].hex(),
        "file": file.hex(),
        "blob": blob.getvalue().hex(),
        "mac": mac.hexdigest(),
        "upload_token": media_token(described.ciphertext_sha256),
    }


def expanded(media_key: bytes, info: bytes) -> bytes:
    """Returns all 112 bytes that a media key expands to."""
    return HKDF(algorithm=SHA256(), length=112, salt=None, info=info).derive(media_key)


def _shown(media_key: bytes, described: EncryptedMedia) -> Vector:
    return {
        "media_key": media_key.hex(),
        "file_sha256": described.plaintext_sha256.hex(),
        "file_length": str(described.plaintext_length),
        "file_enc_sha256": described.ciphertext_sha256.hex(),
    }


def refused() -> Document:
    """Returns the file of blobs that a receiver refuses."""
    key, file = secret("media refused"), b"what was sent, and is more than one block"
    target = io.BytesIO()
    right = encrypt_file(io.BytesIO(file), target, key, MediaType.IMAGE)
    blob = target.getvalue()

    def of(other: bytes) -> EncryptedMedia:
        return replace(right, ciphertext_sha256=hashlib.sha256(other).digest())

    altered, padding = flip(blob, 0), _badly_padded(key)
    given = [
        ("cut", "One byte is missing.", "image", right, blob[:-1]),
        ("longer", "One byte more.", "image", right, blob + b"\0"),
        ("altered", "One bit of the ciphertext is another.", "image", right, altered),
        ("mac-altered", "One bit of the MAC is another.", "image", right, flip(blob)),
        ("altered-and-described", "The sender described what was altered: the MAC still tells.", "image", of(altered),
         altered),
        ("other-kind", "An image as if it were a video: other keys.", "video", right, blob),
        ("bad-padding", "Authentic, but not padded as PKCS #7 says.", "image",
         replace(of(padding), plaintext_length=20), padding),
        ("other-length", "Authentic, and the sender gave another length that fits the blob.", "image",
         replace(right, plaintext_length=len(file) - 1), blob),
        ("other-file-sha256", "Authentic, and the sender described another file.", "image",
         replace(right, plaintext_sha256=hashlib.sha256(b"another file").digest()), blob),
    ]  # fmt: skip
    return Document(
        "media_refusals",
        "Blobs that a receiver refuses, with the first check that fails. Nothing of a file is shown before the first "
        "three checks hold.",
        ("MED-01", "MED-06"),
        _REFUSED_FIELDS,
        [_refused(name, comment, kind, key, expected, blob) for name, comment, kind, expected, blob in given],
    )


def _badly_padded(media_key: bytes) -> bytes:
    keys = MediaKeys.expand(media_key, MediaType.IMAGE)
    encryptor, mac = keys.cipher.encryptor(), keys.new_mac()
    ciphertext = encryptor.update(bytes(32)) + encryptor.finalize()
    mac.update(ciphertext)
    return ciphertext + mac.digest()[:MAC_BYTES]


def _refused(name: str, comment: str, kind: str, key: bytes, expected: EncryptedMedia, blob: bytes) -> Vector:
    return {
        "name": name,
        "comment": comment,
        "kind": kind,
        **_shown(key, expected),
        "blob": blob.hex(),
        "failed_check": failed_check(blob, key, TYPES[kind], expected),
    }


def failed_check(blob: bytes, key: bytes, kind: MediaType, expected: EncryptedMedia) -> str:
    """Returns the first check that a blob fails; empty if it passes all."""
    try:
        decrypt_file(io.BytesIO(blob), io.BytesIO(), key, kind, expected)
    except MediaTampered as error:
        return error.check.name
    return ""


def ranges() -> Document:
    """Returns the file of parts of a blob."""
    given: list[tuple[str, str, int | None, int | None, str | None]] = [
        ("whole", "All of it.", None, None, None),
        ("from-offset", "From a byte on: to go on where a download broke off.", 16, None, "bytes=16-"),
        ("first-block", "The first bytes.", 0, 16, "bytes=0-15"),
        ("one-byte", "One byte in the middle.", 20, 1, "bytes=20-20"),
        ("last-byte", "The last one.", 57, 1, "bytes=57-57"),
        ("suffix", "Over HTTP one can ask for the last bytes: these are the MAC.", 48, 10, "bytes=-10"),
        ("more-than-there-is", "The end is cut to what there is.", 48, 100, "bytes=48-147"),
        ("beyond-the-end", "The first byte behind the blob is no byte of it.", 58, None, "bytes=58-"),
        ("no-bytes", "A range has a byte at least; HTTP has no way to ask for none.", 0, 0, None),
    ]
    return Document(
        "media_ranges",
        "Parts of a blob: what comes for an offset and a length over gRPC, and for the Range header over HTTP. A part "
        "that comes is not verified: the MAC covers the whole.",
        ("MED-04",),
        _RANGE_FIELDS,
        [_range(*each) for each in given],
    )


def _range(name: str, comment: str, offset: int | None, length: int | None, header: str | None) -> Vector:
    blob = secret("media ranges", 58)
    vector: Vector = {
        "name": name,
        "comment": comment,
        "blob": blob.hex(),
        "offset": None if offset is None else str(offset),
        "length": None if length is None else str(length),
        "range_header": header,
    }
    total = {"total_bytes": str(len(blob))}
    try:
        start, count = check_range(len(blob), offset, length)
    except Refusal as refusal:
        answer = {"reason": refusal.reason.name, "http_status": 416, "content_range": f"bytes */{len(blob)}"}
        return vector | answer | {"start_offset": None} | total | {"bytes": None}
    part = None if header is None else f"bytes {start}-{start + count - 1}/{len(blob)}"
    answer = {"reason": None, "http_status": 206 if header else 200, "content_range": part}
    return vector | answer | {"start_offset": str(start)} | total | {"bytes": blob[start : start + count].hex()}
