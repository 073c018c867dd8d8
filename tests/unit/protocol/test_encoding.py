"""Base64url as in Meta's enlistment sample, strict about everything but padding (ENL-09)."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.encoding import decode_base64url, encode_base64url, media_token


@pytest.mark.requirement("ENL-09")
@pytest.mark.parametrize(
    ("text", "value"), [("x6g6tA", "c7a83ab4"), ("_tdJ", "fed749"), ("BQ", "05")], ids=["e_regid", "e_skey_id", "type"]
)
def test_metas_sample_values_are_read(text: str, value: str):
    """Registration id, signed prekey id and key type, as published."""
    assert decode_base64url(text, len(value) // 2).hex() == value
    assert encode_base64url(bytes.fromhex(value)) == text


@pytest.mark.requirement("ENL-09")
@given(st.binary(max_size=100))
def test_a_value_is_read_with_and_without_padding(value: bytes):
    """Both texts mean the same."""
    assert decode_base64url(encode_base64url(value), len(value)) == value
    assert decode_base64url(base64.urlsafe_b64encode(value).decode(), len(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x6g6t",
        "x6g6tAA",
        "x6g6tA=",
        "x6g6tA===",
        "=x6g6tA=",
        "x6g6t===",
        "x6g6tB",
        "x6g6tA\n",
        "x6+6tA",
        "x6 6tA==",
        "x6g\u00e4tA",
        "\ud800" * 6,
    ],
)
def test_what_is_not_the_text_of_four_bytes_is_a_value_error(text: str):
    """Wrong length, half a padding, padding elsewhere, unused bits, another alphabet, no ASCII at all."""
    with pytest.raises(ValueError, match="base64url"):
        decode_base64url(text, 4)


@given(st.text(max_size=16))
def test_each_value_has_one_unpadded_text(text: str):
    """Any text is refused, or is the text of its value."""
    try:
        value = decode_base64url(text, 8)
    except ValueError:
        return
    assert encode_base64url(value) == text.rstrip("=")


def test_a_refusal_does_not_repeat_the_text():
    """It may be a key."""
    with pytest.raises(ValueError) as caught:
        decode_base64url("secret", 32)
    assert "secret" not in str(caught.value)


@pytest.mark.requirement("MED-05")
def test_a_media_token_is_the_digest_in_base64url():
    """MED-05: 43 characters, no padding, safe in a path."""
    digest = hashlib.sha256(b"abc").digest()
    assert media_token(digest) == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
    assert decode_base64url(media_token(digest), 32) == digest


@pytest.mark.parametrize("length", [0, 20, 33])
def test_a_media_token_is_of_a_sha_256_digest(length: int):
    """Nothing else is 32 bytes."""
    with pytest.raises(ValueError, match=f"not {length}"):
        media_token(bytes(length))
