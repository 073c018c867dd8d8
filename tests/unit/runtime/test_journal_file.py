"""The journal as a file: every entry a line, the same entry the same bytes."""

import json
from pathlib import Path

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.journal_file import JournalFile
from interop_server.runtime.rng import SeededRng


def frozen_journal() -> Journal:
    return Journal(AdjustableClock(1_000), SeededRng(1))


async def test_entries_are_lines_at_once(tmp_path: Path) -> None:
    """Readable while the server runs; empty fields are left out."""
    path = tmp_path / "journal"
    journal = frozen_journal()
    file = JournalFile.open(path, journal)
    journal.record("1-2@interop", "stanza.message", "accepted", "m1")
    journal.refuse(Refusal(Reason.RATE_LIMITED, requirement="OPT-09"), "1-2@interop", "InteropService.Resolve")
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {
        "number": 1, "at_ms": 1_000, "actor": "1-2@interop", "action": "stanza.message", "subject": "m1",
        "outcome": "accepted",
    }  # fmt: skip
    assert (second["reason"], len(second["request_id"])) == ("RATE_LIMITED", 16)
    await file.close()
    journal.record("operator", "AdminService.PutPartner", "accepted")
    assert len(path.read_text().splitlines()) == 2


async def test_a_second_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """A restarted server appends; a seed repeats every byte."""
    path = tmp_path / "journal"
    for _ in range(2):
        journal = frozen_journal()
        file = JournalFile.open(path, journal)
        journal.refuse(Refusal(Reason.RATE_LIMITED, requirement="OPT-09"), "a", "b")
        await file.close()
    first, second = path.read_text().splitlines()
    assert first == second


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before the server starts."""
    with pytest.raises(OSError, match="No such file"):
        JournalFile.open(tmp_path / "nowhere" / "journal", frozen_journal())
