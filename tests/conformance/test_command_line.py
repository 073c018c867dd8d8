"""The command line of the kit: wrong use is a sentence and status 2, Ctrl-C leaves a report and nothing else."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.kit import DRIVER, conformance

CLIENT = ("client", "--command", DRIVER)
WRONG_USE = {
    "an unknown check": ((*CLIENT, "--only", "ENL-08.enlist"), "did you mean ENL-08.enlists?"),
    "an unknown check to skip": ((*CLIENT, "--skip", "ENL-8.enlists"), "did you mean ENL-08.enlists?"),
    "an unknown area": ((*CLIENT, "--area", "KEYS"), "did you mean KEY?"),
    "an unknown profile": ((*CLIENT, "--profile", "2025"), "did you mean 2024?"),
    "a profile unlike any": ((*CLIENT, "--profile", "../x"), "there is 2024."),
    "an unknown scope": ((*CLIENT, "--scope", "milestone:7"), "milestone:1 to milestone:6"),
    "another word for a scope": ((*CLIENT, "--scope", "mile:1"), "milestone:1 to milestone:6"),
    "nothing left to run": ((*CLIENT, "--only", "ENL-08.enlists", "--skip", "ENL-08.enlists"), "no check is left"),
    "no such program": (("client", "--command", "/no/such/program"), "cannot be started"),
    "a folder for a program": (("client", "--command", "/tmp"), "cannot be started"),
    "a file that is no program": (("client", "--command", "/etc/hostname"), "cannot be started"),
    "an open quote": (("client", "--command", "sh -c '"), "quotation"),
    "a bot by proxy": (("client", "--bot", "--mode", "proxy"), "nobody drives"),
    "a bot that waits": (("client", "--bot", "--pause"), "nobody drives"),
    "neither command nor driver": (("client",), "Give either --command"),
    "both": ((*CLIENT, "--driver", "127.0.0.1:1"), "Give either --command"),
    "a driver elsewhere": (("client", "--driver", "192.0.2.1:5555"), "--allow-remote"),
    "a driver elsewhere by name": (("client", "--driver", "driver.example:5555"), "--allow-remote"),
    "no address": (("client", "--driver", "5555"), "HOST:PORT"),
    "endless port": (("client", "--driver", f"127.0.0.1:{'9' * 5_000}"), "HOST:PORT"),
    "nobody there": (("client", "--driver", "127.0.0.1:1"), "no driver answers"),
    "a negative seed": ((*CLIENT, "--seed", "-1"), "--seed"),
    "no time at all": ((*CLIENT, "--time-factor", "0"), "--time-factor"),
    "a time that is no number": ((*CLIENT, "--time-factor", "nan"), "no number"),
    "a file without an end": ((*CLIENT, "--expected-failures", "/dev/zero"), "no regular file"),
    "a file that is not there": ((*CLIENT, "--expected-failures", "none.toml"), "cannot be read"),
    "reports that are none": (("diff", "a.json", "b.json"), "cannot be read"),
    "a list of nothing": (("list", "--area", "ABC"), "no area"),
}
FILES = {
    '"ENL-08.enlist" = "Why"': "did you mean ENL-08.enlists?",
    '"ENL-08.enlists" = ""': "a reason",
    '"ENL-08.enlists" = 1': "a reason",
    "ENL-08.enlists": "no TOML",
    f"n = {'9' * 5_000}": "no TOML",
    f"n = {'[' * 10_000}": "no TOML",
    "\x00": "no TOML",
}
ONE = "ENL-07.token-at-each-connection"
WRONG = f"{sys.executable} -m interop_wrong.client uses_one_token_for_ever"


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_a_sentence_and_status_2(name: str, tmp_path: Path) -> None:
    """Before anything is started, where that can be."""
    arguments, sentence = WRONG_USE[name]
    outcome = conformance(tmp_path, *arguments)
    assert outcome.status == 2, outcome.stdout + outcome.stderr
    assert sentence in outcome.stderr and "Traceback" not in outcome.stderr
    assert list(outcome.folder.iterdir()) == []


@pytest.mark.parametrize("text", FILES)
def test_a_file_of_expected_failures_is_judged_first(text: str, tmp_path: Path) -> None:
    """It must name checks that exist, with a reason each."""
    file = tmp_path / "expected.toml"
    file.write_text(text)
    outcome = conformance(tmp_path, *CLIENT, "--expected-failures", str(file))
    assert outcome.status == 2 and FILES[text] in outcome.stderr, outcome.stderr


def test_a_pipe_that_nobody_fills_is_not_waited_for(tmp_path: Path) -> None:
    """In place of a report, or of the file of expected failures."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments in (("diff", str(pipe), str(pipe)), (*CLIENT, "--expected-failures", str(pipe))):
        outcome = conformance(tmp_path, *arguments, seconds=30)
        assert outcome.status == 2 and "no regular file" in outcome.stderr, outcome.stderr


def test_a_folder_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    """Somebody's file is where the report should go."""
    (tmp_path / "report").write_text("mine")
    outcome = conformance(tmp_path, *CLIENT)
    assert outcome.status == 2 and "no folder" in outcome.stderr
    assert (tmp_path / "report").read_text() == "mine"


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("target", "status"),
    [("> /dev/full", 0), ("| true", 0), (">&-", 0), ("2> /dev/full", 0), ("--json > /dev/full", 3)],
)
def test_a_run_goes_on_without_its_terminal(target: str, status: int, tmp_path: Path) -> None:
    """There is the report; only who wants that on stdout has nothing then."""
    kit = [sys.executable, "-m", "interop_server", "conformance", *CLIENT, "--only", ONE]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {target}; exit "${{PIPESTATUS[0]}}"', "bash", *kit, "--report", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["is_conformant"]


def test_a_terminal_without_the_characters_gets_them_escaped(tmp_path: Path) -> None:
    """A difference has an arrow, and its id is text from a file."""
    for name, verdict in (("old", "pass"), ("new", "fail")):
        report = {"schema_version": 1, "checks": [{"id": "\x1b[2J", "verdict": verdict}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    done = subprocess.run(
        [sys.executable, "-m", "interop_server", "conformance", "diff", "old.json", "new.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "worse  \\x1b[2J: pass \\u2192 fail\n")


@pytest.mark.timeout(180)
def test_expected_failures(tmp_path: Path) -> None:
    """One does not make the subject conformant; a check that passes unexpectedly fails the run."""
    file = tmp_path / "expected.toml"
    file.write_text('"ENL-08.enlists" = "Not done yet."\n')
    outcome = conformance(tmp_path, *CLIENT, "--only", "ENL-08.enlists", "--expected-failures", str(file))
    assert (outcome.status, outcome.verdicts()) == (1, {"ENL-08.enlists": "unexpected pass"})
    file.write_text(f'"{ONE}" = "Not done yet."\n"KEY-09.refills" = "Is not run here."\n')
    outcome = conformance(tmp_path, "client", "--command", WRONG, "--only", ONE, "--expected-failures", str(file))
    assert (outcome.status, outcome.verdicts()) == (1, {ONE: "expected failure"})


@pytest.mark.timeout(180)
def test_two_runs_are_compared(tmp_path: Path) -> None:
    """What held and does not any more is worse, and that is the exit status."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    conformance(tmp_path / "old", *CLIENT, "--only", ONE)
    failed = conformance(tmp_path / "new", "client", "--command", WRONG, "--only", ONE)
    check = failed.report["checks"][0]
    assert check["wire"] and check["journal"] and f"--only {ONE} --seed 1" in check["repeat"]
    old, new = (str(tmp_path / name / "report" / "report.json") for name in ("old", "new"))
    outcome = conformance(tmp_path, "diff", old, new)
    assert (outcome.status, outcome.stdout) == (1, f"worse  {ONE}: pass → fail\n")
    outcome = conformance(tmp_path, "diff", new, old)
    assert (outcome.status, outcome.stdout) == (0, f"better {ONE}: fail → pass\n")
    assert conformance(tmp_path, "diff", new, new).stdout == ""
    scores = []
    for score in ("noticed", "survived"):
        scores.append(str(tmp_path / f"{score}.json"))
        report = {**failed.report, "checks": [check | {"verdict": "pass", "score": score}]}
        Path(scores[-1]).write_text(json.dumps(report))
    outcome = conformance(tmp_path, "diff", *scores)
    assert (outcome.status, outcome.stdout) == (0, f"other  {ONE}: pass, noticed → pass, survived\n")


def test_checks_are_listed(tmp_path: Path) -> None:
    """With requirement, evidence and sentence; for machines, too."""
    rows = json.loads(conformance(tmp_path, "list", "--json", "--area", "ENL", "--level", "must").stdout)
    assert {row["level"] for row in rows} == {"must"} and {row["id"][:3] for row in rows} == {"ENL"}
    assert "ENL-08.enlists" in conformance(tmp_path, "list").stdout


def _started(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Starts the kit against the SDK, and returns once a check has passed."""
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "interop_server", "conformance", *CLIENT, *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "pass" not in process.stdout.readline():
        pass
    return process


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_broken_off_run_leaves_a_report_and_nothing_else(number: signal.Signals, tmp_path: Path) -> None:
    """The report says that it was broken off, and what did not run."""
    process = _started(tmp_path, "--report", str(tmp_path / "report"))
    process.send_signal(number)
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 130, logged
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert not report["is_complete"] and not report["is_conformant"] and report["counts"]["not run"] > 0
    assert list((tmp_path / "temporary").iterdir()) == [] and "Traceback" not in logged


@pytest.mark.timeout(120)
def test_no_process_outlives_a_kit_that_was_killed(tmp_path: Path) -> None:
    """It could end nothing: its simulators and the driver see by themselves that it is gone."""
    process = _started(tmp_path, "--no-report")
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) >= 2  # a driver and a simulator, or two
    watched = [os.pidfd_open(pid) for pid in children]
    process.kill()
    process.communicate()
    for each in watched:
        ended, _, _ = select.select([each], [], [], 60)
        os.close(each)
        assert ended
