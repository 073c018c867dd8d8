"""What is logged of a failure: where it came from, unless it is one of those that are expected."""

import io
import logging

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.log import OnceHandler


@pytest.mark.parametrize(
    ("error", "is_traced"), [(Refusal(Reason.STORAGE_UNAVAILABLE), False), (ValueError("no such thing"), True)]
)
def test_a_refusal_has_no_trace(error: Exception, is_traced: bool) -> None:
    """A database that is away makes many things fail; what cannot be used is said once, by itself."""
    stream = io.StringIO()
    record = logging.LogRecord("push", logging.ERROR, "", 0, "it failed", None, (type(error), error, None))
    OnceHandler(stream).emit(record)
    assert stream.getvalue().startswith("it failed\n")
    assert (type(error).__name__ in stream.getvalue()) == is_traced
