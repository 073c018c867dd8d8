"""Which tests run which lines: measured once for all tests that count, and kept until a source changes."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import coverage
import pytest

from tests.evidence import sources_digest
from tests.mutants import session
from tests.mutants.mutants import Mutant
from tests.mutants.rooms import NOT_COUNTED, SOURCE_ROOTS, TESTS

FOLDER = ".mutants"
_GENERATED = "interop_api"


class TestsFail(Exception):
    """Tests fail on the code as it is; the message names them."""


@dataclass(frozen=True)
class Reach:
    """What a run of all tests that count has shown."""

    root: Path
    seconds: dict[str, float]
    """How long each test takes, by node id."""
    tests: list[str]
    """Node ids; the numbers below are places in this list."""
    lines: dict[str, dict[str, list[int]]]
    """By file and line number: the tests that run it. A line that is run at import only has none."""

    def of(self, mutant: Mutant) -> set[str]:
        """Returns the tests that can notice a mutant: those that run its statement.

        What runs when it is imported, such as a row of a table, is noticed by what uses it: tests that run a line with
        the name that it defines, or have the name in their own file.
        """
        reached = self._running(mutant.file, map(str, mutant.lines))
        if reached and not mutant.names:
            return reached
        names = mutant.names or {mutant.function.rpartition(".")[2], mutant.function.partition(".")[0]} - {"__new__"}
        return reached.union(*(self._naming(name) for name in names))

    def _running(self, file: str, lines: Iterable[str]) -> set[str]:
        of_file = self.lines.get(file, {})
        return {self.tests[number] for line in lines for number in of_file.get(line, ())}

    def _naming(self, name: str) -> set[str]:
        reached = {test for test in self.tests if test.partition("::")[0] in self._words.get(name, {})}
        for file, lines in self._words.get(name, {}).items():
            reached |= self._running(file, lines)
        return reached

    @cached_property
    def _words(self) -> dict[str, dict[str, list[str]]]:
        """By word: files, and the lines that have it."""
        words: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for file in self._texts():
            for number, line in enumerate((self.root / file).read_text().splitlines(), 1):
                for word in set(re.findall(r"[A-Za-z_]\w+", line)):
                    words[word][file].append(str(number))
        return words

    def _texts(self) -> Iterator[str]:
        yield from {test.partition("::")[0] for test in self.tests}
        for path in sources(self.root):
            yield path.relative_to(self.root).as_posix()


def sources(root: Path) -> list[Path]:
    """Returns all modules of the code, but the generated ones."""
    found = (path for source_root in SOURCE_ROOTS for path in (root / source_root).rglob("*.py"))
    return sorted(path for path in found if _GENERATED not in path.parts)


@dataclass(eq=False)
class Recorder:
    """Says to coverage which test runs, and keeps how long it takes. A pytest plugin."""

    root: Path
    output: Path
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: list[str] = field(default_factory=list)

    def pytest_configure(self) -> None:
        folders = [str(self.root / folder) for folder in SOURCE_ROOTS]
        omitted = [f"*/{_GENERATED}/*"]
        self._coverage = coverage.Coverage(data_file=None, config_file=False, source=folders, omit=omitted)
        self._coverage.set_option("run:disable_warnings", ["module-not-imported", "no-data-collected"])
        self._coverage.start()

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


def measure(root: Path, tests: Iterable[str] = TESTS) -> Reach:
    """Returns what tests reach: as measured before, if nothing has changed since.

    Raises:
        TestsFail: Some fail.
    """
    stored = root / FOLDER / f"{sources_digest(root)}.json"
    if not stored.exists():
        stored.parent.mkdir(exist_ok=True)
        output = stored.with_suffix(".new")
        ignored = [f"--ignore={path}" for path in NOT_COUNTED]
        process = session.start(root, [*tests, *ignored], Recorder(root, output))
        process.join()
        session.stop(process)
        measured = json.loads(output.read_text())
        if failed := measured.pop("failed"):
            raise TestsFail(f"these tests fail on the code as it is: {', '.join(failed)}")
        for old in stored.parent.glob("*.json"):
            old.unlink()
        output.write_text(json.dumps(measured))
        output.rename(stored)
    return Reach(root, **json.loads(stored.read_text()))
