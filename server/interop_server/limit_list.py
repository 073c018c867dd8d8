"""The limits as a user meets them on the command line: name, value, what each is for; knows nothing of their effect."""

import ast
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from interop_server.core.limits import Limits

_MOST = {"_days": 36_500, "_hours": 876_000, "_seconds": 3_153_600_000, "_ms": 3_153_600_000_000}
"""Of limits that end in a unit of time: a hundred years, so that no time that is computed with them overflows."""
_MOST_OTHERWISE = 2**53
_BOOLEANS = {"true": True, "false": False}


class LimitWrong(Exception):
    """A limit was given in a way that cannot be used; the message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class LimitEntry:
    """One limit."""

    name: str
    value: object
    """What it is unless it is set."""
    purpose: str
    """What it bounds, by which requirement, and whether the value is documented, observed or policy."""

    @property
    def is_policy(self) -> bool:
        """Says whether the value is the simulator's own choice, because none is public."""
        return "policy" in self.purpose


def list_limits() -> list[LimitEntry]:
    """Returns all limits in the order in which core/limits.py has them."""
    defaults, purposes = Limits(), _purposes()
    return [LimitEntry(field.name, getattr(defaults, field.name), purposes[field.name]) for field in fields(Limits)]


def limits_from(settings: Sequence[str]) -> Limits:
    """Returns the limits with some set by texts like `resolve_burst=10`.

    Raises:
        LimitWrong: A text has another form, names no limit, or has a value of another type or below zero.
    """
    chosen: dict[str, Any] = {}
    defaults = Limits()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not hasattr(defaults, name) or name not in {field.name for field in fields(Limits)}:
            raise LimitWrong(f"{setting!r} sets no limit: write NAME=VALUE; `interopsim limits` lists the names.")
        chosen[name] = _value(name, text, getattr(defaults, name))
    return replace(defaults, **chosen)


def _value(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return _BOOLEANS[text.lower()]
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if isinstance(default, str):
            return text
        value = float(text) if isinstance(default, float) else int(text)
    except (ValueError, KeyError) as error:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise LimitWrong(f"{name}={text} cannot be: {name} is {kind}, {default} unless it is set.") from error
    most = next((most for unit, most in _MOST.items() if name.endswith(unit)), _MOST_OTHERWISE)
    if not 0 <= value <= most or (isinstance(default, float) and value == 0):  # also what is no number
        raise LimitWrong(
            f"{name}={text} cannot be: {name} lies between 0 and {most:,}, and is not 0 when it is a rate."
        )
    return value


def _purposes() -> dict[str, str]:
    # The text under a field is a docstring to readers and tools, but nothing keeps it at run time.
    [definition] = ast.parse(inspect.getsource(Limits)).body
    assert isinstance(definition, ast.ClassDef)
    purposes: dict[str, str] = {}
    name = ""
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and name:
            purposes[name] = " ".join(str(statement.value.value).split())
    return purposes
