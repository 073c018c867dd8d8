"""`make docs`: writes what documents repeat of the ledger and the reasons, between markers; `--check` only looks.

Knows nothing of the prose around it.
"""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from interop_server.core.errors import Reason, Recovery
from interop_server.core.limit_facts import Scope
from interop_server.core.limits import Limits, names_of
from interop_server.ledger import Ledger, Requirement, Status, load_ledger
from interop_server.rpc.statuses import STATUS_CODES
from tests.ledger import drives
from tests.ledger.judges import with_judges
from tests.ledger.places import ROOT

LIMITS = ROOT / "docs" / "limits.md"
REASONS = ROOT / "docs" / "reasons.md"
CLIENTS = ROOT / "docs" / "clients.md"
README = ROOT / "README.md"
ROWS = ROOT / "docs" / "requirements.toml"
_PART = re.compile(r"(<!-- ledger: ([a-z_]+) -->\n).*?(<!-- /ledger -->)", re.DOTALL)
_FIGURE = re.compile(r"\d+ of \d+ requirements are modelled")
_MAX_VALUE_CHARACTERS = 40
_RETRY_HELPS = {
    Recovery.NEVER: "no",
    Recovery.SAME_AGAIN: "yes, later",
    Recovery.RECONNECT: "on a new connection",
    Recovery.NEW_TOKEN: "with a new token",
    Recovery.ENLIST: "after enlisting",
    Recovery.NEW_KEYS: "with new keys",
    Recovery.REFRESH_DEVICES: "for the right devices",
    Recovery.CHALLENGE: "after a challenge, or later",
}
"""Whether a retry helps, by what a client does about a refusal."""


class PartUnknown(Exception):
    """A marker names no part that can be written."""


def figure(ledger: Ledger) -> str:
    """Returns the sentence that sums the ledger up, without its full stop."""
    return f"{ledger.count(Status.MODELLED)} of {len(ledger.rows)} requirements are modelled"


def with_tables(text: str, ledger: Ledger) -> str:
    """Returns a page with everything between its markers written anew.

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
    wanted = {
        LIMITS: with_tables(LIMITS.read_text(), ledger),
        REASONS: with_tables(REASONS.read_text(), ledger),
        CLIENTS: with_tables(CLIENTS.read_text(), ledger),
        README: readme_with_figure(README.read_text(), ledger),
        ROWS: with_judges(ROWS.read_text()),
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


def _reasons_with_codes(_: Ledger) -> str:
    rows = sorted(Reason, key=lambda each: each.name)
    head = ("reason", "gRPC status", "code", "HTTP", "does a retry help", "recovery")
    return _table(head, (_reason_row(reason) for reason in rows))


def _reason_row(reason: Reason) -> tuple[str, ...]:
    login = "" if reason.login_code == reason.code else f", at a login {reason.login_code}"
    return (
        reason.name,
        STATUS_CODES[reason.category].name,
        f"{reason.code}{login}",
        str(reason.http_status),
        _RETRY_HELPS[reason.recovery],
        reason.recovery.name,
    )


def _driven_summary(_: Ledger) -> str:
    calls, stanzas = ([row for row in drives.rows() if (row.way == drives.CALLS) is kind] for kind in (True, False))
    shares = [f"{_by_both(rows)} of {len(rows)}" for rows in (calls, stanzas)]
    return (
        f"Both clients drive {shares[0]} calls, and {shares[1]} stanzas, handshake messages and notifications;\n"
        "what goes both ways counts twice. For the rest there is a reason."
    )


def _by_both(rows: Iterable[drives.Row]) -> int:
    return sum(all(drives.is_said_to_drive(client, row) for client in drives.CLIENTS) for row in rows)


def _driven_calls(_: Ledger) -> str:
    return _driven(("call",), ((row, (row.name,)) for row in drives.rows() if row.way == drives.CALLS))


def _driven_stanzas(_: Ledger) -> str:
    rows = ((row, (row.name, row.way)) for row in drives.rows() if row.way != drives.CALLS)
    return _driven(("stanza", "the client"), rows)


def _driven(head: tuple[str, ...], rows: Iterable[tuple[drives.Row, tuple[str, ...]]]) -> str:
    def line(row: drives.Row) -> tuple[str, ...]:
        exemption = drives.exceptions().get(row.key)
        clients = ("yes" if drives.is_said_to_drive(client, row) else "no" for client in drives.CLIENTS)
        return (*clients, exemption.reason if exemption else "")

    return _table((*head, *drives.CLIENTS.values(), "why not"), ((*names, *line(row)) for row, names in rows))


def _values(row: Requirement) -> str:
    limits = Limits()
    values = {name: _value(getattr(limits, name)) for name in row.policy}
    return ", ".join(
        f"`{name}` {value}" if len(value) <= _MAX_VALUE_CHARACTERS else f"`{name}`" for name, value in values.items()
    )


def _scopes(_: Ledger) -> str:
    head = ("counted over all nodes together", "counted by each node for itself")
    return _table(
        head, [tuple(", ".join(f"`{name}`" for name in names_of(scope)) for scope in (Scope.WORLD, Scope.NODE))]
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
    "scopes": _scopes,
    "refusals": _reasons_with_codes,
    "driven_summary": _driven_summary,
    "driven_calls": _driven_calls,
    "driven_stanzas": _driven_stanzas,
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
