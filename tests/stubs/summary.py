"""A pytest plugin: one line at the end of a run that says in which languages the stubs could not be compiled here."""

import pytest

MISSING = "stubs that were not compiled"
"""Name of the property with which a test tells of them; a report brings it from any process of a run."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the line."""
    reports = terminalreporter.getreports("passed")
    missing = [value for report in reports for name, value in report.user_properties if name == MISSING]
    if missing:
        terminalreporter.write_line(f"stubs not compiled: {'; '.join(sorted(missing))}. `make stubs` says how to.")
