"""`make docs`: writes what the documents repeat of the ledger, between markers; `--check` says whether it is there.

Knows nothing of the prose around it.
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from interop_server.core.limits import Limits
from interop_server.ledger import Ledger, Requirement, Status, load_ledger
from tests.ledger.judges import with_judges
from tests.ledger.places import ROOT

LIMITS = ROOT / "docs" / "limits.md"
README = ROOT / "README.md"
ROWS = ROOT / "docs" / "requirements.toml"
_PART = re.compile(r"(<!-- ledger: ([a-z_]+) -->\n).*?(<!-- /ledger -->)", re.DOTALL)
_FIGURE = re.compile(r"\d+ of \d+ requirements are modelled")
_MAX_VALUE_CHARACTERS = 40


class PartUnknown(Exception):
    """A marker names no part that can be written."""


def figure(ledger: Ledger) -> str:
    """Returns the sentence that sums the ledger up, without its full stop."""
    return f"{ledger.count(Status.MODELLED)} of {len(ledger.rows)} requirements are modelled"


def limits_with_tables(text: str, ledger: Ledger) -> str:
    """Returns docs/limits.md with everything between its markers written anew.

    Raises:
        PartUnknown: A marker names no part.
    """

    def write(match: re.Match[str]) -> str:
        if (part := _PARTS.get(match[2])) is None:
            raise PartUnknown(f"no part is called {match[2]!r}; there are {', '.join(_PARTS)}")
        return f"{match[1]}\n{part(ledger)}\n\n{match[3]}"

    return _PART.sub(write, text)


def readme_with_figure(text: str, ledger: Ledger) -> str:
    """Returns the README with the figure that the ledger gives."""
    return _FIGURE.sub(figure(ledger), text)


def outdated(ledger: Ledger) -> dict[Path, str]:
    """Returns what each document that differs from the ledger should be."""
    limits, readme, rows = LIMITS.read_text(), README.read_text(), ROWS.read_text()
    wanted = {
        LIMITS: limits_with_tables(limits, ledger),
        README: readme_with_figure(readme, ledger),
        ROWS: with_judges(rows),
    }
    return {path: text for path, text in wanted.items() if text != path.read_text()}


def _summary(ledger: Ledger) -> str:
    simplified, absent = ledger.count(Status.SIMPLIFIED), ledger.count(Status.NOT_MODELLED)
    return f"{figure(ledger)}, {simplified} are simplified, {absent} are not modelled."


def _reasons(status: Status) -> Callable[[Ledger], str]:
    def write(ledger: Ledger) -> str:
        rows = [row for row in ledger.rows.values() if row.status is status]
        return _table(
            ("id", "what it would be", "what is missing"), ((row.id, row.statement, row.reason) for row in rows)
        )

    return write


def _notes(ledger: Ledger) -> str:
    rows = (row for row in ledger.rows.values() if row.note and row.status is not Status.NOT_MODELLED)
    return _table(("id", "what to know"), ((row.id, row.note) for row in rows))


def _policy(ledger: Ledger) -> str:
    rows = (row for row in ledger.rows.values() if row.policy)
    return _table(("id", "values"), ((row.id, _values(row)) for row in rows))


def _values(row: Requirement) -> str:
    limits = Limits()
    values = {name: _value(getattr(limits, name)) for name in row.policy}
    return ", ".join(
        f"`{name}` {value}" if len(value) <= _MAX_VALUE_CHARACTERS else f"`{name}`" for name, value in values.items()
    )


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


_PARTS: dict[str, Callable[[Ledger], str]] = {
    "summary": _summary,
    "not_modelled": _reasons(Status.NOT_MODELLED),
    "simplified": _reasons(Status.SIMPLIFIED),
    "notes": _notes,
    "policy": _policy,
}


def main(arguments: list[str]) -> int:
    """Writes the documents, or with `--check` names those that differ; returns the exit code."""
    documents = outdated(load_ledger())
    for path, text in documents.items():
        place = path.relative_to(ROOT)
        if arguments == ["--check"]:
            print(f"{place} does not say what the ledger says: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text)
            print(f"{place} written")
    return int(bool(documents) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
