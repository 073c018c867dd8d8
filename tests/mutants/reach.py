"""Which tests can notice a mutant; knows no test runner."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.mutants.mutants import Mutant
from tests.mutants.rooms import sources


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
        the name that it defines, or have the name in their own file. So is a function that is called only then, by what
        uses the names that stand for what it returns.
        """
        reached = self._running(mutant.file, map(str, mutant.lines))
        if reached and not mutant.names:
            return reached
        names = mutant.names or {mutant.function.rpartition(".")[2], mutant.function.partition(".")[0]} - {"__new__"}
        seen: set[str] = set()
        while names and not reached:
            reached |= set[str]().union(*(self._naming(name) for name in names))
            seen |= names
            names = self._defined_with(mutant.file, names) - seen
        return reached.union(*(self._naming(name) for name in mutant.names))

    def _defined_with(self, file: str, names: Set[str]) -> set[str]:
        """Returns what is defined in a file, by assignments, with the help of some names."""
        found: set[str] = set()
        for node in ast.walk(self._tree(file)):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if used & names:
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
        return found

    def _tree(self, file: str) -> ast.Module:
        return ast.parse((self.root / file).read_text())

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
