"""`make milestones`: runs the six milestones and prints what became of each feature; `--json` for machines.

Exits with 1 when a feature failed or was not tried.
"""

import sys
from contextlib import redirect_stdout

import pytest
from rich.console import Console

from tests.milestones.report import Report


def main(arguments: list[str]) -> int:
    """Runs the milestones; further arguments are pytest's."""
    as_json = "--json" in arguments
    rest = [argument for argument in arguments if argument != "--json"]
    report = Report()
    with redirect_stdout(sys.stderr):
        pytest.main(["tests/milestones", "-q", *rest], plugins=[report])
    if as_json:
        print(report.as_json())
    else:
        report.print_table(Console())
    return 0 if report.is_complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
