"""Drivers that end, hang, flood or speak something else: a verdict about them, and the run goes on."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.conformance.kit import Outcome, conformance

ROGUE = Path(__file__).with_name("rogue_driver.py")
STRANGERS = {
    "cat": "neither a result nor an event",
    "true": "ended with status 0",
    "sh -c 'exit 3'": "ended with status 3",
    "sh -c 'kill -9 $$'": "SIGKILL",
    "sleep 100": "does not answer `describe`",
    "yes": "no DriveResponse",
    "sh -c 'yes >&2 & exec yes'": "no DriveResponse",
    "head -c 100000000 /dev/zero": "neither a result nor an event",
    "sh -c 'setsid sleep 20 & exec true'": "The driver",  # it is gone, and somebody else holds its stdout
}
MISBEHAVIOUR = {
    "dies": "ended with status 7",
    "kills_itself": "SIGKILL",
    "hangs": "no result came in time",
    "closes_stdin": "",
    "prints": "no DriveResponse",
    "floods": "floods",
    "answers_others": "nobody has given",
    "answers_twice": "twice",
    "tells_of_others": "nobody has started",
    "closes_stdout": "stdin or its stdout",
    "leaves_a_child": "ended with status 7",
    "leaves_a_half": "ended within a message",
    "answers_nothing": "without an outcome",
    "supports_nothing": "",
    "too_long": "no DriveResponse",
    "lies": "",
}


WAITED_OUT = ("hangs", "closes_stdin", "lies")
"""For these the kit waits as long as it may."""


def nothing_is_left(outcome: Outcome) -> None:
    """No file, and no traceback or control character on the terminal."""
    assert list(outcome.folder.iterdir()) == []
    assert "Traceback" not in outcome.stderr + outcome.stdout
    assert "\x1b" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize("command", STRANGERS)
def test_what_is_no_driver_gets_a_verdict(command: str, tmp_path: Path) -> None:
    """One failure that says what it did, and all checks blocked by it."""
    outcome = conformance(tmp_path, "client", "--command", command, "--time-factor", "0.2")
    assert outcome.status == 1
    failed = [check for check in outcome.report["checks"] if check["verdict"] == "fail"]
    assert [check["id"] for check in failed] == ["SIM-05.driver-answers"]
    assert STRANGERS[command] in failed[0]["got"]
    assert {check["verdict"] for check in outcome.report["checks"]} == {"fail", "blocked"}
    nothing_is_left(outcome)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", MISBEHAVIOUR)
def test_a_driver_that_misbehaves_fails_the_checks_and_the_run_goes_on(how: str, tmp_path: Path) -> None:
    """Every check that does not rest on another fails with a sentence about the driver; none is the kit's fault."""
    command = shlex.join([sys.executable, str(ROGUE), how])
    checks = ("ENL-08.enlists", "ENL-11.refusal-is-told", "CHN-01.connects")
    only = [word for check in checks for word in ("--only", check)]
    factor = "0.3" if how in WAITED_OUT else "1"
    outcome = conformance(tmp_path, "client", "--command", command, "--time-factor", factor, *only)
    assert outcome.status == 1, outcome.stdout
    assert outcome.verdicts() == {checks[0]: "fail", checks[1]: "fail", checks[2]: "blocked"}
    assert MISBEHAVIOUR[how] in outcome.report["checks"][0]["got"]
    nothing_is_left(outcome)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page
