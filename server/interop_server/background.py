"""What is said of work of which nobody waits for the end; knows no work."""

import asyncio
import logging

from interop_server.core.errors import Refusal


def log_end(log: logging.Logger, what: str, task: "asyncio.Future[None]") -> None:
    """Logs how a task ended, unless it ended well or was cancelled: see `log_failure`."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log_failure(log, what, error)


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """Logs that something went wrong.

    A refusal, such as that of a database that is away, is a sentence: health says it, too. All else is a fault of the
    server's, and logged as an error with its stack trace.

    Args:
        log: Where.
        what: What has gone wrong, for people.
        error: Why.
    """
    if isinstance(error, Refusal):
        log.info("%s: %s", what, error)
    else:
        log.error(what, exc_info=error)
