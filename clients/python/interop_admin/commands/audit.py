"""`interopsim audit`: shows every record that a running simulator keeps about an account; knows no table."""

from typing import TYPE_CHECKING

import click

from interop_admin.commands.common import admin_option, call_admin, json_option
from interop_protocol.printable import json_line, printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import standing_pb2

_SHOWN_RECORDS = 3
"""How many records of a place are printed for people: all prekeys of an account look alike."""
_SHOWN_CHARACTERS = 36
"""How many characters of a value are printed for people: keys are long."""


@click.command(epilog="Example: interopsim audit 100-12345678901234@interop")
@click.argument("jid")
@admin_option
@json_option
def audit(jid: str, admin_address: str, as_json: bool) -> None:
    """Show every field that the simulator keeps about JID, with its purpose and how long it is kept.

    Shows the first three records of a kind, and the beginning of a long value; --json shows all.
    """

    async def read(admin: "AdminClient") -> "list[list[standing_pb2.KeptField]]":
        return [record async for record in admin.audit_account(jid)]

    records = call_admin(admin_address, read)
    if as_json:
        shown = [
            {"place": record[0].place, "fields": {kept.field: kept.value for kept in record}} for record in records
        ]
        purposes = {f"{kept.place}.{kept.field}": kept.purpose for record in records for kept in record}
        click.echo(json_line({"jid": jid, "records": shown, "purposes": purposes}))
        return
    by_place: dict[str, list[list[standing_pb2.KeptField]]] = {}
    for record in records:
        by_place.setdefault(record[0].place, []).append(record)
    for place, kept_there in by_place.items():
        _print_place(place, kept_there)


def _print_place(place: str, records: "list[list[standing_pb2.KeptField]]") -> None:
    first = records[0]
    name_width = max(len(kept.field) for kept in first)
    value_width = max(len(_shown_value(kept.value)) for kept in first)
    _, _, until = first[0].purpose.rpartition("; kept ")
    click.echo(f"{printable(place)}: {len(records)} record{'s' if len(records) > 1 else ''}, kept {printable(until)}")
    for kept in first:
        what, _, _ = kept.purpose.rpartition("; kept ")
        click.echo(
            f"  {printable(kept.field):{name_width}}  {_shown_value(kept.value):{value_width}}  {printable(what)}"
        )
    for record in records[1:_SHOWN_RECORDS]:
        click.echo("  also " + ", ".join(f"{printable(kept.field)} {_shown_value(kept.value)}" for kept in record))
    if (more := len(records) - _SHOWN_RECORDS) > 0:
        click.echo(f"  and {more} more")


def _shown_value(value: str) -> str:
    value = printable(value)
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[: _SHOWN_CHARACTERS - 1]}…"
    return shown or "-"
