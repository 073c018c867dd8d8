"""The ledger, read from its file: which behaviours are modelled, simplified or absent, and how each is known.

Knows nothing of the running server, which imports it only at the first call that asks for it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from interop_server.core.limits import policy_of

_SHIPPED = Path(__file__).with_name("requirements.toml")
_IN_THE_SOURCES = Path(__file__).parents[2] / "docs" / "requirements.toml"


class Evidence(StrEnum):
    """How a behaviour is known."""

    DOCUMENTED = "documented"
    """Published by Meta."""
    WHITE_PAPER = "white paper"
    """WhatsApp's encryption white paper."""
    OBSERVED = "observed"
    """Seen in the source of open clients or in the behaviour of official ones; can change with any release."""
    ANALOGOUS_PRACTICE = "analogous practice"
    """The practice of Signal, the IETF or research, where nothing is public."""


class Status(StrEnum):
    """How completely the simulator meets a requirement."""

    MODELLED = "modelled"
    SIMPLIFIED = "simplified"
    NOT_MODELLED = "not_modelled"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One behaviour."""

    id: str
    """Such as `KEY-05`; stable."""
    evidence: tuple[Evidence, ...]
    """Several when different parts have different evidence."""
    statement: str
    """The behaviour of the server or the client SDK."""
    status: Status
    reason: str = ""
    """What is missing; empty when the behaviour is modelled."""
    where: tuple[str, ...] = ()
    """Paths in the repository, or `path:symbol`, that implement it."""
    note: str = ""
    """A warning where a reader could take the model for more than it is."""
    judged_by: tuple[str, ...] = ()
    """Checks of the conformance kit that judge it in somebody else's client or messenger's server."""
    unjudged: str = ""
    """Why there is none; empty when there is."""

    @property
    def policy(self) -> tuple[str, ...]:
        """The limits that implement it and have values of the simulator's own choice."""
        return policy_of(self.id)

    @property
    def area(self) -> str:
        """The area of the requirement, such as `KEY`."""
        return self.id.partition("-")[0]


class UnknownRequirement(Exception):
    """The ledger has no requirement of this id."""


class LedgerMalformed(Exception):
    """The ledger's file is not in the form that `read_ledger` requires."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All requirements, in the order of the file."""

    areas: Mapping[str, str]
    """Title of each area."""
    rows: Mapping[str, Requirement]
    """By id."""

    def get(self, requirement_id: str) -> Requirement:
        """Returns the requirement of this id, in upper or lower case.

        Raises:
            UnknownRequirement: The ledger has no requirement of this id.
        """
        if (row := self.rows.get(requirement_id.upper())) is None:
            near = get_close_matches(requirement_id.upper(), self.rows, 1)
            meant = f": did you mean {near[0]}?" if near else "; ids look like KEY-05"
            raise UnknownRequirement(f"the ledger has no requirement {requirement_id!r}{meant}")
        return row

    def count(self, status: Status) -> int:
        """Returns how many requirements have this status."""
        return sum(row.status is status for row in self.rows.values())


@cache
def load_ledger() -> Ledger:
    """Reads the ledger that is installed with the server, or else the one in the sources."""
    return read_ledger((_SHIPPED if _SHIPPED.exists() else _IN_THE_SOURCES).read_text(encoding="utf-8"))


def read_ledger(text: str) -> Ledger:
    """Reads a ledger.

    Args:
        text: TOML: a table `areas`, and one table per requirement.

    Raises:
        LedgerMalformed: A field is missing or unknown, or has an invalid value.
    """
    tables = tomllib.loads(text)
    areas: dict[str, str] = tables.pop("areas", {})
    rows = {name: _requirement(name, table) for name, table in tables.items()}
    for row in rows.values():
        if row.area not in areas:
            raise LedgerMalformed(f"{row.id}: there is no area {row.area}")
        if bool(row.reason) is (row.status is Status.MODELLED):
            raise LedgerMalformed(f"{row.id}: a reason is required unless the status is modelled, and only then")
        if bool(row.unjudged) is bool(row.judged_by):
            raise LedgerMalformed(f"{row.id}: `unjudged` says why no check judges it, and only then")
    return Ledger(areas, rows)


def _requirement(name: str, table: dict[str, Any]) -> Requirement:
    fields: dict[str, Any] = {
        key: _one_line(value) if isinstance(value, str) else tuple(value) for key, value in table.items()
    }
    try:
        fields["status"] = Status(fields["status"])
        fields["evidence"] = tuple(Evidence(each) for each in fields["evidence"])
        return Requirement(id=name, **fields)
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerMalformed(f"{name}: {error}") from error


def _one_line(text: str) -> str:
    """Returns a text without its line breaks, which only keep the file readable."""
    return " ".join(text.split())
