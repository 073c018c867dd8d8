"""Writes a run's report into its folder; knows no format.

Subjects name themselves, and what they do and say stands in each file: none has what a terminal or a page would obey.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from interop_conformance.report.ctrf import ctrf_of
from interop_conformance.report.document import document_of
from interop_conformance.report.html import html_of
from interop_conformance.report.junit import junit_of
from interop_conformance.report.summary import badge_of, markdown_of
from interop_conformance.verdict import Run
from interop_protocol.printable import json_text

NAMES = ("report.json", "junit.xml", "ctrf.json", "report.html", "summary.md", "badge.json")


class FolderUnusable(Exception):
    """The report's folder cannot be written. The text is a sentence."""


def prepare(folder: Path) -> None:
    """Makes the folder, and sees that files can be written there, before a run that would be for nothing.

    Raises:
        FolderUnusable: They cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise FolderUnusable(f"the report cannot be written to {folder}: that is no folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".interopsim-probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
        if taken := [name for name in NAMES if (folder / name).is_dir()]:
            raise IsADirectoryError(f"{taken[0]} is a folder")
    except OSError as error:
        raise FolderUnusable(f"the report cannot be written to {folder}: {error.strerror or error}.") from error


def write(run: Run, folder: Path) -> None:
    """Writes all formats; each file is there as a whole, or as it was before, also when two runs write at once.

    Raises:
        FolderUnusable: The folder cannot be written any more.
    """
    texts = {
        "report.json": _json(document_of(run)),
        "junit.xml": junit_of(run),
        "ctrf.json": _json(ctrf_of(run)),
        "report.html": html_of(run),
        "summary.md": markdown_of(run),
        "badge.json": _json(badge_of(run)),
    }
    partial = folder / f".interopsim-partial-{os.getpid()}"
    try:
        for name in NAMES:
            partial.write_text(texts[name], encoding="utf-8", errors="backslashreplace")
            partial.replace(folder / name)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise FolderUnusable(f"the report cannot be written to {folder}: {error.strerror}.") from error


def _json(document: dict[str, Any]) -> str:
    return json_text(document, indent=1) + "\n"
