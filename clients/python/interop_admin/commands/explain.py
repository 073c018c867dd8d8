"""`interopsim explain`: explains a refusal of a running simulator; knows no rule."""

import textwrap

import click

from interop_admin.commands.common import admin_option, call_admin, json_option
from interop_admin.commands.journal import entry_as_json
from interop_admin.explanation import paragraphs_of
from interop_protocol.printable import json_line, printable

_WIDTH = 100


@click.command(epilog="Example: interopsim explain 5f0c6d1e2a3b4c5d")
@click.argument("request_id", metavar="REQUEST_ID")
@admin_option
@json_option
def explain(request_id: str, admin_address: str, as_json: bool) -> None:
    """Explain a refusal: what was refused, by which requirement, and what would have made it succeed.

    Every refusal has a REQUEST_ID: the field `request_id`, or the header X-Request-Id over HTTP.
    """
    explained = call_admin(admin_address, lambda admin: admin.explain_refusal(request_id))
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
