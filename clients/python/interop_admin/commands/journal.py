"""`interopsim journal`: shows the decisions of a running simulator; knows nothing of how it decides."""

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
from interop_admin.commands.completion import complete_reason, complete_requirement
from interop_protocol.printable import json_line, printable
from interop_protocol.times import format_time

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import journal_pb2

_OUTCOME_PREFIX = "JOURNAL_OUTCOME_"
_COLOURS = {"accepted": "green", "refused": "red", "dropped": "yellow", "done": "cyan"}


@click.command(epilog="Example: interopsim journal --actor 17-4711@interop --outcome refused --follow")
@click.option("--follow", is_flag=True, help="Go on with new entries as they come, until Ctrl-C.")
@click.option("--actor", default="", metavar="WHO", help="Only what this JID, `operator`, `timer` or `anonymous` did.")
@click.option("--action", default="", metavar="PREFIX", help="Only actions that begin so: InteropService., stanza.")
@click.option(
    "--outcome",
    type=click.Choice(["accepted", "refused", "dropped", "done"]),
    help="Only this outcome. The caller cannot tell dropped from accepted.",
)
@click.option(
    "--reason",
    default="",
    metavar="REASON",
    shell_complete=complete_reason,
    help="Only refusals for this reason, such as RATE_LIMITED.",
)
@click.option(
    "--requirement",
    default="",
    metavar="ID",
    shell_complete=complete_requirement,
    help="Only entries of this requirement, such as OPT-09.",
)
@after_option
@admin_option
@json_option
def journal(admin_address: str, as_json: bool, outcome: str | None, **wanted: Any) -> None:
    """Show the decisions of a running simulator, in order: time, actor, action, subject, outcome and rule.

    Of several nodes that are one world, those of all, each with its node, as #NUMBER@NODE.

    With --json, prints one line of JSON per entry.
    """

    async def read(admin: "AdminClient") -> None:
        from interop_api.admin.v1alpha1.journal_pb2 import JournalOutcome

        wanted["outcome"] = JournalOutcome.Value(f"{_OUTCOME_PREFIX}{(outcome or 'unspecified').upper()}")
        async for response in admin.read_journal(**wanted):
            tell_missed(response.missed)
            tell_silent(response.silent_nodes)
            if response.HasField("entry"):
                click.echo(json_line(entry_as_json(response.entry)) if as_json else line_of(response.entry))

    read_admin(admin_address, read, follow=wanted["follow"])


def entry_as_json(entry: "journal_pb2.JournalEntry") -> dict[str, Any]:
    """Returns the fields of an entry that are not empty: those of a journal file, its node, and its resume token."""
    return {field.name: value for field, value in entry.ListFields()} | {"outcome": _outcome_word(entry)}


def line_of(entry: "journal_pb2.JournalEntry") -> str:
    """Returns an entry as a line for people."""
    word = _outcome_word(entry)
    outcome = click.style(printable(word), fg=_COLOURS.get(word))
    why = " ".join(part for part in (entry.reason, entry.requirement and f"({entry.requirement})") if part)
    who = map(printable, (entry.actor, entry.action, entry.subject))
    parts = (format_time(entry.at_ms), number_of(entry.number, entry.node), *who, outcome, printable(why))
    line = " ".join(part for part in parts if part)
    more = (entry.detail, entry.cause and f"not told: {entry.cause}", entry.request_id and f"[{entry.request_id}]")
    return " · ".join((line, *(printable(part) for part in more if part)))


def _outcome_word(entry: "journal_pb2.JournalEntry") -> str:
    from interop_api.admin.v1alpha1.journal_pb2 import JournalOutcome

    return word_of(JournalOutcome.items(), entry.outcome, _OUTCOME_PREFIX)
