"""What is logged of a failure: where it came from, unless it is one of those that are expected."""

import io
import json
import logging
import os

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.log import JsonFormatter, OnceHandler


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


def test_a_reader_who_does_not_read_stops_nobody() -> None:
    """What it does not take is lost and counted; when it reads again it is told so, and gets whole lines."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as taken, os.fdopen(writer, "w") as stream:
        handler = OnceHandler(stream)
        handler.setFormatter(logging.Formatter("%(message)s"))

        def say(what: str) -> None:
            handler.emit(logging.makeLogRecord({"msg": what}))

        say("first")
        for number in range(2_000):
            say(f"{number} " + "x" * 100)
        say("long " + "y" * 100_000)
        os.set_blocking(reader, False)
        lines = taken.read().decode().splitlines()
        assert lines[0] == "first" and lines[1].startswith("0 x") and len(lines) > 100
        say("last")
        lost = 2_002 - len(lines)
        assert taken.read().decode() == f"{lost} records before this one were lost: nobody took them in time\nlast\n"


def test_a_record_that_was_cut_off_ends_in_its_line() -> None:
    """It is one of those that were lost."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as taken, os.fdopen(writer, "w") as stream:
        handler = OnceHandler(stream)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.emit(logging.makeLogRecord({"msg": "y" * 200_000}))
        os.set_blocking(reader, False)
        assert set(taken.read()) == {ord("y")}
        handler.emit(logging.makeLogRecord({"msg": "last"}))
        assert taken.read() == b"\n1 records before this one were lost: nobody took them in time\nlast\n"


def test_what_was_lost_is_told_in_the_form_of_the_log() -> None:
    """Whoever reads lines of JSON gets no other."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as taken, os.fdopen(writer, "w") as stream:
        handler = OnceHandler(stream)
        handler.setFormatter(JsonFormatter())
        for number in range(2_000):
            handler.emit(logging.makeLogRecord({"msg": f"{number} " + "x" * 100, "levelname": "INFO"}))
        os.set_blocking(reader, False)
        taken.read()
        handler.emit(logging.makeLogRecord({"msg": "last", "levelname": "INFO"}))
        told, last = (json.loads(line) for line in taken.read().splitlines())
        assert told["level"] == "warning" and "were lost" in told["message"] and last["message"] == "last"
