"""The requirements behind the checks, read from the file that the simulator ships; knows no check."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SHIPPED = Path(__file__).with_name("requirements.toml")
_IN_THE_SOURCES = Path(__file__).parents[3] / "docs" / "requirements.toml"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row."""

    statement: str
    evidence: tuple[str, ...]
    """Such as `documented`."""


@cache
def requirements() -> Mapping[str, Requirement]:
    """Returns the rows by id, such as `KEY-05`."""
    path = _SHIPPED if _SHIPPED.exists() else _IN_THE_SOURCES
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Requirement(" ".join(table["statement"].split()), tuple(table["evidence"]))
        for name, table in tables.items()
        if name != "areas"
    }


@cache
def areas() -> Mapping[str, str]:
    """Returns the titles of the areas, by their letters."""
    path = _SHIPPED if _SHIPPED.exists() else _IN_THE_SOURCES
    titles: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))["areas"]
    return titles
