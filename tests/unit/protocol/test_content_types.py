"""The Content-Type of a request: what it says, in little time, whatever it is."""

import pytest

from interop_protocol.content_types import MAX_CHARACTERS, read_content_type

JSON = "application/json"


@pytest.mark.parametrize(
    ("header", "name", "charset"),
    [
        (JSON, JSON, ""),
        (" Application/JSON ;a=b; Charset = UTF-8 ", JSON, "utf-8"),
        (JSON + '; charset="us-ascii"', JSON, "us-ascii"),
        (JSON + ";charset=utf-8;charset=rot13", JSON, "utf-8"),
        (JSON + ";charset", JSON, ""),
        ("", "", ""),
        (";;;", "", ""),
    ],
)
def test_a_type_and_a_charset_are_read(header: str, name: str, charset: str) -> None:
    """However they are written."""
    assert read_content_type(header) == (name, charset)


@pytest.mark.parametrize("charset", ["", ";charset=utf-8", ";charset=US-ASCII", ";charset=utf-16", ";charset=rot13"])
def test_only_what_is_utf_8_is_said_to_be(charset: str) -> None:
    """US-ASCII is a part of it, and it is what text is of which nothing is said."""
    assert read_content_type(JSON + charset).is_utf_8 == ("16" not in charset and "13" not in charset)


@pytest.mark.parametrize("rest", [";" * 8_000, "(" * 8_000, "; a*" + "1" * 5_000 + "=x", ";a=" + "b" * MAX_CHARACTERS])
def test_a_long_header_is_no_type_that_is_known(rest: str) -> None:
    """Nobody needs one, and parsers take long over it or fail."""
    assert read_content_type(JSON + rest) == ("", "")
    assert read_content_type(JSON.ljust(MAX_CHARACTERS)).name == JSON
