"""`interopsim doctor`: says what on this machine would keep a simulator from working; changes nothing."""

import click

from interop_admin.commands.common import json_option
from interop_protocol.printable import json_line, printable


@click.command(epilog="Example: interopsim doctor --json")
@json_option
def doctor(as_json: bool) -> None:
    """Look at what a simulator needs here: ports, versions, clock, disk, open files, and what old ones have left.

    Exits with 1 when something is wrong.
    """
    from interop_admin.examination import examine

    findings = examine()
    if as_json:
        shown = [{"about": each.about, "is_wrong": each.is_wrong, "sentence": each.sentence} for each in findings]
        click.echo(json_line({"findings": shown}))
    else:
        width = max(len(each.about) for each in findings)
        for each in findings:
            word = click.style("wrong", fg="red") if each.is_wrong else click.style("   ok", fg="green")
            click.echo(f"{word}  {each.about:{width}}  {printable(each.sentence)}")
    if any(each.is_wrong for each in findings):
        raise SystemExit(1)
