"""What the ledger claims is what the run just made has proved. `make test` runs this after the whole suite."""

import pytest

from interop_server.ledger import Status, load_ledger
from tests.evidence import Evidence
from tests.threats.report import THREATS as REPORTED

LEDGER = load_ledger()
THREATS = {*REPORTED}


@pytest.mark.parametrize("requirement", [row.id for row in LEDGER.rows.values() if row.status is Status.MODELLED])
def test_what_is_modelled_is_proved(evidence: Evidence, requirement: str) -> None:
    """At least one test that is marked with the requirement has passed."""
    marked = [each for each in evidence.outcomes if requirement in each.requirements]
    assert marked, f"{requirement} is `modelled`, but no test is marked with it"
    assert any(each.outcome == "passed" for each in marked), f"no test of {requirement} has passed: {marked}"


def test_marks_name_what_exists(evidence: Evidence) -> None:
    """A mark with an id that is no row, or no threat, proves nothing."""
    wrong = {
        each.test: sorted({*each.requirements} - {*LEDGER.rows} | {*each.threats} - THREATS)
        for each in evidence.outcomes
        if not ({*each.requirements} <= {*LEDGER.rows} and {*each.threats} <= THREATS)
    }
    assert wrong == {}, "these tests are marked with ids that do not exist"
