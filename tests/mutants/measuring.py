"""Runs all tests that count, to see which lines each runs; what is known stays until a source changes."""

import hashlib
import importlib
import json
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import coverage
import pytest

from tests.mutants import session
from tests.mutants.reach import Reach
from tests.mutants.rooms import GENERATED, NOT_COUNTED, SOURCE_ROOTS, TESTS, module_name, rooms, sources

FOLDER = ".mutants"
_MEASURED = "reach.json"
_ALL_ELSE = ""
_NOTHING: dict[str, Any] = {"digests": {}, "tests": [], "seconds": {}, "lines": {}}


class TestsFail(Exception):
    """Tests fail on the code as it is; the message names them."""


@dataclass(eq=False)
class Recorder:
    """Says to coverage which test runs, and keeps how long it takes. A pytest plugin."""

    root: Path
    output: Path
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: list[str] = field(default_factory=list)

    def pytest_configure(self) -> None:
        folders = [str(self.root / folder) for folder in SOURCE_ROOTS]
        omitted = [f"*/{GENERATED}/*"]
        self._coverage = coverage.Coverage(data_file=None, config_file=False, source=folders, omit=omitted)
        self._coverage.set_option("run:disable_warnings", ["module-not-imported", "no-data-collected"])
        self._coverage.start()

    def pytest_collection_finish(self) -> None:
        """Imports all that is mutated: what runs then is no test's, not even of one that imports it while it runs."""
        for room in rooms(self.root):
            for file in room.files:
                importlib.import_module(module_name(file))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> object:
        self._coverage.switch_context(item.nodeid)
        result = yield
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.skipped:
            self.seconds.pop(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_unconfigure(self) -> None:
        self._coverage.stop()
        data, tests = self._coverage.get_data(), list(self.seconds)
        numbers = {test: number for number, test in enumerate(tests)}
        lines = {
            Path(file).relative_to(self.root).as_posix(): {
                line: sorted(numbers[test] for test in contexts if test in numbers)
                for line, contexts in data.contexts_by_lineno(file).items()
            }
            for file in data.measured_files()
        }
        measured = {"seconds": self.seconds, "tests": tests, "lines": lines, "failed": self.failed}
        self.output.write_text(json.dumps(measured))


def measure(root: Path, tests: Sequence[str] = TESTS) -> Reach:
    """Returns what tests reach. Where only tests have changed since the last time, the others are not run again.

    It goes folder by folder, and keeps what it knows after each: a test that fails, or an end on the way, costs its own
    folder only, when all is measured again.

    Raises:
        TestsFail: Some fail; the others have been measured.
    """
    stored, digests, failed = root / FOLDER / _MEASURED, _digests(root, tests), list[str]()
    known = json.loads(stored.read_text()) if stored.exists() else _NOTHING
    if known["digests"].get(_ALL_ELSE) != digests[_ALL_ELSE]:
        known = _NOTHING
    same = {file for file, digest in digests.items() if known["digests"].get(file) == digest}
    stored.parent.mkdir(exist_ok=True)
    changed = sorted(sorted(digests.keys() - same - {_ALL_ELSE}), key=_folder_of)
    for files in [list(group) for _, group in groupby(changed, key=_folder_of)]:
        try:
            measured = _run(root, files, stored.with_suffix(".new"))
        except TestsFail as failing:
            failed.append(str(failing))
            continue
        known, same = _merge(known, same, measured), {*same, *files, _ALL_ELSE}
        stored.write_text(json.dumps({"digests": {file: digests[file] for file in same}, **known}))
    if failed:
        raise TestsFail(f"these tests fail on the code as it is: {', '.join(failed)}")
    return Reach(root, **{name: known[name] for name in ("seconds", "tests", "lines")})


def _folder_of(file: str) -> str:
    return file.rpartition("/")[0]


def _run(root: Path, files: list[str], output: Path) -> dict[str, Any]:
    process = session.start(root, files, Recorder(root, output))
    process.join()
    session.stop(process)
    measured: dict[str, Any] = json.loads(output.read_text())
    output.unlink()
    if failed := measured.pop("failed"):
        raise TestsFail(", ".join(failed))
    return measured


def _merge(known: dict[str, Any], same: Container[str], measured: dict[str, Any]) -> dict[str, Any]:
    """Returns what is known of tests whose files are the same, and what was measured."""
    kept = [test for test in known["tests"] if test.partition("::")[0] in same]
    tests = [*kept, *measured["tests"]]
    numbers = {test: number for number, test in enumerate(tests)}
    lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for part, counted in ((known, set(kept)), (measured, set(measured["tests"]))):
        for file, of_file in part["lines"].items():
            for line, found in of_file.items():
                lines[file][line] += [numbers[test] for at in found if (test := part["tests"][at]) in counted]
    seconds = {test: part["seconds"][test] for part in (known, measured) for test in part["tests"] if test in numbers}
    return {"tests": tests, "seconds": seconds, "lines": lines}


def _digests(root: Path, tests: Sequence[str]) -> dict[str, str]:
    """Returns digests of the files of tests, by their paths, and one of all else that a run depends on."""
    digests, all_else = dict[str, str](), hashlib.sha256()
    of_tests = {*(root / "tests").glob("*.py"), *(path for folder in tests for path in (root / folder).rglob("*.py"))}
    for path in [*sources(root), *sorted(of_tests)]:
        file, digest = path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()
        if not path.name.startswith("test_"):
            all_else.update(f"{file}\0{digest}\n".encode())
        elif file not in NOT_COUNTED:
            digests[file] = digest
    return digests | {_ALL_ELSE: all_else.hexdigest()}
