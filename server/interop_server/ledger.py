"""What is modelled, simplified or absent, and where each behaviour is known from: the ledger, read from its file.

Knows nothing of the running server; nothing that serves imports it before somebody asks.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from interop_server.core.limits import policy_of

_SHIPPED = Path(__file__).with_name("requirements.toml")
_IN_THE_SOURCES = Path(__file__).parents[2] / "docs" / "requirements.toml"


class Evidence(StrEnum):
    """Where a behaviour is known from."""

    DOCUMENTED = "documented"
    """Published by Meta."""
    WHITE_PAPER = "white paper"
    """WhatsApp's encryption white paper."""
    OBSERVED = "observed"
    """Seen in open clients or in how official ones behave; can change with any release."""
    ANALOGOUS_PRACTICE = "analogous practice"
    """What Signal, the IETF or research do, where nothing is public."""


class Status(StrEnum):
    """How far a requirement is met."""

    MODELLED = "modelled"
    SIMPLIFIED = "simplified"
    NOT_MODELLED = "not_modelled"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One behaviour."""

    id: str
    """Such as `KEY-05`; stable."""
    evidence: tuple[Evidence, ...]
    """Several when its parts are known differently."""
    statement: str
    """What the server or the client SDK does."""
    status: Status
    reason: str = ""
    """What is missing; empty when it is modelled."""
    where: tuple[str, ...] = ()
    """Paths in the repository, or `path:symbol`, that hold it."""
    note: str = ""
    """What a reader could take for more than it is."""

    @property
    def policy(self) -> tuple[str, ...]:
        """Limits that serve it, and whose values are the simulator's own choice."""
        return policy_of(self.id)

    @property
    def area(self) -> str:
        """The area that it belongs to, such as `KEY`."""
        return self.id.partition("-")[0]


class UnknownRequirement(Exception):
    """The ledger has no such id."""


class LedgerMalformed(Exception):
    """The ledger's file breaks its own form."""


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
            UnknownRequirement: There is none.
        """
        if (row := self.rows.get(requirement_id.upper())) is None:
            raise UnknownRequirement(f"the ledger has no requirement {requirement_id!r}; ids look like KEY-05")
        return row

    def count(self, status: Status) -> int:
        """How many requirements have this status."""
        return sum(row.status is status for row in self.rows.values())


@cache
def load_ledger() -> Ledger:
    """Reads the ledger that is installed with the server, or that lies in the sources."""
    return read_ledger((_SHIPPED if _SHIPPED.exists() else _IN_THE_SOURCES).read_text(encoding="utf-8"))


def read_ledger(text: str) -> Ledger:
    """Reads a ledger.

    Args:
        text: TOML: a table `areas`, and one table per requirement.

    Raises:
        LedgerMalformed: A field is missing, unknown, or has a value that it cannot have.
    """
    tables = tomllib.loads(text)
    areas: dict[str, str] = tables.pop("areas", {})
    rows = {name: _requirement(name, table) for name, table in tables.items()}
    for row in rows.values():
        if row.area not in areas:
            raise LedgerMalformed(f"{row.id}: there is no area {row.area}")
        if bool(row.reason) is (row.status is Status.MODELLED):
            raise LedgerMalformed(f"{row.id}: a reason stands where something is missing, and only there")
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
    """A text without the line breaks that only keep the file readable."""
    return " ".join(text.split())
