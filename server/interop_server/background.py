"""What is said of a task of which nobody waits for the end; knows no task."""

import asyncio
import logging

from interop_server.core.errors import Refusal


def log_end(log: logging.Logger, what: str, task: "asyncio.Future[None]") -> None:
    """Logs how a task ended, unless it ended well or was cancelled.

    A refusal, such as that of a database that is away, is a sentence: health says it, too. All else is a fault of the
    server's, and logged as an error with its stack trace.

    Args:
        log: Where.
        what: What has gone wrong then, for people.
        task: It; done.
    """
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, Refusal):
        log.info("%s: %s", what, error)
    else:
        log.error(what, exc_info=error)
