"""Files that somebody has chosen: one without an end is refused, not read."""

import os
from pathlib import Path

import click
import pytest

from interop_server.option_values import read_location, read_workbench
from interop_workbench.commands.user import MAX_FILE_BYTES, _file_body

LONG = "a" * 300


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe", "no regular file"), ("/dev/zero", "no regular file"), ("folder", "Is a directory"),
        ("/proc/self/mem", "cannot be read"), (LONG, "too long"), ("nothing", "No such file"),
        ("long", "at most 512 KiB"),
    ],
)  # fmt: skip
def test_what_may_have_no_end_is_not_sent(name: str, said: str, tmp_path: Path) -> None:
    """A pipe that nobody fills, a device, the memory of a process: a sentence, at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "long").write_bytes(bytes(MAX_FILE_BYTES + 1))
    with pytest.raises(click.UsageError, match=said):
        _file_body(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pipe", "is no regular file"),
        ("/dev/zero", "is no regular file"),
        (LONG, "File name too long"),
        (".", "is no reg"),
    ],
)
def test_what_may_have_no_end_is_no_file_of_people_or_networks(name: str, said: str, tmp_path: Path) -> None:
    """Nor is what cannot be looked at."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(click.UsageError, match=said):
        read_workbench(str(tmp_path / name), None, False)
    with pytest.raises(click.UsageError, match=said):
        read_location("networks", tmp_path / name, None)  # type: ignore[arg-type]


def test_a_name_that_is_no_text_is_sent_as_one(tmp_path: Path) -> None:
    """People cannot be told half a character; what comes is named without it anyway."""
    file = tmp_path / os.fsdecode(b"caf\xe9.txt")
    file.write_bytes(b"x")
    assert _file_body(file) == {"name": "caf\ufffd.txt", "base64": "eA=="}


def test_who_is_not_there_is_told_so(tmp_path: Path) -> None:
    """In other words than one that is of another kind."""
    with pytest.raises(click.UsageError, match=r"--people: .*nobody is not there\."):
        read_workbench(str(tmp_path / "nobody"), None, False)
