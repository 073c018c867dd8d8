"""The record of what a run proved: whole or partial, in one process or several, and what became of each marked test."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evidence import FOLDER, OUTCOMES, Driven, EvidenceMissing, Outcome, Wire, read_evidence

pytest_plugins = ["pytester"]

SUITE = """
import json
import pytest
from tests.evidence import new_journal, record_driven

pytestmark = pytest.mark.requirement("KEY-01")

@pytest.mark.requirement("KEY-05", "KEY-06")
@pytest.mark.threat("T6")
def test_that_passes():
    entries = [
        {"action": "A.B", "outcome": "refused", "reason": "TOO_MUCH", "requirement": "KEY-04"},
        {"action": "A.B", "outcome": "accepted"},
        {"action": "C.D", "outcome": "dropped", "reason": ""}, {"action": "timer.x", "outcome": "done"},
        {"action": "G.H", "outcome": "refused", "reason": "MADE_UP", "requirement": "KEY-04", "fault": "liar"},
        {"action": "G.H", "outcome": "accepted", "fault": "liar"},
    ]
    new_journal().write_text("".join(json.dumps(entry) + "\\n" for entry in entries) + '{"action": "cut o')
    new_journal().write_text(json.dumps({"action": "E.F", "outcome": "accepted"}) + "\\n")
    record_driven("python", {"calls": {"A.B"}, "sent": {"ping"}, "taken": {"pong"}})
    record_driven("python", {"calls": {"E.F"}, "sent": (), "taken": {"pong"}})

@pytest.fixture
def broken():
    yield
    raise RuntimeError("the fixture breaks after the test")

def test_that_breaks_at_the_end(broken): pass

def test_that_fails(): assert False

@pytest.mark.skip
def test_that_is_skipped(): pass

@pytest.mark.xfail
def test_that_fails_as_expected(): assert False

@pytest.mark.xfail
def test_that_passes_unexpectedly(): pass
"""
BOTH_WAYS = [(), ("-n", "2")]
INI = """
[pytest]
testpaths = tests
pythonpath = .
addopts = --import-mode=importlib -p no:cacheprovider
markers =
    requirement(*ids)
    threat(id)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    """A checkout with a suite of its own that records like this one."""
    here = Path(__file__).parents[1]
    pytester.makefile(".ini", pytest=INI)
    tests = pytester.mkdir("tests")
    (tests / "stubs").mkdir()
    for name in ("conftest.py", "evidence.py", "stubs/summary.py"):
        (tests / name).write_text((here / name).read_text())
    (tests / "test_suite.py").write_text(SUITE)
    (tests / "test_unmarked.py").write_text("def test_nothing(): pass")
    return pytester.path


Run = Callable[..., int]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    def run_pytest(*arguments: str) -> int:
        return int(pytester.runpytest_subprocess(*arguments).ret)

    return run_pytest


@pytest.mark.parametrize("how", BOTH_WAYS, ids=str)
def test_every_marked_test_is_recorded_with_its_outcome(suite: Path, run: Run, how: tuple[str, ...]) -> None:
    """Marks of the module and of the test come together; only what passes in every phase counts as passed.

    What an ordered fault did to a simulator proves nothing about it.
    """
    assert run(*how) == pytest.ExitCode.TESTS_FAILED
    evidence = read_evidence(suite)
    outcomes = {each.test.partition("::")[2]: each for each in evidence.outcomes}
    assert {name: each.outcome for name, each in outcomes.items()} == {
        "test_that_passes": "passed",
        "test_that_breaks_at_the_end": "failed",
        "test_that_fails": "failed",
        "test_that_is_skipped": "skipped",
        "test_that_fails_as_expected": "xfailed",
        "test_that_passes_unexpectedly": "xpassed",
    }
    passed = outcomes["test_that_passes"]
    assert passed == Outcome("tests/test_suite.py::test_that_passes", ["KEY-01", "KEY-05", "KEY-06"], ["T6"])
    assert outcomes["test_that_fails"].requirements == ["KEY-01"]
    assert evidence.wire == Wire(
        reasons={"TOO_MUCH"}, accepted={"A.B", "E.F"}, refused={"A.B"}, refusals={"A.B TOO_MUCH KEY-04"}
    )
    assert evidence.driven == {"python": Driven(calls={"A.B", "E.F"}, sent={"ping"}, taken={"pong"})}
    assert [file.name for file in (suite / FOLDER).iterdir()] == [OUTCOMES]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "passes"),
        ("-m", "threat"),
        ("tests/test_suite.py",),
        ("--deselect", "tests/test_suite.py::test_that_fails"),
        ("--ignore", "tests/test_unmarked.py"),
        ("-x",),
    ],
    ids=" ".join,
)
def test_a_part_of_the_suite_is_no_evidence(suite: Path, run: Run, arguments: tuple[str, ...]) -> None:
    """Whatever narrows a run down, its record says that it says nothing of the whole."""
    run(*arguments)
    with pytest.raises(EvidenceMissing, match=r"not of the whole suite .*: run `make test`"):
        read_evidence(suite)


def test_a_suite_that_cannot_be_collected_is_no_evidence(suite: Path, run: Run) -> None:
    """What breaks on import ran no test."""
    (suite / "tests" / "test_broken.py").write_text("import nothing_of_this_name")
    assert run() == pytest.ExitCode.INTERRUPTED
    with pytest.raises(EvidenceMissing):
        read_evidence(suite)


def test_a_change_of_the_sources_makes_evidence_void(suite: Path, run: Run) -> None:
    """A test that was removed after the run, or code that changed, is not proved by it."""
    with pytest.raises(EvidenceMissing, match="no run"):
        read_evidence(suite)
    run()
    read_evidence(suite)
    (suite / "tests" / "test_unmarked.py").unlink()
    with pytest.raises(EvidenceMissing, match="have changed"):
        read_evidence(suite)


def test_the_ledger_stage_leaves_the_evidence_alone(suite: Path, run: Run) -> None:
    """It reads what the run before it wrote."""
    run()
    before = (suite / FOLDER / OUTCOMES).read_text()
    stage = suite / "tests" / "ledger"
    stage.mkdir()
    (stage / "test_stage.py").write_text("def test_stage(): pass")
    assert run("tests/ledger") == pytest.ExitCode.OK
    assert (suite / FOLDER / OUTCOMES).read_text() == before
    assert json.loads(before)["partial"] == ""
