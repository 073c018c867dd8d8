"""The journal as a file of JSON lines: keeps every entry, so that an operator can compare runs; knows no decision."""

import json
from pathlib import Path
from typing import Self, TextIO

from interop_server.core.journal import Journal, JournalEntry


def journal_line(entry: JournalEntry) -> str:
    """Returns an entry as one line of JSON, without its empty fields; equal entries give equal bytes."""
    return json.dumps({name: value for name, value in entry._asdict().items() if value != ""}, ensure_ascii=False)


class JournalFile:
    """Appends every entry to a file as it is recorded.

    Each line is written at once, so that a killed process loses none; the file is not synced to disk.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path, journal: Journal) -> Self:
        """Opens a file for appending, creates it if it does not exist, and subscribes to the journal.

        Raises:
            OSError: The file cannot be opened.
        """
        opened = cls(path.open("a", encoding="utf-8", buffering=1))
        journal.subscribe(opened._write)
        return opened

    async def close(self) -> None:
        """Closes the file; entries recorded afterwards are not written."""
        self._file.close()

    def _write(self, entry: JournalEntry) -> None:
        if not self._file.closed:
            self._file.write(journal_line(entry) + "\n")
