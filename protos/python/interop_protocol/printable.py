"""Text from outside as a terminal may show it: what commands it, or changes how the rest is read, is escaped.

Whoever prints a name, an id, an address or a message that somebody else chose prints it through `printable`, and an
object as JSON through `json_line`; likewise whoever writes a file that people read. Otherwise it could colour, move,
hide and forge lines.
"""

import json
import unicodedata
from typing import Any, TextIO

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control characters, those that change the direction of writing or are not seen, and line ends."""
_JOINERS = frozenset("\u200c\u200d")
"""Needed by scripts and by emoji."""


def is_printable(text: str) -> bool:
    """Says whether a text can be shown as it is: it has nothing that `printable` escapes."""
    return text.isprintable() or all(map(_is_printable, text))


def printable(text: str) -> str:
    r"""Returns a text with all escaped, as `\x1b` or `\u202e`, that a terminal might obey or that ends a line."""
    if text.isprintable():
        return text
    return "".join(character if _is_printable(character) else _escaped(character) for character in text)


def printable_lines(text: str) -> str:
    """Returns a text of several lines with each as `printable` returns it, and blanks for tabs."""
    return "\n".join(printable(line.expandtabs()) for line in text.replace("\r\n", "\n").split("\n"))


def json_text(value: Any, indent: int | None = None) -> str:
    """Returns a value as JSON in printable ASCII, on many lines with an indent; it reads back as what it was."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def json_line(value: Any) -> str:
    """Returns a value as one line of JSON, as `json_text`."""
    return json_text(value)


class PrintableLog:
    """A stream for log records, one in each write: what they quote cannot command a terminal or forge a record.

    Args:
        stream: Where they go. Further lines of a record, such as those of a trace, are indented.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, record: str) -> None:
        """Writes a record."""
        body = record.removesuffix("\n")
        self._stream.write("\n    ".join(map(printable, body.split("\n"))) + record[len(body) :])

    def flush(self) -> None:
        """Flushes the stream."""
        self._stream.flush()


def _is_printable(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) not in _ESCAPED_CATEGORIES


def _escaped(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else f"\\x{ord(character):02x}"
    )
