"""Runs the kit as somebody would from the command line."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DRIVER = shlex.join([sys.executable, "-m", "interop_driver"])
"""The SDK's driver."""
PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
COMMANDS = [block.strip() for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]
"""The commands of the page, in their order: each is run by a test."""


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    status: int
    stdout: str
    stderr: str
    folder: Path
    """For temporary files: nothing may be left there."""

    @property
    def report(self) -> dict[str, Any]:
        """What it has written to report.json."""
        document: dict[str, Any] = json.loads((self.folder.parent / "report" / "report.json").read_text())
        return document

    def verdicts(self) -> dict[str, str]:
        """The verdict on each check."""
        return {check["id"]: check["verdict"] for check in self.report["checks"]}


def conformance(folder: Path, *arguments: str, seconds: float = 300) -> Outcome:
    """Runs `interopsim conformance …` in a folder of its own, with its report there.

    Waits are three times as long unless an argument says otherwise: other tests run beside this one, and a machine that
    stands still for ten seconds is no fault of a subject.
    """
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    extra = []
    if arguments[0] in ("client", "partner"):
        extra = ["--report", str(folder / "report")]
        if "--time-factor" not in arguments:
            extra += ["--time-factor", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "interop_server", "conformance", *arguments, *extra],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    return Outcome(done.returncode, done.stdout, done.stderr, temporary)
