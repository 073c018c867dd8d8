"""What is changed in a mutant: for each kind of node, the nodes that may stand in its place; knows no file."""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}  # fmt: skip
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SQL = (
    (re.compile(r" < "), " <= "),
    (re.compile(r" <= "), " < "),
    (re.compile(r" > "), " >= "),
    (re.compile(r" >= "), " > "),
    (re.compile(r"\b(WHERE|AND|ON) ([^=<>\n]+?) = "), r"\1 \2 != "),
    (re.compile(r" AND "), " OR "),
    (re.compile(r" OR (?!IGNORE|REPLACE)"), " AND "),
    (re.compile(r"NOT EXISTS"), "EXISTS"),
    (re.compile(r"IS NULL"), "IS NOT NULL"),
    (re.compile(r"IS NOT NULL"), "IS NULL"),
    (re.compile(r"\bmin\("), "max("),
    (re.compile(r"\bmax\("), "min("),
    (re.compile(r" \+ 1\b"), " + 2"),
    (re.compile(r" - 1\b"), " - 2"),
    (re.compile(r" DESC\b"), ""),
    (re.compile(r"(ORDER BY \w+)(?! DESC)\b"), r"\1 DESC"),
)
_IS_SQL = re.compile(r"\b(SELECT|WHERE|INSERT|UPDATE|DELETE|EXISTS|JOIN|CONFLICT|AND)\b")
_IS_NAME = re.compile(r"[\w.:/@-]+")
OTHER_TEXT = "mutant"


class Change(NamedTuple):
    """One node in place of another."""

    operator: str
    node: ast.AST


@dataclass(frozen=True)
class Surroundings:
    """What a change depends on beside the node."""

    reasons: Sequence[str]
    """The names of all reasons that the file uses."""
    parent: ast.AST
    is_journal: bool
    """Whether the node is a part of what a record of the journal says."""


def changes(node: ast.AST, around: Surroundings) -> Iterator[Change]:
    """Yields what may stand in a node's place."""
    for kind, operator in _OPERATORS:
        if isinstance(node, kind):
            yield from operator(node, around)


def _compare(node: ast.Compare, _: Surroundings) -> Iterator[Change]:
    for index, operator in enumerate(node.ops):
        changed = copy.deepcopy(node)
        changed.ops[index] = _COMPARISONS[type(operator)]()
        yield Change("comparison", changed)


def _condition(node: ast.If | ast.While | ast.IfExp, _: Surroundings) -> Iterator[Change]:
    if not isinstance(node.test, ast.Compare | ast.UnaryOp):
        changed = copy.copy(node)
        changed.test = ast.UnaryOp(ast.Not(), node.test)
        yield Change("negation", changed)


def _filter(node: ast.comprehension, _: Surroundings) -> Iterator[Change]:
    for index in range(len(node.ifs)):
        changed = copy.copy(node)
        changed.ifs = [*node.ifs[:index], *node.ifs[index + 1 :]]
        yield Change("removed filter", changed)


def _unary(node: ast.UnaryOp, _: Surroundings) -> Iterator[Change]:
    if isinstance(node.op, ast.Not):
        yield Change("negation", node.operand)


def _boolean(node: ast.BoolOp, _: Surroundings) -> Iterator[Change]:
    changed = copy.copy(node)
    changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield Change("and/or", changed)


def _arithmetic(node: ast.BinOp | ast.AugAssign, _: Surroundings) -> Iterator[Change]:
    if type(node.op) in _ARITHMETIC:
        changed = copy.copy(node)
        changed.op = _ARITHMETIC[type(node.op)]()
        yield Change("arithmetic", changed)


def _constant(node: ast.Constant, around: Surroundings) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield Change("constant", ast.Constant(not node.value))
    elif isinstance(node.value, int | float):
        yield Change("constant", ast.Constant(node.value + 1))
        if node.value:
            yield Change("constant", ast.Constant(node.value - 1))
    elif isinstance(node.value, bytes):
        yield Change("constant", ast.Constant(node.value + b"\0"))
    elif isinstance(node.value, str) and node.value:
        yield from _text(node.value, around)


def _text(text: str, around: Surroundings) -> Iterator[Change]:
    """Sentences are for people: they are changed where the journal holds them only."""
    if _IS_SQL.search(text):
        for pattern, other in _SQL:
            for found in pattern.finditer(text):
                changed = text[: found.start()] + found.expand(other) + text[found.end() :]
                yield Change("SQL", ast.Constant(changed))
    elif not isinstance(around.parent, ast.JoinedStr) and (around.is_journal or _IS_NAME.fullmatch(text)):
        yield Change("string", ast.Constant(OTHER_TEXT))


def _formatted(node: ast.JoinedStr, around: Surroundings) -> Iterator[Change]:
    if around.is_journal:
        yield Change("string", ast.Constant(OTHER_TEXT))


def _await(node: ast.Await, _: Surroundings) -> Iterator[Change]:
    yield Change("removed await", node.value)


def _raise(node: ast.Raise, _: Surroundings) -> Iterator[Change]:
    yield Change("removed raise", ast.Pass())


def _return(node: ast.Return, _: Surroundings) -> Iterator[Change]:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield Change("return value", ast.Return(ast.Constant(None)))


def _statement(node: ast.stmt, _: Surroundings) -> Iterator[Change]:
    sets = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    if sets or calls or isinstance(node, ast.AugAssign | ast.Delete | ast.Continue | ast.Break):
        yield Change("removed statement", ast.Pass())


ALWAYS_TRUE = "strict"
"""Argument of `zip` that is always true here, and would show a mistake of the code's own: nothing from outside does."""


def _call(node: ast.Call, _: Surroundings) -> Iterator[Change]:
    if isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        changed = copy.copy(node)
        changed.func = ast.Name(_FUNCTIONS[node.func.id], ast.Load())
        yield Change("min/max", changed)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg not in (None, ALWAYS_TRUE):
            changed = copy.copy(node)
            changed.keywords = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield Change("removed argument", changed)


def _reason(node: ast.Attribute, around: Surroundings) -> Iterator[Change]:
    if isinstance(node.value, ast.Name) and node.value.id == "Reason" and node.attr.isupper():
        others = [name for name in (*around.reasons, "REQUEST_MALFORMED", "NOT_REGISTERED") if name != node.attr]
        yield Change("swapped reason", ast.Attribute(node.value, others[0], ast.Load()))


_OPERATORS: tuple[tuple[type | tuple[type, ...], Callable[..., Iterator[Change]]], ...] = (
    (ast.Compare, _compare),
    ((ast.If, ast.While, ast.IfExp), _condition),
    (ast.comprehension, _filter),
    (ast.UnaryOp, _unary),
    (ast.BoolOp, _boolean),
    ((ast.BinOp, ast.AugAssign), _arithmetic),
    (ast.Constant, _constant),
    (ast.JoinedStr, _formatted),
    (ast.Await, _await),
    (ast.Raise, _raise),
    (ast.Return, _return),
    (ast.stmt, _statement),
    (ast.Call, _call),
    (ast.Attribute, _reason),
)
