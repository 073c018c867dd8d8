"""Profiles: dated sets of checks, frozen in files: a newer kit does not change an old verdict; knows no check."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from interop_conformance.check import Check

DEFAULT = "2024"
_FOLDER = Path(__file__).with_name("profiles")


@dataclass(frozen=True, slots=True)
class Profile:
    """One set of checks."""

    name: str
    """Such as `2024`."""
    title: str
    checks: frozenset[str]
    """Their ids."""

    def of(self, checks: Mapping[str, Check]) -> dict[str, Check]:
        """Returns those of the checks that belong to it, in their order."""
        return {name: check for name, check in checks.items() if name in self.checks}


def names() -> list[str]:
    """Returns the names of all profiles."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Profile:
    """Returns a profile.

    Args:
        name: One of `names`.
    """
    table = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return Profile(name, table["title"], frozenset(table["checks"]))
