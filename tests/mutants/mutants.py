"""All mutants of a file: where something is changed, into what; knows no test."""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tests.mutants.operators import ALWAYS_TRUE, Change, Surroundings, changes

Step = tuple[str, int | None]

_MAX_SHOWN = 160
_NOT_MUTATED = {
    "annotation",
    "returns",
    "decorator_list",
    "bases",
    "keywords of a class",
    "type_params",
    "ctx",
}
"""Fields of nodes that no behaviour depends on, or only with everything else."""
_LIMIT_TEXTS = slice(1, 5)
"""Arguments of `limit` that describe it."""


@dataclass(frozen=True)
class Mutant:
    """A file with one thing changed."""

    room: str
    file: str
    line: int
    function: str
    """Qualified name of the function, class or constant that is changed."""
    operator: str
    text: str
    """The line, without indentation."""
    before: str
    after: str
    nth: int
    """Tells it from others that look the same."""
    path: tuple[Step, ...]
    change: Change
    lines: range
    """The lines of the statement."""
    names: frozenset[str]
    """Outside of functions, what the statement defines: tests reach it by these names. Otherwise empty."""

    @cached_property
    def key(self) -> str:
        """Names the mutant as long as its line, and what is like it in its function, stay."""
        parts = (self.file, self.function, self.operator, self.text, self.before, self.after, str(self.nth))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]

    def tree(self, source: str) -> ast.Module:
        """Returns the file as it is in this mutant."""
        tree = ast.parse(source)
        *way, (field, index) = self.path
        parent: ast.AST = tree
        for name, at in way:
            parent = getattr(parent, name) if at is None else getattr(parent, name)[at]
        if index is None:
            setattr(parent, field, self.change.node)
        else:
            getattr(parent, field)[index] = self.change.node
        return ast.fix_missing_locations(tree)


@dataclass(frozen=True)
class _Place:
    """Where the walk is."""

    path: tuple[Step, ...] = ()
    scope: tuple[str, ...] = ()
    statement: ast.stmt | None = None
    names: frozenset[str] = frozenset()
    is_in_function: bool = False
    is_journal: bool = False


def mutants_of(room: str, file: str, source: str) -> list[Mutant]:
    """Returns the mutants of a file, in the order of its text."""
    tree = ast.parse(source)
    names = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute) and _is_reason(each)}
    seen, found = Counter[tuple[str, ...]](), []
    for mutant in _Walk(room, file, source.splitlines(), sorted(names)).walk(tree, _Place()):
        alike = (mutant.function, mutant.operator, mutant.text, mutant.before, mutant.after)
        found.append(replace(mutant, nth=seen[alike]))
        seen[alike] += 1
    return found


def read_mutants(root: Path, room: str, file: str) -> list[Mutant]:
    """Returns the mutants of a file of the project."""
    return mutants_of(room, file, (root / file).read_text())


@dataclass(frozen=True)
class _Walk:
    room: str
    file: str
    lines: list[str]
    reasons: list[str]

    def walk(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        """Yields the mutants of a node's children and of theirs."""
        for field, value in ast.iter_fields(node):
            if field in _NOT_MUTATED or (isinstance(node, ast.ClassDef) and field == "keywords"):
                continue
            for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
                if isinstance(child, ast.AST) and not _is_skipped(node, field, index, child):
                    inside = _enter(place, node, (field, index), child)
                    yield from self._changes(node, child, inside)
                    yield from self.walk(child, inside)

    def _changes(self, parent: ast.AST, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        around = Surroundings(self.reasons, parent, place.is_journal)
        for change in changes(node, around):
            at = place.statement
            assert at is not None
            line = getattr(node, "lineno", at.lineno)
            yield Mutant(
                self.room,
                self.file,
                line,
                ".".join(place.scope) or ", ".join(sorted(place.names)),
                change.operator,
                self.lines[line - 1].strip(),
                _shown(node),
                _shown(change.node),
                0,
                place.path,
                change,
                _span(at),
                frozenset() if place.is_in_function else place.names | {*place.scope[-1:]},
            )


def _enter(place: _Place, parent: ast.AST, step: Step, child: ast.AST) -> _Place:
    inside = replace(place, path=(*place.path, step))
    if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and step[0] == "body":
        inside = replace(inside, is_in_function=True)
    if isinstance(child, ast.stmt):
        inside = replace(inside, statement=child, names=_defined(child))
    if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = replace(inside, scope=(*place.scope, child.name))
    is_journal = (isinstance(child, ast.Call) and _called(child) in {"record", "Decision"}) or (
        isinstance(child, ast.keyword) and child.arg == "cause"
    )
    return replace(inside, is_journal=place.is_journal or is_journal)


def _is_skipped(parent: ast.AST, field: str, index: int | None, child: ast.AST) -> bool:
    if isinstance(child, ast.Assert | ast.Import | ast.ImportFrom | ast.Pass):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):  # a docstring, or `...`
        return True
    if isinstance(child, ast.keyword) and child.arg == ALWAYS_TRUE:
        return True
    if isinstance(child, ast.ClassDef):
        return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in child.bases)
    if isinstance(parent, ast.Call) and _called(parent) == "limit" and field == "args" and index is not None:
        return index in range(*_LIMIT_TEXTS.indices(len(parent.args)))
    return isinstance(child, ast.Call) and _called(child) in {"NewType", "TypeVar", "cast", "Unit"}


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _is_reason(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "Reason" and node.attr.isupper()


def _defined(statement: ast.stmt) -> frozenset[str]:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return frozenset()
    return frozenset(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _span(statement: ast.stmt) -> range:
    """Returns the lines of a statement; of one with a body, those before it."""
    body = getattr(statement, "body", None)
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
    last = max(first, body[0].lineno - 1) if body else statement.end_lineno or first
    return range(first, last + 1)


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While):
        return _shown(node.test)
    if isinstance(node, ast.comprehension):
        node = ast.GeneratorExp(ast.Name("_"), [node])
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= _MAX_SHOWN else _short(text)


def _short(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{text[:_MAX_SHOWN]}… ({digest})"
