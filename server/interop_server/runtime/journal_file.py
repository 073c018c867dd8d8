"""The journal as a file of JSON lines: keeps every entry, so that an operator can compare runs; knows no decision."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from interop_protocol.printable import json_line
from interop_server.core.journal import Journal, JournalEntry
from interop_server.core.troubles import JOURNAL_FILE, Troubles

# Not blocking: a pipe that nobody reads must not hold up what is recorded, nor a start.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


def journal_line(entry: JournalEntry) -> str:
    """Returns an entry as one line of JSON, without its empty fields; equal entries give equal bytes.

    In printable ASCII: people read the file on a terminal, and clients wrote some of what stands there.
    """
    return json_line({name: value for name, value in entry._asdict().items() if value != ""})


def missed_line(missed: int) -> str:
    """Returns the line that stands in place of entries that could not be written."""
    return json_line({"missed": missed})


class JournalFile:
    """Appends every entry to a file as it is recorded.

    Each line is written at once, so that a killed process loses none; the file is not synced to disk. An entry that
    cannot be written is missing from the file, and nothing else: what is recorded goes on. Once writing works again, a
    line says how many are missing there. A file that somebody has deleted begins anew with the next entry.
    """

    def __init__(self, descriptor: int, path: Path, troubles: Troubles) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._troubles = troubles
        self._missed = 0
        self._is_torn = False
        """Whether the file ends within a line that could not be taken back."""

    @classmethod
    def open(cls, path: Path, journal: Journal, troubles: Troubles) -> Self:
        """Opens a file for appending, creates it if it does not exist, and subscribes to the journal.

        Raises:
            OSError: The file cannot be opened.
        """
        opened = cls(os.open(path, _FLAGS, 0o666), path, troubles)
        journal.subscribe(opened._write, opened._miss)
        return opened

    async def close(self) -> None:
        """Closes the file; entries recorded afterwards are not written."""
        if self._descriptor is None:
            return
        if self._missed:
            with suppress(OSError):
                self._append(missed_line(self._missed))
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def _write(self, entry: JournalEntry) -> None:
        if self._descriptor is None:
            return
        if os.fstat(self._descriptor).st_nlink == 0:
            self._begin_anew(self._descriptor)
        if self._missed:
            self._append(missed_line(self._missed))
            self._missed = 0
        self._append(journal_line(entry))
        self._troubles.end(JOURNAL_FILE)

    def _begin_anew(self, deleted: int) -> None:
        self._descriptor, self._is_torn = os.open(self._path, _FLAGS, 0o666), False
        os.close(deleted)

    def _miss(self, error: Exception) -> None:
        self._missed += 1
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        self._troubles.meet(
            JOURNAL_FILE, f"{self._path} cannot be written ({why}): entries are missing there until it can be again."
        )

    def _append(self, line: str) -> None:
        assert self._descriptor is not None
        whole = f"\n{line}\n" if self._is_torn else f"{line}\n"
        rest = memoryview(whole.encode("utf-8", "backslashreplace"))
        written = 0
        try:
            while rest:
                count = os.write(self._descriptor, rest)
                written, rest = written + count, rest[count:]
        except OSError:
            self._take_back(written)
            raise
        self._is_torn = False

    def _take_back(self, written: int) -> None:
        """Takes back the part of a line that was written, so that the file holds whole lines only."""
        if not written or self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
        except OSError:
            self._is_torn = True  # a pipe, say: the next line begins on a line of its own
