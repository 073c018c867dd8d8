"""`interopsim token`: vouches for a user of the ready-made messenger; knows nothing of what is in a token."""

from typing import Any

import click

from interop_admin.commands.common import json_option
from interop_protocol.printable import json_line, printable
from interop_workbench.commands.common import ask


def _complete_defect(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    from partner_server.defects import DEFECTS

    return [name for name in DEFECTS if name.startswith(begun)]


def _defect(_context: click.Context, _parameter: click.Parameter, name: str | None) -> str:
    if name is None:
        return ""
    from difflib import get_close_matches

    from partner_server.defects import DEFECTS

    if name in DEFECTS:
        return name
    near = get_close_matches(name, DEFECTS, 1)
    hint = f"did you mean {near[0]}?" if near else "`interopsim token --list-defects` shows them all."
    raise click.BadParameter(f"there is no defect {printable(ascii(name))}: {hint}")


def _list_defects(*, as_json: bool) -> None:
    from partner_server.defects import DEFECTS

    if as_json:
        shown = [
            {"name": each.name, "sentence": each.sentence, "reason": each.reason, "requirement": each.requirement}
            for each in DEFECTS.values()
        ]
        click.echo(json_line({"defects": shown}))
        return
    for defect in DEFECTS.values():
        click.echo(f"{defect.name:16} {defect.sentence} Refused with {defect.reason} ({defect.requirement}).")


@click.command(epilog="Example: interopsim token bob")
@click.argument("user", required=False, metavar="USER")  # a list is of nobody
@click.option("--ttl", default=600, show_default=True, type=click.IntRange(1), help="Seconds until it expires.")
@click.option(
    "--defect",
    metavar="NAME",
    callback=_defect,
    shell_complete=_complete_defect,
    help="Make it wrong on purpose. The refusal that it must meet is told on standard error.",
)
@click.option("--expired", "is_expired", is_flag=True, help="The same as --defect expired.")
@click.option("--alg", type=click.Choice(["none", "hs256", "es256"]), help="The same as --defect alg-none, and so on.")
@click.option("--list-defects", "is_list", is_flag=True, help="List the defects.")
@json_option
def token(user: str | None, ttl: int, defect: str, is_list: bool, as_json: bool, **short: Any) -> None:
    """Print a token that vouches for USER, a user of the ready-made messenger Pigeon, by the simulator's clock.

    USER is a user name of your choice. The simulator needs people: `interopsim up --people`.
    """
    if is_list:
        _list_defects(as_json=as_json)
        return
    if user is None:
        raise click.MissingParameter(param_type="argument", param_hint="'USER'")
    alg = short["alg"]
    chosen = [name for name in (defect, "expired" if short["is_expired"] else "", f"alg-{alg}" if alg else "") if name]
    if len(chosen) > 1:
        raise click.UsageError("A token has one defect: choose one of --defect, --expired and --alg.")
    answer = ask("tokens", {"user": user, "ttl": ttl, "defect": chosen[0] if chosen else ""})
    if as_json:
        click.echo(json_line(answer))
        return
    click.echo(answer["token"])
    if answer["reason"]:
        words = f"{answer['sentence']} It must be refused with {answer['reason']} ({answer['requirement']})."
        click.echo(printable(words), err=True)
