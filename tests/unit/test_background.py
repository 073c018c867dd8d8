"""What is said of work of which nobody waits for the end."""

import asyncio
import logging

import pytest

from interop_server.background import log_end
from interop_server.core.errors import Reason, Refusal

LOG = logging.getLogger("here")


async def ended(error: BaseException | None) -> "asyncio.Task[None]":
    """A task that has ended so."""

    async def work() -> None:
        if error is not None:
            raise error

    task = asyncio.create_task(work())
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("error", [None, asyncio.CancelledError()])
async def test_nothing_is_said_of_an_end_that_was_meant(
    caplog: pytest.LogCaptureFixture, error: BaseException | None
) -> None:
    """Whatever is logged."""
    with caplog.at_level(logging.DEBUG, "here"):
        log_end(LOG, "it failed", await ended(error))
    assert caplog.records == []


@pytest.mark.requirement("SIM-06")
async def test_a_refusal_is_a_sentence_and_all_else_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason and no stack trace, at a level that alarms nobody; or with one, as an error."""
    refusal, fault = Refusal(Reason.STORAGE_UNAVAILABLE), ZeroDivisionError("why")
    with caplog.at_level(logging.INFO, "here"):
        for error in (refusal, fault):
            log_end(LOG, "it failed", await ended(error))
    said = [
        (record.levelname, record.getMessage(), record.exc_info and record.exc_info[1]) for record in caplog.records
    ]
    assert said == [("INFO", f"it failed: {refusal}", None), ("ERROR", "it failed", fault)]
