"""The report of the threat suite: what the tests say is what it shows, and what nobody tried is not held."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.threats.report import THREATS, Attack, Report

MODULES = Path(__file__).parents[1] / "threats"


@pytest.mark.requirement("SIM-06")
def test_every_threat_has_a_module() -> None:
    """T1 in test_t01_….py, and so on; each is marked with its threat, so that the report shows it."""
    modules = {path.name[5:8]: path.read_text() for path in MODULES.glob("test_t*.py")}
    assert {f"T{int(name[1:])}" for name in modules} == {*THREATS}
    for name, source in modules.items():
        assert set(re.findall(r'mark\.threat\("(T\d+)"\)', source)) == {f"T{int(name[1:])}"}, name


def reported(node: pytest.Item, threat: str, outcome: str) -> pytest.TestReport:
    """The report of a test of a threat, with what it has said so far."""
    said = [*node.user_properties, ("evidence", {"requirements": [], "threats": [threat]})]
    return pytest.TestReport(
        f"{threat} test",
        ("", 0, ""),
        {},
        outcome,
        None,
        "call",
        user_properties=said,  # type: ignore[arg-type]
    )


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Attack:
    attack = Attack(request.node)
    attack.tries("something [bad]")
    attack.holds("it did not work")
    attack.measures("7 µs")
    return attack


def test_a_threat_that_was_tried_and_held_is_shown_with_what_was_said(
    request: pytest.FixtureRequest, attack: Attack
) -> None:
    """In the table and as JSON; all others are not tried."""
    report = Report()
    report.pytest_runtest_logreport(reported(request.node, "T3", "passed"))
    rows = {row["threat"]: row for row in json.loads(report.as_json())}
    assert [*rows] == [*THREATS] == [*(f"T{number}" for number in range(1, 19)), "T29"]
    assert rows["T3"]["tried"] == ["something [bad]"]
    assert (rows["T3"]["held"], rows["T3"]["measured"]) == (["it did not work"], ["7 µs"])
    assert {threat for threat, row in rows.items() if row["outcome"] != "not tried"} == {"T3"}
    assert not report.holds
    printed = io.StringIO()
    report.print_table(Console(file=printed, width=120))
    for text in ("T18", "something [bad]", "it did not work", "7 µs", "not tried"):
        assert text in printed.getvalue()


def test_one_failing_test_is_enough_for_a_threat_not_to_hold(request: pytest.FixtureRequest, attack: Attack) -> None:
    """Whatever the others say."""
    report = Report()
    for threat in THREATS:
        report.pytest_runtest_logreport(reported(request.node, threat, "passed"))
    assert report.holds
    report.pytest_runtest_logreport(reported(request.node, "T7", "failed"))
    assert not report.holds
    assert {row.threat: row.outcome for row in report.rows if row.outcome != "held"} == {"T7": "did not hold"}
