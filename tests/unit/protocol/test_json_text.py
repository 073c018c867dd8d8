"""JSON from somebody else: what it says, or one kind of error."""

import pytest

from interop_protocol.json_text import read_json, read_sent_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":[1,2.5,null,true,"\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b"-0.5e3", -500.0),
        (b"\xef\xbb\xbf1", 1),
        ("1e308", 1e308),
    ],
)
def test_what_is_json_is_read(text: str | bytes, value: object) -> None:
    """As text and as bytes."""
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "nonsense", "NaN", "[Infinity]", "-Infinity", "1e999", '{"a":-1e400}', "9" * 5_000),
        *(b"\xff", "{}".encode("utf-16"), b'"\xed\xa0\x80"'),
        *("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_is_none_is_a_value_error(text: str | bytes) -> None:
    """However deep, however long a number, and where the standard library would make one without an end of it."""
    with pytest.raises(ValueError):
        read_json(text)


@pytest.mark.parametrize("text", ['"\\ud800"', '{"\\uDC00":1}', '[{"a":["\\udc00\\ud800"]}]', "{", "NaN"])
def test_half_a_surrogate_pair_is_not_sent(text: str) -> None:
    """It is JSON, but no text that anything could store; a whole pair is a character."""
    with pytest.raises(ValueError):
        read_sent_json(text.encode())
    assert read_sent_json(b'["\\ud83d\\ude00", "\\\\ud800"]') == ["\N{GRINNING FACE}", "\\ud800"]
