"""`interopsim up --log-format json`: each line of the log is an object, whatever is logged."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_protocol.times import parse_time
from tests.e2e.program import ANY_PORTS, running

EVERY_KIND = """
import logging, sys
from interop_server.log import log_to
log_to(sys.stderr, "INFO", as_json=True)
log = logging.getLogger("x")
log.warning("%s", 'a "line" end\\n, an escape \\x1b[2J, Zo\\xeb')
log.info("again")
log.info("again")
try:
    raise ValueError("wrong")
except ValueError:
    log.exception("failed", extra={"request_id": "r-1"})
"""


async def test_a_refusal_is_a_line_with_its_request_id(tmp_path: Path) -> None:
    """The one that the client was told; every line has time, level, logger and message."""
    async with running(tmp_path, "up", *ANY_PORTS, "--seed", "1", "--log-format", "json") as program:
        ready = await program.ready_line()
        async with AdminClient(ready["admin"]) as admin:
            with pytest.raises(ServerRefusal) as refused:
                await admin.put_whatsapp_user("not a number", b"")
        program.signal(signal.SIGTERM)
        ended = await program.end()
    assert ended.code == 0
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) and parse_time(line["time"]) for line in lines)
    assert [line["logger"] for line in lines if line["level"] == "warning"] == ["interop_server.app"]  # of the seed
    [refusal] = [line for line in lines if "request_id" in line]
    assert refusal["request_id"] == refused.value.request_id
    assert refusal["level"] == "info" and refused.value.reason in refusal["message"]


async def test_everything_that_is_logged_stays_in_its_line(tmp_path: Path) -> None:
    """Line ends, escapes, letters beyond ASCII, repetitions and stack traces."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", EVERY_KIND, stderr=asyncio.subprocess.PIPE)
    _, stderr = await process.communicate()
    lines = [json.loads(line) for line in stderr.decode("ascii").splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("warning", 'a "line" end\n, an escape \x1b[2J, Zoë'),
        ("info", "again"),
        ("info", "the same 1 times more"),
        ("error", "failed"),
    ]
    assert lines[-1]["request_id"] == "r-1" and lines[-1]["exception"].endswith("ValueError: wrong")
    assert not any("exception" in line for line in lines[:-1])
