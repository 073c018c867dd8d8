"""Text of JSON that comes from somebody else: it is read, or it is a ValueError, whatever it is."""

import json
from math import isfinite
from typing import Any


def read_json(text: str | bytes | bytearray) -> Any:
    """Returns what a text of JSON says.

    Raises:
        ValueError: It is no JSON in UTF-8, is nested too deeply, or has a number that is none or has no end.
    """
    try:
        # Bytes are decoded here: `json` alone guesses among the other encodings of Unicode.
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def read_sent_json(body: bytes) -> Any:
    """Returns what the JSON in the body of a request says.

    Raises:
        ValueError: It is none, as for `read_json`, or has half a surrogate pair, which is JSON but no text: nothing can
            store it or send it on (RFC 8259, section 8.2).
    """
    value = read_json(body)
    if b"\\u" in body:  # there is no other way to write one in UTF-8
        json.dumps(value, ensure_ascii=False).encode()
    return value


def whole_number(value: Any) -> int:
    """Returns a value of JSON that is a whole number, and not negative.

    Raises:
        TypeError: It is none.
    """
    if type(value) is not int or value < 0:  # a bool is an int, too
        raise TypeError("not a whole number")
    return value


def plain_text(value: Any) -> str:
    """Returns a value of JSON that is a text.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _finite(text: str) -> float:
    """Reads a number; `json` alone takes NaN and Infinity, and makes an infinity of 1e999."""
    number = float(text)
    if not isfinite(number):
        raise ValueError("the JSON has a number that is none or has no end")
    return number
