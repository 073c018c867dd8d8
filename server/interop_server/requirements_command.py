"""`interopsim requirements`: shows the ledger to people and to machines; knows no server."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interop_server.completion_command import requirement_ids
from interop_server.core.limits import Limits
from interop_server.ledger import Ledger, Requirement, Status, UnknownRequirement, load_ledger

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {Status.MODELLED: "green", Status.SIMPLIFIED: "yellow", Status.NOT_MODELLED: "red"}


@click.command(epilog="Examples: interopsim requirements --status simplified · interopsim requirements KEY-05")
@click.argument("ids", nargs=-1, metavar="[ID]…", shell_complete=requirement_ids)
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Only those with this status.")
@click.option("--area", metavar="KEY", help="Only those of this area, such as OPT.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array, one object per requirement.")
def requirements(ids: tuple[str, ...], status: str | None, area: str | None, as_json: bool) -> None:
    """List what is modelled, simplified and absent, and where each behaviour is known from.

    One ID shows all about it: also where its code is, and which values are the simulator's own policy, not WhatsApp's.
    """
    ledger = load_ledger()
    rows = _chosen(ledger, ids, status, area)
    if as_json:
        click.echo(json.dumps([_as_json(row) for row in rows], ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    console = Console()
    if len(ids) == 1 and rows:
        console.print(_sheet(ledger, rows[0]))
    else:
        console.print(_table(rows))
        console.print(_summary(ledger, rows))


def _chosen(ledger: Ledger, ids: Sequence[str], status: str | None, area: str | None) -> list[Requirement]:
    if area is not None and area.upper() not in ledger.areas:
        raise click.UsageError(f"there is no area {area!r}; the areas are {', '.join(ledger.areas)}")
    try:
        rows = [ledger.get(each) for each in ids] if ids else list(ledger.rows.values())
    except UnknownRequirement as error:
        raise click.UsageError(str(error)) from error
    return [row for row in rows if status in (None, row.status) and (area is None or row.area == area.upper())]


def _policy_values(row: Requirement) -> Mapping[str, Any]:
    limits = Limits()
    return {name: getattr(limits, name) for name in row.policy}


def _as_json(row: Requirement) -> dict[str, Any]:
    return {
        "id": row.id,
        "area": row.area,
        "evidence": row.evidence,
        "statement": row.statement,
        "status": row.status,
        "reason": row.reason or None,
        "where": row.where,
        "policy": _policy_values(row),
        "note": row.note or None,
        "judged_by": row.judged_by,
        "unjudged": row.unjudged or None,
    }


def _table(rows: Sequence[Requirement]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("statement", ratio=1)
    table.add_column("evidence", max_width=12)
    table.add_column("status", no_wrap=True)
    for row in rows:
        statement = Text(row.statement)
        if row.reason:
            statement.append(f"\n→ {row.reason}", style="dim")
        evidence = ",\n".join(row.evidence)
        table.add_row(row.id, statement, evidence, Text(row.status, style=_STYLES[row.status]))
    return table


def _sheet(ledger: Ledger, row: Requirement) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    sheet = Table.grid(padding=(0, 2, 0, 0))
    sheet.add_column(style="bold", no_wrap=True)
    sheet.add_column(ratio=1, overflow="fold")  # a path can be longer than the terminal is wide
    policy = "\n".join(f"{name} = {value!r}" for name, value in _policy_values(row).items())
    lines: dict[str, str | Text] = {
        row.id: ledger.areas[row.area],
        "statement": row.statement,
        "evidence": ", ".join(row.evidence),
        "status": Text(row.status, style=_STYLES[row.status]),
        "missing": row.reason,
        "note": row.note,
        "where": "\n".join(row.where),
        "judged by": "\n".join(row.judged_by) or f"no check: {row.unjudged}",
        "policy": policy and f"The simulator's own values, not WhatsApp's; defaults:\n{policy}",
    }
    for title, text in lines.items():
        if text:
            sheet.add_row(title, text if isinstance(text, Text) else Text(text))
    return sheet


def _summary(ledger: Ledger, rows: Sequence[Requirement]) -> str:
    counts = ", ".join(f"{ledger.count(status)} {status.replace('_', ' ')}" for status in Status)
    return f"{len(rows)} of {len(ledger.rows)} shown. In all: {counts}."
