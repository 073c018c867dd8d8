"""A reporting token commits to who wrote what to whom; nothing of it can be changed afterwards."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop_protocol.franking import is_reporting_token, reporting_token

pytestmark = pytest.mark.requirement("ABU-04")

SECRET = bytes(range(32))
FACTS: dict[str, Any] = {
    "sender_jid": "12-34@interop",
    "recipient_jid": "491511234567@s.whatsapp.net",
    "message_id": "m1",
    "plaintext": b"Hi",
}
CHANGES: dict[str, Any] = {
    "sender_jid": "12-35@interop",
    "recipient_jid": "491511234568@s.whatsapp.net",
    "message_id": "m2",
    "plaintext": b"Ho",
}


def test_the_token_is_the_documented_hmac() -> None:
    """Each part with its length in front, the label first, 16 bytes of HMAC-SHA256."""
    covered = b""
    for part in (b"interopsim reporting token 1", b"12-34@interop", b"491511234567@s.whatsapp.net", b"m1", b"Hi"):
        covered += len(part).to_bytes(4, "big") + part
    assert reporting_token(SECRET, **FACTS) == hmac.new(SECRET, covered, hashlib.sha256).digest()[:16]


@pytest.mark.parametrize("changed", FACTS)
def test_it_covers_everything(changed: str) -> None:
    token = reporting_token(SECRET, **FACTS)
    assert is_reporting_token(token, SECRET, **FACTS)
    assert not is_reporting_token(token, SECRET, **FACTS | {changed: CHANGES[changed]})


def test_another_secret_or_token_proves_nothing() -> None:
    """Nor does one of the wrong length, though an HMAC would take it."""
    token = reporting_token(SECRET, **FACTS)
    for secret in (bytes(32), SECRET[:31], SECRET + b"\0", b""):
        assert not is_reporting_token(token, secret, **FACTS)
    for wrong in (b"", token[:15], token + b"\0", bytes(16)):
        assert not is_reporting_token(wrong, SECRET, **FACTS)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_no_part_can_be_moved_into_its_neighbour(first: str, second: str, third: str) -> None:
    """The same bytes, divided otherwise, are another message."""
    token = reporting_token(SECRET, first, second, third, b"")
    moved = reporting_token(SECRET, first + second[:1], second[1:], third, b"")
    assert (token == moved) == (second == "")
