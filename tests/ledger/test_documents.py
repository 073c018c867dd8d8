"""What people read repeats the ledger and the reasons, and repeats them right."""

import pytest

from interop_server.core.errors import Reason
from interop_server.ledger import load_ledger
from tests.ledger import docs

LEDGER = load_ledger()


def test_the_documents_say_what_the_ledger_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Tables in three pages under docs, and the figure in the README; `make docs` writes them."""
    assert docs.main(["--check"]) == 0, capsys.readouterr().err


def test_the_readme_has_the_figure() -> None:
    """Once, so that the check has something to check."""
    assert docs.README.read_text().count(docs.figure(LEDGER)) == 1


def test_every_part_of_the_ledger_has_its_place() -> None:
    """No table is forgotten in docs/limits.md and docs/clients.md."""
    text = docs.LIMITS.read_text() + docs.CLIENTS.read_text()
    for part in ("summary", "not_modelled", "simplified", "notes", "policy"):
        assert text.count(f"<!-- ledger: {part} -->") == 1
    for part in ("driven_summary", "driven_calls", "driven_stanzas"):
        assert text.count(f"<!-- ledger: {part} -->") == 1


def test_every_reason_has_its_line() -> None:
    """With the code of a login where that is another one, and with what a retry does."""
    text = docs.REASONS.read_text()
    for reason in Reason:
        assert text.count(f"\n| {reason.name} | ") == 1, reason.name
    assert "| TEMPORARILY_BANNED | PERMISSION_DENIED | " in text
    assert "| BAD_INTEGRATOR | PERMISSION_DENIED | 403, at a login 401 | 403 | no | NEVER |" in text


@pytest.mark.parametrize(
    ("old", "new"), [("requirements are modelled", "requirements are met"), ("| CHN-13 |", "| CHN-13, CHN-14 |")]
)
def test_a_document_that_differs_is_noticed(old: str, new: str) -> None:
    """A check that finds everything right proves nothing."""
    text = docs.with_tables(docs.LIMITS.read_text(), LEDGER)
    assert old in text
    assert docs.with_tables(text.replace(old, new), LEDGER) == text


def test_a_marker_that_is_misspelt_is_told() -> None:
    """Otherwise its table would stay as it is for good."""
    with pytest.raises(docs.PartUnknown, match="polcy"):
        docs.with_tables("<!-- ledger: polcy -->\n<!-- /ledger -->", LEDGER)
