"""The limits as an operator meets them on the command line: as text, both ways; knows nothing of their effect."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from interop_server.core.limit_facts import About, Scope
from interop_server.core.limits import Limits, about, conflicts

_MAX_CHARACTERS = 255
"""Of a text, which travels in a token."""
_MAX_CODE_DIGITS = 3
"""Of a country's calling code (E.164)."""
_BOOLEANS = {"true": True, "false": False}
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a printable text of at most 255 characters",
    tuple: "a list of calling codes, each of one to three digits, such as 1,44",
}


_SCOPES = {
    Scope.EACH: "",
    Scope.WORLD: "counted over all nodes of a world",
    Scope.NODE: "counted by each node of a world for itself",
}


class LimitWrong(ValueError):
    """A limit was given in a way that cannot be used; the message is a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class LimitEntry:
    """One limit."""

    name: str
    value: object
    """What it is unless it is set."""
    about: About

    @property
    def purpose(self) -> str:
        """What it bounds, by which requirement, for whom, and whether the value is documented, observed or policy."""
        parts = (self.about.purpose, _SCOPES[self.about.scope], self.about.origin)
        return f"{', '.join(self.about.requirements)}: {'; '.join(part for part in parts if part)}."

    @property
    def is_policy(self) -> bool:
        """Says whether the value is the simulator's own choice, because none is public."""
        return self.about.is_policy


def list_limits() -> list[LimitEntry]:
    """Returns all limits in the order in which core/limits.py has them."""
    defaults = Limits()
    return [LimitEntry(field.name, getattr(defaults, field.name), about(field.name)) for field in fields(Limits)]


def limits_from(settings: Sequence[str]) -> Limits:
    """Returns the limits with some set by texts like `resolve_burst=10`.

    Raises:
        LimitWrong: A text has another form, names no limit, or has a value of another type or outside its range; or
            the limits cannot work together.
    """
    chosen: dict[str, Any] = {}
    names, defaults = {field.name for field in fields(Limits)}, Limits()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in names:
            near = get_close_matches(name, names, 1) if name not in names else []
            hint = f"did you mean {near[0]}?" if near else "write NAME=VALUE;"
            raise LimitWrong(f"{setting!r} sets no limit: {hint} `interopsim limits` lists the names.")
        chosen[name] = _value(name, text, getattr(defaults, name))
    limits = replace(defaults, **chosen)
    if wrong := conflicts(limits):
        raise LimitWrong(" ".join(wrong))
    return limits


def _value(name: str, text: str, default: object) -> object:
    try:
        if isinstance(default, bool):
            return _BOOLEANS[text.lower()]
        if isinstance(default, tuple):
            return tuple(_calling_code(part.strip()) for part in text.split(","))
        if isinstance(default, str):
            if not text or len(text) > _MAX_CHARACTERS or not text.isprintable():
                raise ValueError(text)
            return text
        value = float(text) if isinstance(default, float) else _whole(text)
    except (ValueError, KeyError) as error:
        kind = _KINDS[type(default)]
        raise LimitWrong(f"{name}={text} cannot be set: {name} is {kind}, {default} by default.") from error
    bounds = about(name)
    if not bounds.least <= value <= bounds.most:  # also what is not a number
        unit = f" {bounds.unit.name}" if bounds.unit.name else ""
        raise LimitWrong(
            f"{name}={text} cannot be set: {name} lies between {bounds.least:,} and {bounds.most:,}{unit}."
        )
    return value


def _whole(text: str) -> int:
    """Reads a whole number as people write it: ASCII digits, and a sign, with nothing around them."""
    digits = _digits(text.removeprefix("-"))
    return -int(digits) if text.startswith("-") else int(digits)


def _calling_code(text: str) -> str:
    if len(text) > _MAX_CODE_DIGITS or text.startswith("0"):
        raise ValueError(text)
    return _digits(text)


def _digits(text: str) -> str:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return text
