"""Reads files that somebody has named, as far as they can be what they should be: some have no end."""

import errno
from pathlib import Path


def read_text(path: Path, most: int) -> str:
    """Returns what is in a file.

    Args:
        path: The file.
        most: Its longest length, in bytes.

    Raises:
        OSError: It cannot be read, or is longer.
        UnicodeDecodeError: It is no text.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return content.decode()
