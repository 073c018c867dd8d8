"""The journal as a file: every entry a line, the same entry the same bytes."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.troubles import JOURNAL_FILE, Troubles
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.journal_file import JournalFile
from interop_server.runtime.rng import SeededRng


def frozen_journal() -> Journal:
    return Journal(AdjustableClock(1_000), SeededRng(1))


async def test_entries_are_lines_at_once(tmp_path: Path) -> None:
    """Readable while the server runs; empty fields are left out."""
    path = tmp_path / "journal"
    journal = frozen_journal()
    file = JournalFile.open(path, journal, Troubles())
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


@pytest.mark.requirement("SIM-06", "SIM-07")
async def test_a_terminal_obeys_nothing_in_the_file(tmp_path: Path) -> None:
    """Clients choose what they address: it reads back as it was, in printable ASCII and on one line."""
    path = tmp_path / "journal"
    journal = frozen_journal()
    file = JournalFile.open(path, journal, Troubles())
    subject = "\x9b31m\x7f\u202e\u2028\x85forged@x"
    journal.refuse(Refusal(Reason.USER_VISIBLE_IDENTIFIER), "1-2@interop", "PreKeyService.TakePreKeyBundles", subject)
    await file.close()
    [line] = path.read_text().splitlines()
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["subject"] == subject


async def test_a_second_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """A restarted server appends; a seed repeats every byte."""
    path = tmp_path / "journal"
    for _ in range(2):
        journal = frozen_journal()
        file = JournalFile.open(path, journal, Troubles())
        journal.refuse(Refusal(Reason.RATE_LIMITED, requirement="OPT-09"), "a", "b")
        await file.close()
    first, second = path.read_text().splitlines()
    assert first == second


async def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before the server starts."""
    with pytest.raises(OSError, match="No such file"):
        JournalFile.open(tmp_path / "nowhere" / "journal", frozen_journal(), Troubles())


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file may grow past that many bytes: writes stop in the middle, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_stops_the_file_and_nothing_else(tmp_path: Path) -> None:
    """It is said once, the file holds whole lines, and with room again it goes on, with how many are missing."""
    path, journal, troubles, said = tmp_path / "journal", frozen_journal(), Troubles(), []
    troubles.watch(lambda part, sentence: said.append((part, sentence)))
    file = JournalFile.open(path, journal, troubles)
    journal.record("a", "first", "done")
    with full_disk(path.stat().st_size + 10):
        for _ in range(3):
            journal.record("a", "missing", "done")
        assert list(troubles.present) == [JOURNAL_FILE]
    assert [json.loads(line)["action"] for line in path.read_text().splitlines()] == ["first"]
    journal.record("a", "second", "done")
    await file.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[1] == {"missed": 3}
    assert [line.get("action") for line in lines] == ["first", None, "second"]
    assert [entry.action for entry in journal.after(0, 10)[0]] == ["first", *["missing"] * 3, "second"]
    [(_, trouble), (_, ended)] = said
    assert str(path) in trouble and trouble.endswith(".") and ended == ""


async def test_a_file_that_is_deleted_begins_anew(tmp_path: Path) -> None:
    """Nothing is written where nobody can read it; that its folder is gone is told, and what is missing is counted."""
    folder, journal, troubles = tmp_path / "kept", frozen_journal(), Troubles()
    path = folder / "journal"
    folder.mkdir()
    file = JournalFile.open(path, journal, troubles)
    journal.record("a", "first", "done")
    path.unlink()
    journal.record("a", "second", "done")
    assert [json.loads(line)["action"] for line in path.read_text().splitlines()] == ["second"]
    path.unlink()
    folder.rmdir()
    journal.record("a", "missing", "done")
    assert "No such file" in troubles.present[JOURNAL_FILE]
    folder.mkdir()
    journal.record("a", "third", "done")
    path.rename(folder / "journal.1")
    journal.record("a", "fourth", "done")
    await file.close()
    lines = [json.loads(line) for line in (folder / "journal.1").read_text().splitlines()]
    assert lines[0] == {"missed": 1} and [line["action"] for line in lines[1:]] == ["third", "fourth"]
    assert not troubles.present


async def test_a_pipe_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    """Neither the start, which says that it has no reader, nor what is recorded once the reader is stuck."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    journal, troubles = frozen_journal(), Troubles()
    with pytest.raises(OSError, match="No such device"):
        JournalFile.open(path, journal, troubles)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        file = JournalFile.open(path, journal, troubles)
        for _ in range(2_000):
            journal.record("a", "x" * 100, "done")
        assert list(troubles.present) == [JOURNAL_FILE]
        await file.close()
    finally:
        os.close(reader)


async def test_what_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    """Half a surrogate pair has no bytes in UTF-8."""
    path, journal, troubles = tmp_path / "journal", frozen_journal(), Troubles()
    file = JournalFile.open(path, journal, troubles)
    journal.record("a", "\ud800", "done")
    await file.close()
    assert (json.loads(path.read_text())["action"], troubles.present) == ("\ud800", {})
