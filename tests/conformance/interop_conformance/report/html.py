"""A run as one self-contained page: a matrix by area, and for each check its sentence, wire and journal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from interop_conformance.ledger import areas, requirements
from interop_conformance.report.summary import verdict_line
from interop_conformance.verdict import Result, Run, Verdict
from interop_protocol.printable import printable_lines

MAX_ENTRIES = 400
"""Most entries of a wire or a journal on the page; report.json has them all."""

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("interop_conformance.report", "."),
    autoescape=True,  # subjects name themselves, and what they send is on the page
    finalize=lambda value: printable_lines(value) if type(value) is str else value,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def html_of(run: Run) -> str:
    """Returns the page. It loads nothing, and runs no script."""
    groups: dict[str, list[Result]] = {}
    for result in run.results:
        groups.setdefault(result.check.area, []).append(result)
    return _ENVIRONMENT.get_template("report.html.j2").render(
        run=run,
        line=verdict_line(run),
        groups=groups,
        titles=areas(),
        requirements=requirements(),
        verdicts=[verdict for verdict in Verdict if run.count(verdict)],
        wire=_wire,
        journal=_journal,
        max_entries=MAX_ENTRIES,
    )


def _wire(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Returns time, account, what goes which way, and content of each entry; time in ms since the first."""
    if not entries or "direction" not in entries[0]:
        return [("", "", "", _text(entry)) for entry in entries[:MAX_ENTRIES]]
    first = entries[0]["at_ms"]
    return [
        (
            f"{entry['at_ms'] - first} ms",
            str(entry["jid"]),
            f"{'→' if entry['direction'] == 'to_server' else '←'} {entry['kind']} {entry['size_bytes']} B",
            _text(entry["content"]),
        )
        for entry in entries[:MAX_ENTRIES]
    ]


def _journal(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Returns actor, action, outcome, and the rest of each entry."""
    shown = ("number", "at_ms", "actor", "action", "outcome")
    return [
        (
            str(entry.get("actor", "")),
            str(entry.get("action", "")),
            str(entry.get("outcome", "")),
            _text({name: value for name, value in entry.items() if name not in shown}),
        )
        for entry in entries[:MAX_ENTRIES]
    ]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
