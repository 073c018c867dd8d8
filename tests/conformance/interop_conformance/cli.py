"""`interopsim conformance`: the command line of the kit; knows no check. What a command needs is imported late."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from interop_admin.commands.common import Commands, Number
from interop_conformance.options import RUN, SELECTION, options, require_words, run_to_the_end, settings_of
from interop_conformance.output import adapt, echo
from interop_conformance.partner_cli import partner
from interop_protocol.printable import json_text, printable

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(cls=Commands, context_settings=_HELP)
def conformance() -> None:
    """Judge somebody else's client, or messenger's server, requirement by requirement.

    Exit status: 0 conformant, 1 not conformant, 2 wrong use, 3 the kit itself failed, 130 broken off.
    """
    adapt()


@conformance.command(epilog='Example: interopsim conformance client --command "python -m interop_driver"')
@click.option("--command", default="", metavar="COMMAND", help="The client's driver, on its stdin and stdout.")
@click.option("--driver", "address", default="", metavar="HOST:PORT", help="A driver that runs already, over gRPC.")
@click.option(
    "--bot", "is_bot", is_flag=True, help="No driver: the client logs in, and answers each text with the same."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=Number(1, 3600),
    default=120.0,
    show_default=True,
    help="With --bot: how many seconds to wait for the client.",
)
@click.option(
    "--mode",
    type=click.Choice(["direct", "proxy"]),
    default="direct",
    show_default=True,
    help="How the client connects: itself, or through the proxy of a messenger's server that the kit runs.",
)
@options(*SELECTION, *RUN)
@click.option("--pause", "pauses", is_flag=True, help="Wait for Enter before each check; no time is too long then.")
@click.option("--allow-remote", is_flag=True, help="Let --driver be on another machine.")
def client(
    command: str, address: str, is_bot: bool, wait_seconds: float, mode: str, allow_remote: bool, **chosen: Any
) -> None:
    """Judge a client, which its driver (driver.proto) makes do what the kit says.

    With --bot it is not driven: the kit prints a line of JSON with the server's addresses, its root key, a user and a
    token (`tokens` gives more), and waits until the client has logged in and published prekeys.
    """
    echo("Starting the kit.", err=True)
    if [bool(command.strip()), bool(address), is_bot].count(True) != 1:
        raise click.UsageError("Give either --command, --driver or --bot.")
    if is_bot and (mode != "direct" or chosen["pauses"]):
        raise click.UsageError("--bot goes with neither --mode proxy nor --pause: nobody drives that client.")
    require_words(command, "--command")
    arguments = ["--bot"] if is_bot else ["--command", command] if command else ["--driver", address]

    async def run() -> int:
        from interop_conformance.client_run import ClientRun
        from interop_conformance.settings import require_local

        if is_bot:
            from interop_conformance.bot import BotRun

            return await BotRun(settings_of(arguments, **chosen), wait_seconds).run()
        settings = settings_of([*arguments, "--mode", mode], **chosen)
        if address:
            require_local(address, allow_remote=allow_remote, what="--driver")
        return await ClientRun(settings, command, address, mode).run()

    run_to_the_end(run)


@conformance.command("list", epilog="Example: interopsim conformance list --area KEY --level must")
@click.option(
    "--subject", type=click.Choice(["client", "bot", "partner", "proxy"]), help="Only checks that judge this."
)
@options(*SELECTION)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per check.")
def list_checks(subject: str | None, as_json: bool, **selection: Any) -> None:
    """List the checks: what must hold, and where that is known from."""
    from interop_conformance.check import Subject
    from interop_conformance.ledger import requirements
    from interop_conformance.settings import WrongUse, checks_of

    subjects = [Subject(subject)] if subject else list(Subject)
    try:
        checks = checks_of(settings_of([], **selection), *subjects)
    except WrongUse as error:
        raise click.UsageError(str(error)) from error
    rows = [
        {
            "id": check.id,
            "subject": check.subject.value,
            "level": check.level.value,
            "requirement": check.requirement,
            "evidence": list(requirements()[check.requirement].evidence),
            "milestone": check.milestone,
            "features": list(check.features),
            "modes": list(check.modes),
            "attack": check.is_attack,
            "sentence": check.sentence,
        }
        for check in checks
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for row in rows:
        evidence = ", ".join(row["evidence"]) if isinstance(row["evidence"], list) else ""
        click.echo(f"{row['id']}  {row['subject']}, {row['level']} ({evidence})\n    {row['sentence']}")
    click.echo(f"{len(rows)} checks", err=True)


@conformance.command(epilog="Example: interopsim conformance diff old/report.json new/report.json")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per difference.")
def diff(old: Path, new: Path, as_json: bool) -> None:
    """Say what has changed between two runs. Exit status 1 if something became worse."""
    from interop_conformance.report.changes import changes
    from interop_conformance.report.document import ReportUnusable, read_report

    try:
        found = changes(read_report(old), read_report(new))
    except ReportUnusable as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json_text([change.shown() for change in found], indent=1))
    else:
        for change in found:
            word = "worse " if change.is_worse else "better" if change.is_better else "other "
            click.echo(printable(f"{word} {change.id}: {change.old} → {change.new}"))
        click.echo(f"{len(found)} differences", err=True)
    sys.exit(1 if any(change.is_worse for change in found) else 0)


conformance.add_command(partner)
