"""`python -m tests.conformance.repeat [--runs N]`: judges a client again and again, and says how often verdicts differ.

The client is right, so each run that is not conformant, or has a check that does not pass, is a defect of the kit.
Prints a line for each run and the flake rate at the end; ends with 1 when there was such a run. `make repeat` runs it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.kit import DRIVER


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Args:
        status: Its exit status.
        seconds: How long it took.
        checks: How many verdicts there are.
        others: A line for each verdict that is no pass.
    """

    status: int
    seconds: float
    checks: int
    others: list[str] = field(default_factory=list)

    @property
    def is_flake(self) -> bool:
        """Whether a right client was not judged as right."""
        return self.status != 0 or not self.checks or bool(self.others)


def run_once(command: str, mode: str, folder: Path) -> Outcome:
    """Runs the whole kit against a client, with its report in a folder."""
    began = time.monotonic()
    arguments = ["client", "--command", command, "--mode", mode, "--report", str(folder)]
    process = subprocess.run(
        [sys.executable, "-m", "interop_server", "conformance", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - began
    try:
        checks = json.loads((folder / "report.json").read_text())["checks"]
    except FileNotFoundError:
        return Outcome(process.returncode, seconds, 0, [f"no report: {process.stdout.strip()}"])
    return Outcome(process.returncode, seconds, len(checks), list(_others(checks)))


def _others(checks: list[dict[str, str]]) -> Iterator[str]:
    for check in checks:
        if check["verdict"] != "pass" or check.get("attempts", 1) != 1:
            yield f"{check['verdict']} {check['id']}: expected {check.get('expected')}; got {check.get('got')}"


def main() -> int:
    """Repeats, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.repeat", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="how many runs, in a row (default: %(default)s)")
    parser.add_argument("--command", default=DRIVER, help="the driver of a client that is right (default: the SDK's)")
    parser.add_argument("--mode", choices=["direct", "proxy"], default="direct", help="how it connects")
    parser.add_argument("--report", type=Path, help="keep the reports of all runs here, in folders 01, 02 …")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("--runs must be at least 1.")
    flakes = 0
    with tempfile.TemporaryDirectory(prefix="interopsim-repeat-") as folder:
        for number in range(1, chosen.runs + 1):
            outcome = run_once(chosen.command, chosen.mode, (chosen.report or Path(folder)) / f"{number:02}")
            flakes += outcome.is_flake
            print(f"{number:2} status {outcome.status}, {outcome.checks} checks, {outcome.seconds:.1f} s", flush=True)
            print("".join(f"   {line}\n" for line in outcome.others), end="", flush=True)
    print(f"flake rate: {flakes} of {chosen.runs} runs ({flakes / chosen.runs:.0%})")
    return int(flakes > 0)


if __name__ == "__main__":
    sys.exit(main())
