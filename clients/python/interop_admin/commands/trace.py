"""`interopsim trace`: shows what goes over the chat channels of a running simulator; knows no stanza."""

import json
from typing import TYPE_CHECKING, Any

import click

from interop_admin.commands.common import (
    admin_option,
    after_option,
    json_option,
    number_of,
    read_admin,
    tell_missed,
    tell_silent,
    word_of,
)
from interop_protocol.printable import json_line, printable
from interop_protocol.times import format_time

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import trace_pb2

_NOTHING_KEPT = (
    "Nothing is recorded while nobody follows: use --follow, or start the simulator with `interopsim up --trace`."
)


def _jid(_context: click.Context, _parameter: click.Parameter, jid: str) -> str:
    from interop_protocol.jid import JidError, parse_jid

    try:
        if not jid or parse_jid(jid).text == jid:
            return jid
    except JidError:
        pass
    raise click.BadParameter(f"{printable(ascii(jid))} is no JID, such as 17-4711@interop: it has no channels.")


@click.command(epilog="Example: interopsim trace --follow 17-4711@interop")
@click.argument("jid", required=False, default="", callback=_jid)
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@after_option
@admin_option
@json_option
def trace(admin_address: str, as_json: bool, **wanted: Any) -> None:
    """Show what goes over the chat channels of a running simulator, stanza by stanza, or over those of JID.

    Time, channel, account, direction (→ to the server, ← to the client), kind, length, fields. Secrets and ciphertexts
    are lengths and hashes. The server records while somebody follows, and always with `interopsim up --trace`. With
    --json, prints one line of JSON per entry.
    """

    async def read(admin: "AdminClient") -> None:
        async for response in admin.read_trace(**wanted):
            tell_missed(response.missed)
            if response.has_silence_changed:
                tell_silent(response.silent_nodes)
            elif response.HasField("entry"):
                click.echo(json_line(entry_as_json(response.entry)) if as_json else line_of(response.entry))
            elif wanted["follow"]:
                click.echo("Recording. Ctrl-C ends it.", err=True)
            elif not response.is_kept:
                click.echo(_NOTHING_KEPT, err=True)

    read_admin(admin_address, read, follow=wanted["follow"])


def entry_as_json(entry: "trace_pb2.TraceEntry") -> dict[str, Any]:
    """Returns the fields of an entry that are not empty, with its content as an object in place of a text."""
    fields = {field.name: value for field, value in entry.ListFields() if field.name != "content_json"}
    return fields | {"direction": _direction_word(entry), "content": json.loads(entry.content_json)}


def line_of(entry: "trace_pb2.TraceEntry") -> str:
    """Returns an entry as a line for people."""
    arrow = "→" if _direction_word(entry) == "to_server" else "←"
    where = (
        format_time(entry.at_ms),
        number_of(entry.number, entry.node),
        f"channel {entry.connection}",
        printable(entry.jid),
    )
    what = (
        arrow,
        click.style(printable(entry.kind), bold=True),
        f"{entry.size_bytes} B",
        printable(entry.content_json),
    )
    cut = "(shortened)" if entry.is_shortened else ""
    return " ".join(part for part in (*where, *what, cut) if part)


def _direction_word(entry: "trace_pb2.TraceEntry") -> str:
    from interop_api.admin.v1alpha1.trace_pb2 import TraceDirection

    return word_of(TraceDirection.items(), entry.direction, "TRACE_DIRECTION_")
