"""How many files, sockets among them, this process may have open, and reading one that was chosen; knows no server."""

import asyncio
import errno
import logging
import os
import resource
import stat
from enum import Enum
from pathlib import Path
from typing import Any

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_OWN_FILES = 48
"""Files, sockets and pipes beside connections: thirty of a server that has just started; uploads come and go."""
LEAST_FILES = 64
_MOST_BYTES = 16 << 20
"""Of a file that was chosen: more than any right one has; policy."""
_log = logging.getLogger(__name__)


class Part(Enum):
    """How much of the files that may be open, beside those of the server itself, the connections to a port get."""

    GRPC = 0.35
    """Each of the two gRPC servers."""
    HTTP = 0.2
    METRICS = 0.02
    """A few, who come back: whoever collects them."""


def read_chosen(path: Path) -> bytes:
    """Returns what a file holds that somebody has chosen, which could be a pipe that nobody fills, or have no end.

    Raises:
        OSError: It is no regular file, is longer than 16 MiB, or cannot be read.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class FilesTooFew(Exception):
    """So few files may be open that no server could work; the message is a sentence that says what to do."""


def raise_file_limit() -> None:
    """Lets this process open as many files as the system allows it.

    Raises:
        FilesTooFew: They would not do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            _log.warning("no more than %d files may be open: %s", soft, error)
    if (most := most_files()) < LEAST_FILES:
        raise FilesTooFew(f"only {most} files may be open, and a simulator needs {LEAST_FILES}: see `ulimit -n`.")


def most_files() -> int:
    """Returns how many files may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def most_connections(part: Part) -> int:
    """Returns how many connections a port may have: with all of them there, files can still be opened."""
    return max(1, int((most_files() - _OWN_FILES) * part.value))


class SayOnce:
    """An event loop's exception handler that says once that connections cannot be accepted, not at every attempt."""

    def __init__(self) -> None:
        self._is_said = False

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Logs an error that nobody handled."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _OUT_OF_FILES:
            loop.default_exception_handler(context)
        elif not self._is_said:
            self._is_said = True
            detail = "no connection can be accepted: %s, of %d files that may be open; said once"
            _log.error(detail, error.strerror, most_files())
