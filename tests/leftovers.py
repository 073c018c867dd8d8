"""Finds what a program has left running."""

import subprocess
from pathlib import Path


def command_lines_naming(folder: Path) -> list[str]:
    """Running processes that were given something in a folder."""
    if Path("/proc/self/cmdline").exists():
        lines = [_read_command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    else:
        lines = subprocess.run(
            ("ps", "-A", "-o", "args="), capture_output=True, text=True, check=True
        ).stdout.splitlines()
    return [line for line in lines if str(folder) in line]


def _read_command_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").replace("\0", " ")
    except OSError:  # it ended meanwhile
        return ""
