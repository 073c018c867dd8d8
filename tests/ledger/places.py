"""Whether what the ledger points at is there; knows nothing of what it means."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def exists(place: str) -> bool:
    """Whether a path of the repository, or `path:symbol`, exists.

    In Python a symbol is a dotted name of classes, functions and assignments; elsewhere it is a word of the file.
    """
    path, _, symbol = place.partition(":")
    file = ROOT / path
    if not symbol or not file.is_file():
        return file.exists() and not symbol
    if file.suffix != ".py":
        return re.search(rf"\b{re.escape(symbol)}\b", file.read_text()) is not None
    body: Iterable[ast.stmt] | None = ast.parse(file.read_text()).body
    for name in symbol.split("."):
        body = _body_of(name, body or ())
    return body is not None


def _body_of(name: str, body: Iterable[ast.stmt]) -> list[ast.stmt] | None:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node.body
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return []
    return None
