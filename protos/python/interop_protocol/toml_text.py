"""TOML that somebody else wrote, read in a time that goes by its length alone."""

import re
import tomllib
from typing import Any

MAX_DOTS = 16
"""Most dots in a key; policy. The time that the parser takes goes by the square of them."""

_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_PART = rf"(?:[A-Za-z0-9_-]+|{_STRING})"
# Texts and comments, which may have any dots, are passed over as a whole, and no part is begun in its middle.
_PASSED = (r'"""(?:[^\\]|\\.)*?"{3,5}', r"'''.*?'{3,5}", _STRING, r"#[^\n]*")
_LONG_KEY = rf"(?<![A-Za-z0-9_-])(?:{_PART}[ \t]*\.[ \t]*){{{MAX_DOTS + 1}}}"
_TOKEN = re.compile("|".join((f"(?P<long>{_LONG_KEY})", *_PASSED)), re.DOTALL)


def read_toml(text: str) -> dict[str, Any]:
    """Returns the tables of a text.

    Raises:
        ValueError: It is no TOML, a key has too many dots, or a number too many digits.
        RecursionError: It is nested too deep.
    """
    for token in _TOKEN.finditer(text):
        if token["long"]:
            line = text.count("\n", 0, token.start()) + 1
            raise ValueError(f"a key with more than {MAX_DOTS} dots is not read (at line {line})")
    return tomllib.loads(text)
