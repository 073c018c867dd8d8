"""Base64url, in which the protocol writes binary values as text; knows nothing of what the values mean."""

import base64

from interop_protocol.sizes import SHA256_BYTES


def encode_base64url(value: bytes) -> str:
    """Returns the base64url text of a value, without padding (ENL-09)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode_base64url(text: str, expected_length: int) -> bytes:
    """Returns the value of a base64url text of known length (ENL-09).

    Padding may be absent or complete. Each value has exactly one unpadded text: unused bits must be zero.

    Args:
        text: Base64url.
        expected_length: Length of the value in bytes.

    Raises:
        ValueError: The text is not base64url, or its value does not have that length. The message does not repeat the
            text.
    """
    digits = (expected_length * 4 + 2) // 3
    padding = "=" * (-digits % 4)
    # Checked before decoding, so that the expected length bounds the work.
    if len(text) == digits:
        text += padding
    if len(text) != digits + len(padding):
        raise ValueError(f"not the base64url text of {expected_length} bytes")
    try:
        value = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError as error:
        raise ValueError("not base64url") from error
    # Encoding again refuses what the decoder accepts: the standard alphabet, unused bits, padding in the wrong place.
    if encode_base64url(value) + padding != text:
        raise ValueError("not canonical base64url")
    return value


def media_token(ciphertext_sha256: bytes) -> str:
    """Returns the upload token of a ciphertext: base64url of its digest, without padding (MED-05).

    Args:
        ciphertext_sha256: SHA-256 of ciphertext and MAC, 32 bytes.

    Raises:
        ValueError: The digest does not have 32 bytes.
    """
    if len(ciphertext_sha256) != SHA256_BYTES:
        raise ValueError(f"a SHA-256 digest has {SHA256_BYTES} bytes, not {len(ciphertext_sha256)}")
    return encode_base64url(ciphertext_sha256)
