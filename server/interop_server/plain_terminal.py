"""Output for terminals that cannot show all characters; knows no command.

A codec rather than an error handler: click takes streams in ASCII for mistaken, and writes UTF-8 to them.
"""

import codecs
from typing import TextIO

_NAME = "interopsim_plain"
_PLAIN = {"·": "-", "…": "...", "→": "->", "←": "<-", "⇒": "=>", "—": "-"}
"""What stands for a character where there is only ASCII. What is not here is escaped."""


class _Encoder(codecs.IncrementalEncoder):
    def encode(self, input: str, final: bool = False) -> bytes:
        return _encode(input)[0]


def show_what_can_be_shown(stream: TextIO) -> None:
    """Has a stream replace the characters that its terminal lacks, rather than fail at them."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:
        return  # none of the process's own
    if codecs.lookup(stream.encoding).name == "ascii":
        codecs.register(_find)
        reconfigure(encoding=_NAME)
    else:
        reconfigure(errors="backslashreplace")


def _find(name: str) -> codecs.CodecInfo | None:
    if name != _NAME:
        return None
    return codecs.CodecInfo(_encode, codecs.lookup("ascii").decode, incrementalencoder=_Encoder, name=_NAME)


def _encode(text: str, _errors: str = "strict") -> tuple[bytes, int]:
    return "".join(each if each.isascii() else _plain(each) for each in text).encode("ascii"), len(text)


def _plain(character: str) -> str:
    return _PLAIN.get(character) or ascii(character)[1:-1]
