"""Reads files that somebody has named, as far as they can be what they should be: some have no end, or no writer."""

import errno
import os
import stat
from pathlib import Path


def read_text(path: Path, most: int) -> str:
    """Returns what is in a file.

    Args:
        path: The file.
        most: Its longest length, in bytes.

    Raises:
        OSError: It cannot be read, is longer, or is a pipe or a device.
        UnicodeDecodeError: It is no text.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is longer than {most:,} bytes")
    return content.decode()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
