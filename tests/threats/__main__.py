"""`make threats`: runs the attacks and prints what became of each; `--json` for machines.

Exits with 1 when something did not hold or was not tried.
"""

import os
import sys
from contextlib import redirect_stdout

import pytest
from rich.console import Console

from tests.threats.amount import CAMPAIGN
from tests.threats.report import Report

MIN_WIDTH = 120
"""Columns of the table, also where the output is no terminal."""


def main(arguments: list[str]) -> int:
    """Runs the attacks; further arguments are pytest's."""
    as_json = "--json" in arguments
    rest = [argument for argument in arguments if argument != "--json"]
    os.environ.update(CAMPAIGN)
    report = Report()
    with redirect_stdout(sys.stderr):
        pytest.main(["tests/threats", "-q", "-n", str(min(4, os.cpu_count() or 1)), *rest], plugins=[report])
    if as_json:
        print(report.as_json())
    else:
        report.print_table(Console(width=max(MIN_WIDTH, Console().width)))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
