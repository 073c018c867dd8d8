"""Defects that a server's false files find out."""

import hmac
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from interop_client.media import crypto, download
from interop_client.media.crypto import MediaCheck, MediaTampered
from interop_wrong.register import wrong_client


@wrong_client(
    "MED-01.dishonest-bits",
    also=("MED-06.other-bytes-are-not-shown", "MED-06.other-content-is-not-shown", "MED-06.wrong-mac-is-not-shown"),
)
def compares_no_digest_of_a_file() -> None:
    """Decrypts a file, and compares neither its MAC nor its digests."""
    vars(crypto).update(hmac=SimpleNamespace(new=hmac.new, HMAC=hmac.HMAC, compare_digest=lambda *_: True))


@wrong_client("MED-04.dishonest-status")
def takes_nothing_for_a_file() -> None:
    """Shows an empty file when the answer of the server has no body."""
    decrypt = download._decrypt

    def lenient(blob_path: Path, plaintext_path: Path, reference: Any) -> None:
        if blob_path.stat().st_size:
            decrypt(blob_path, plaintext_path, reference)
        else:
            plaintext_path.touch()

    download._decrypt = lenient


@wrong_client("MED-01.dishonest-length", also=("MED-04.dishonest-status", "MED-06.other-length-is-not-shown"))
def shows_what_there_is_of_a_file() -> None:
    """Decrypts the whole blocks of a file whose end is missing, and shows them."""
    decrypt = download._decrypt

    def lenient(blob_path: Path, plaintext_path: Path, reference: Any) -> None:
        try:
            decrypt(blob_path, plaintext_path, reference)
        except MediaTampered as error:
            blob = blob_path.read_bytes()
            if error.check is not MediaCheck.CIPHERTEXT_LENGTH or len(blob) >= reference.encrypted.ciphertext_length:
                raise
            keys = crypto.MediaKeys.expand(reference.media_key, reference.media_type)
            plaintext_path.write_bytes(keys.cipher.decryptor().update(blob[: len(blob) // 16 * 16]))

    download._decrypt = lenient


@wrong_client("MED-01.dishonest-swap")
def trusts_what_is_as_long() -> None:
    """Takes an image that is as long as the file should be, and does not decrypt, for one that was not encrypted."""
    decrypt = download._decrypt

    def lenient(blob_path: Path, plaintext_path: Path, reference: Any) -> None:
        try:
            decrypt(blob_path, plaintext_path, reference)
        except MediaTampered:
            blob = blob_path.read_bytes()
            if len(blob) != reference.encrypted.ciphertext_length or not blob.startswith(b"GIF"):
                raise
            plaintext_path.write_bytes(blob[: reference.encrypted.plaintext_length])

    download._decrypt = lenient
