"""`interopsim explain`: explains a refusal of a running simulator; knows no rule."""

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


async def _explain(admin: "AdminClient", request_id: str) -> "journal_pb2.ExplainRefusalResponse":
    from interop_api.admin.v1alpha1.journal_pb2 import JOURNAL_OUTCOME_REFUSED

    if not request_id:
        async for response in admin.read_journal(outcome=JOURNAL_OUTCOME_REFUSED):
            request_id = response.entry.request_id or request_id
    if not request_id:
        raise click.ClickException("nothing was refused yet: `interopsim journal` shows what was decided.")
    return await admin.explain_refusal(request_id)


@click.command(epilog="Example: interopsim explain 5f0c6d1e2a3b4c5d")
@click.argument("request_id", metavar="[REQUEST_ID]", default="")
@admin_option
@json_option
def explain(request_id: str, admin_address: str, as_json: bool) -> None:
    """Explain a refusal: what was refused, by which requirement, and what would have made it succeed.

    Without REQUEST_ID it is the newest refusal. Every refusal has one: the field `request_id`, or the header
    X-Request-Id over HTTP. Those of the newest 100,000 entries of the journal are kept, since the simulator's start.
    """
    explained = call_admin(admin_address, lambda admin: _explain(admin, request_id))
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
