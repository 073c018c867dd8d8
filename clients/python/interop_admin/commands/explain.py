"""`interopsim explain`: explains a refusal of a running simulator, or what became of a message; knows no rule."""

import textwrap
from typing import TYPE_CHECKING

import click

from interop_admin.commands.common import admin_option, call_admin, json_option, tell_silent
from interop_admin.commands.journal import entry_as_json
from interop_admin.explanation import paragraphs_of
from interop_protocol.printable import json_line, printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import journal_pb2

_WIDTH = 100
_OPERATOR = "operator"
"""As the journal names whoever makes calls like this one."""


async def _explain(admin: "AdminClient", name: str) -> "journal_pb2.ExplainRefusalResponse":
    from interop_api.admin.v1alpha1.journal_pb2 import JOURNAL_OUTCOME_REFUSED

    if not name:
        newest = {True: "", False: ""}  # an operator knows what they have just mistyped
        async for response in admin.read_journal(outcome=JOURNAL_OUTCOME_REFUSED):
            entry = response.entry
            newest[entry.actor == _OPERATOR] = entry.request_id or newest[entry.actor == _OPERATOR]
        name = newest[False] or newest[True]
    if not name:
        raise click.ClickException("nothing was refused yet: `interopsim journal` shows what was decided.")
    return await admin.explain_refusal(name)


@click.command(epilog="Examples: interopsim explain 5f0c6d1e2a3b4c5d; interopsim explain 231150c9753c-1")
@click.argument("name", metavar="[REQUEST_ID | MESSAGE_ID]", default="")
@admin_option
@json_option
def explain(name: str, admin_address: str, as_json: bool) -> None:
    """Explain a refusal: what was refused, by which requirement, and what would have made it succeed.

    Without an id it is the newest refusal of a client, or else of the operator. Every refusal has an id: the field
    `request_id`, or the header X-Request-Id over HTTP.

    With the id that its sender gave to a message, such as 231150c9753c-1, it is what the server decided about that
    message: refused, dropped, which its sender is not told, or accepted. When several senders gave the id, the newest
    decision.

    The newest 100,000 entries of the journal are kept, since the simulator's start. Of several nodes that are one
    world, whichever decided.
    """
    explained = call_admin(admin_address, lambda admin: _explain(admin, name))
    tell_silent(explained.silent_nodes)
    if as_json:
        shown = {
            "entry": entry_as_json(explained.entry),
            "advice": explained.advice,
            "statement": explained.statement,
            "evidence": list(explained.evidence),
            "policy": list(explained.policy),
        }
        click.echo(json_line(shown))
        return
    for paragraph in paragraphs_of(explained):
        click.secho(printable(paragraph.heading), bold=True)
        click.echo(textwrap.fill(printable(paragraph.text), _WIDTH, initial_indent="  ", subsequent_indent="  "))
