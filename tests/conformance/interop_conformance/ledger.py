"""The requirements behind the checks, read from the file that the simulator ships; knows no check."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
    return {
        name: Requirement(" ".join(table["statement"].split()), tuple(table["evidence"]))
        for name, table in _tables().items()
        if name != "areas"
    }


@cache
def areas() -> Mapping[str, str]:
    """Returns the titles of the areas, by their letters."""
    titles: dict[str, str] = _tables()["areas"]
    return titles


@cache
def _tables() -> Mapping[str, Any]:
    """Returns the file's tables. It lies beside the installed server, which is found and not imported."""
    server = find_spec("interop_server")
    assert server is not None and server.origin is not None
    shipped = Path(server.origin).with_name("requirements.toml")
    return tomllib.loads((shipped if shipped.exists() else _IN_THE_SOURCES).read_text(encoding="utf-8"))
