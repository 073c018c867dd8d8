"""How many files, sockets among them, this process may have open; knows no server."""

import asyncio
import errno
import logging
import resource
from typing import Any

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger(__name__)


def raise_file_limit() -> None:
    """Lets this process open as many files as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            _log.warning("no more than %d files may be open: %s", soft, error)


def most_files() -> int:
    """Returns how many files may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


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
