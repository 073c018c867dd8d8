"""Names of blobs, and of the parts of an upload; knows no place where they lie."""

import re

_NAME = re.compile(r"[0-9a-f]{64}")
_TOUCHED = re.compile(r"t(\d+)", re.ASCII)


def touched(now_ms: int) -> str:
    """Returns the name of an object that says that an upload was written at a time."""
    return f"t{now_ms}"


def touched_ms(name: str) -> int:
    """Returns the time that the name of such an object says; -1 where it is none."""
    found = _TOUCHED.fullmatch(name)
    return int(found[1]) if found else -1


def is_name(text: str) -> bool:
    """Says whether a text is a blob's name: 64 hexadecimal digits."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """Returns a blob's name.

    Raises:
        ValueError: It is not 64 hexadecimal digits.
    """
    if not is_name(name):
        raise ValueError("a blob's name is 64 hexadecimal digits")
    return name
