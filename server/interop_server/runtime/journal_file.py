"""The journal as a file of JSON lines, for whoever needs all of it or compares two runs; knows no decision."""

import json
from pathlib import Path
from typing import Self, TextIO

from interop_server.core.journal import Journal, JournalEntry


def journal_line(entry: JournalEntry) -> str:
    """Returns an entry as one line of JSON, without the fields that are empty: the same entry, the same bytes."""
    return json.dumps({name: value for name, value in entry._asdict().items() if value != ""}, ensure_ascii=False)


class JournalFile:
    """Appends every entry to a file, as it happens.

    A line is handed to the system at once, so that a killed process leaves what it decided; it is not synced.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path, journal: Journal) -> Self:
        """Begins to write to a file, which is created when there is none.

        Raises:
            OSError: The file cannot be opened.
        """
        opened = cls(path.open("a", encoding="utf-8", buffering=1))
        journal.subscribe(opened._write)
        return opened

    async def close(self) -> None:
        """Closes the file; what is recorded afterwards is not written."""
        self._file.close()

    def _write(self, entry: JournalEntry) -> None:
        if not self._file.closed:
            self._file.write(journal_line(entry) + "\n")
