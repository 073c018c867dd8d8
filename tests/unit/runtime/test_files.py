"""How many files may be open: the limit is raised as far as it goes, and that there are none left is said once."""

import asyncio
import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interop_server.runtime import files
from interop_server.runtime.files import Part, SayOnce, most_connections, most_files, read_chosen

pytestmark = pytest.mark.requirement("SIM-06")

RAISED = """
import resource
from interop_server.runtime.files import most_files, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 90))
before = most_files()
raise_file_limit()
print(before, most_files(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    """In a process of its own: a limit that was given up does not come back."""
    said = subprocess.run([sys.executable, "-c", RAISED], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["50", "90", "(90,", "90)"]


@pytest.mark.parametrize("most", [8, 12, 16, 20, 24, 63])
def test_too_few_files_are_a_sentence(most: int) -> None:
    """Instead of what happens where the first one is missing: a trace, or an abort inside gRPC."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))"
    start = "from interop_server.cli import main; main(['up', '--grpc', '127.0.0.1:0'])"
    said = subprocess.run([sys.executable, "-c", f"{limited}; {start}"], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == f"Error: only {most} files may be open, and a simulator needs 64: see `ulimit -n`.\n"


@pytest.mark.parametrize("most", [64, 100, 256, 1_024])
def test_connections_leave_files_for_everything_else(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are on each port, of which two speak gRPC; each port has one at least."""
    monkeypatch.setattr(files, "most_files", lambda: most)
    counts = [most_connections(part) for part in (Part.GRPC, Part.GRPC, Part.HTTP, Part.METRICS)]
    assert min(counts) >= 1
    assert most - sum(counts) >= 48
    assert sum(counts) >= 0.8 * (most - 48)


async def test_that_no_connection_can_be_accepted_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried, and for whichever reason; it says how many files may be open."""
    handler, loop = SayOnce(), asyncio.get_running_loop()
    for number in (errno.EMFILE, errno.ENFILE, errno.EMFILE) * 100:
        handler(loop, {"message": "accept", "exception": OSError(number, "Too many open files")})
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert f"of {most_files()} files" in record.getMessage()


async def test_every_other_failure_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Each time, as without this handler: also errors of the system that have nothing to do with files."""
    handler, loop = SayOnce(), asyncio.get_running_loop()
    contexts = ({"message": "a"}, {"message": "b", "exception": OSError(errno.EPIPE, "")}, {"message": "a"})
    for context in contexts:
        handler(loop, dict(context))
    assert [record.getMessage()[:1] for record in caplog.records] == ["a", "b", "a"]


def test_a_file_that_was_chosen_is_read_as_far_as_one_can_be(tmp_path: Path) -> None:
    """Neither a pipe that nobody fills, nor what has no end, nor what is larger than memory holds up a start."""
    (tmp_path / "right").write_bytes(b"right")
    assert read_chosen(tmp_path / "right") == b"right"
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    for path in (tmp_path / "pipe", tmp_path / "sparse", tmp_path, Path("/dev/zero"), tmp_path / "absent"):
        with pytest.raises(OSError, match=r"regular file|too large|directory") as refused:
            read_chosen(path)
        assert str(refused.value.filename) == str(path)
