"""docs/conformance.md: its commands do what it says. The first and the last are those of the whole runs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.kit import COMMANDS, DRIVER, PAGE, conformance

pytestmark = pytest.mark.timeout(300)
BOT = Path(__file__).parents[2] / "clients" / "python" / "samples" / "echo_bot.py"


def arguments(number: int) -> list[str]:
    """A command of the page, as this interpreter runs it."""
    return [DRIVER if word == "python -m interop_driver" else word for word in shlex.split(COMMANDS[number])[2:]]


def test_every_command_of_the_page_is_run() -> None:
    """By its place on the page."""
    assert [shlex.split(command)[2] for command in COMMANDS] == ["client"] * 4 + ["partner"]
    assert COMMANDS[0] == 'interopsim conformance client --command "python -m interop_driver"'


def test_the_first_two_milestones(tmp_path: Path) -> None:
    """A scope of its own, all of which holds for the SDK."""
    outcome = conformance(tmp_path, *arguments(1))
    assert outcome.status == 0, outcome.stdout
    assert {check["milestone"] for check in outcome.report["checks"]} == {1, 2}
    assert "milestone 2, Chat channel and keys" in outcome.stdout


def test_the_file_of_expected_failures(tmp_path: Path) -> None:
    """That of the page: the check passes with the SDK, which fails the run; --json prints the report."""
    [file] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "expected.toml").write_text(file)
    [name] = re.findall(r'^"(.*?)"', file)
    outcome = conformance(tmp_path, *arguments(2), "--only", name)
    [check] = json.loads(outcome.stdout)["checks"]
    assert (outcome.status, check["verdict"]) == (1, "unexpected pass"), outcome.stdout


def test_a_bot(tmp_path: Path) -> None:
    """The sample answers each text with the same text: it is conformant, and nothing is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "interop_server", "conformance", *arguments(3), "--time-factor", "3"]
    with subprocess.Popen(
        [*command, "--report", str(tmp_path / "report")], env=environment, stdout=subprocess.PIPE, text=True
    ) as kit:
        assert kit.stdout is not None
        line = kit.stdout.readline()
        assert json.loads(line)["event"] == "waiting"
        with subprocess.Popen([sys.executable, str(BOT)], env={**environment, "INTEROP_BOT": line}) as bot:
            said = kit.stdout.read()
            assert kit.wait() == 0, said
            bot.terminate()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (report["kind"], report["is_conformant"], report["counts"]["pass"]) == ("bot", True, 10)
    assert list(temporary.iterdir()) == []


def test_no_bot_comes(tmp_path: Path) -> None:
    """A verdict all the same: it did not log in, and the rest rests on that."""
    outcome = conformance(tmp_path, *arguments(3), "--wait", "1")
    assert outcome.status == 1 and outcome.report["counts"]["fail"] == 1 and outcome.report["counts"]["blocked"] == 9
