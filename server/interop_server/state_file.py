"""Leaves word of this process where other commands of the same user look for it; knows no server and no client.

The form is that of `interop_protocol.state_files`.
"""

import errno
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from interop_protocol.state_files import READY_SUFFIX, UNFINISHED_SUFFIX, state_folder

_log = logging.getLogger(__name__)


class NameTaken(Exception):
    """Another simulator that runs has the name; the message is a sentence that says what to do."""


class StateFile:
    """The word that a running process has left. It is held until the process ends, or `remove`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def write(cls, name: str | None, line: str) -> Self | None:
        """Leaves the ready line; returns None when it cannot be left, which is logged and stops nothing.

        Args:
            name: What to call this process; None for its number.
            line: The ready line.

        Raises:
            NameTaken: Another one is called so.
        """
        try:
            folder = state_folder(os.environ, Path.home())
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / f"{name or os.getpid()}{READY_SUFFIX}"
            if _is_held(path):
                raise NameTaken(f"a simulator called {path.stem} is running: choose another --name, or stop that one.")
            descriptor = _left(path, folder / f".{os.getpid()}{UNFINISHED_SUFFIX}", f"{line}\n".encode())
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
            _log.warning("other commands must be told where this simulator is: no word can be left (%s)", error)
            return None
        return cls(path, descriptor)

    def remove(self) -> None:
        """Takes the word back. The lock stays until the process ends, by which others see that it has."""
        with suppress(OSError):
            if self._path.stat().st_ino == os.fstat(self._descriptor).st_ino:
                self._path.unlink()


def _left(path: Path, unfinished: Path, text: bytes) -> int:
    """Writes a file and returns its descriptor, which holds it. It is whole and locked before it has its name."""
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.write(descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        unfinished.rename(path)
    except OSError:
        os.close(descriptor)
        unfinished.unlink(missing_ok=True)
        raise
    return descriptor


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
