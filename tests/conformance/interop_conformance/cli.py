"""`interopsim conformance`: the command line of the kit; knows no check. What a command needs is imported late."""

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interop_conformance.partner_cli import partner

if TYPE_CHECKING:
    from interop_conformance.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_HELP = {"help_option_names": ["-h", "--help"]}
_SELECTION = (
    click.option("--profile", default="2024", show_default=True, metavar="NAME", help="A dated set of checks."),
    click.option("--area", "areas", multiple=True, metavar="KEY", help="Only this area; repeatable."),
    click.option("--level", type=click.Choice(["must", "should"]), help="Only musts, or only shoulds."),
    click.option(
        "--scope",
        "scopes",
        multiple=True,
        metavar="milestone:N",
        help="Only this of Meta's six milestones; repeatable.",
    ),
    click.option("--only", multiple=True, metavar="ID", help="Only this check; repeatable."),
    click.option(
        "--skip", multiple=True, metavar="ID", help="All but this check; repeatable. What is left out is not judged."
    ),
)
_RUN = (
    click.option(
        "--expected-failures",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='TOML, a line for each: "KEY-09.refills" = "Why". One that passes fails the run.',
    ),
    click.option(
        "--report",
        type=click.Path(path_type=Path),
        default=Path("conformance-report"),
        show_default=True,
        metavar="DIR",
        help="Where report.html, report.json, junit.xml, ctrf.json, summary.md and badge.json go.",
    ),
    click.option("--no-report", is_flag=True, help="Write no files."),
    click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True, help="Of the simulator."),
    click.option(
        "--time-factor",
        type=click.FloatRange(0.1, 100),
        default=1.0,
        show_default=True,
        help="How much longer everything may take, on a slow machine.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout; the lines go to stderr."),
)


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group(context_settings=_HELP)
def conformance() -> None:
    """Judge somebody else's client, or messenger's server, requirement by requirement.

    Exit status: 0 conformant, 1 not conformant, 2 wrong use, 3 the kit itself failed, 130 broken off.
    """


@conformance.command(epilog='Example: interopsim conformance client --command "python -m interop_driver"')
@click.option("--command", default="", metavar="COMMAND", help="The client's driver, on its stdin and stdout.")
@click.option("--driver", "address", default="", metavar="HOST:PORT", help="A driver that runs already, over gRPC.")
@click.option(
    "--bot", "is_bot", is_flag=True, help="No driver: the client logs in, and answers each text with the same."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(1, 3600),
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
@_options(*_SELECTION, *_RUN)
@click.option("--pause", "pauses", is_flag=True, help="Wait for Enter before each check; no time is too long then.")
@click.option("--allow-remote", is_flag=True, help="Let --driver be on another machine.")
def client(
    command: str, address: str, is_bot: bool, wait_seconds: float, mode: str, allow_remote: bool, **options: Any
) -> None:
    """Judge a client, which its driver (driver.proto) makes do what the kit says.

    With --bot it is not driven: the kit prints a line of JSON with the server's addresses, its root key, a user and a
    token (`tokens` gives more), and waits until the client has logged in and published prekeys.
    """
    click.echo("Starting the kit.", err=True)
    if [bool(command.strip()), bool(address), is_bot].count(True) != 1:
        raise click.UsageError("Give either --command, --driver or --bot.")
    _require_words(command, "--command")
    arguments = ["--bot"] if is_bot else ["--command", command] if command else ["--driver", address]

    async def run() -> int:
        from interop_conformance.client_run import ClientRun
        from interop_conformance.settings import require_local

        if is_bot:
            from interop_conformance.bot import BotRun

            return await BotRun(_settings(arguments, **options), wait_seconds).run()
        settings = _settings([*arguments, "--mode", mode], **options)
        if address:
            require_local(address, allow_remote=allow_remote, what="--driver")
        return await ClientRun(settings, command, address, mode).run()

    _run(run)


@conformance.command("list", epilog="Example: interopsim conformance list --area KEY --level must")
@click.option(
    "--subject", type=click.Choice(["client", "bot", "partner", "proxy"]), help="Only checks that judge this."
)
@_options(*_SELECTION)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array, one object per check.")
def list_checks(subject: str | None, as_json: bool, **selection: Any) -> None:
    """List the checks: what must hold, and where that is known from."""
    from interop_conformance.check import Subject
    from interop_conformance.ledger import requirements
    from interop_conformance.settings import WrongUse, checks_of

    subjects = [Subject(subject)] if subject else list(Subject)
    try:
        checks = checks_of(_settings([], **selection), *subjects)
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
        click.echo(json.dumps([change.shown() for change in found], indent=1))
    else:
        for change in found:
            click.echo(f"{'worse ' if change.is_worse else 'better'} {change.id}: {change.old} → {change.new}")
        click.echo(f"{len(found)} differences", err=True)
    sys.exit(1 if any(change.is_worse for change in found) else 0)


def _settings(arguments: list[str], **options: Any) -> "Settings":
    """Returns the settings of options, some of which a command may lack.

    Raises:
        WrongUse: A scope is none.
    """
    from interop_conformance.catalogue import Scope
    from interop_conformance.settings import Settings, parse_scope

    scope = Scope(
        only=options["only"],
        skip=options["skip"],
        areas=options["areas"],
        level=options["level"] or "",
        milestones=parse_scope(options["scopes"]),
    )
    factor = options.get("time_factor", 1.0)
    extra = [] if factor == 1.0 else ["--time-factor", str(factor)]
    command = sys.argv[2] if len(sys.argv) > 2 else ""
    return Settings(
        scope=scope,
        profile=options["profile"],
        expected_failures=options.get("expected_failures"),
        report=None if options.get("no_report", True) else options["report"],
        seed=options.get("seed", 1),
        time_factor=factor,
        pauses=options.get("pauses", False),
        as_json=options.get("as_json", False),
        arguments=["interopsim", "conformance", command, *arguments, *extra],
    )


def _require_words(command: str, name: str) -> None:
    try:
        shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=f"'{name}'") from error


def _run(run: Callable[[], Any]) -> None:
    """Runs a run, and exits with its status."""
    from interop_conformance.settings import WrongUse

    try:
        status = asyncio.run(run())
    except WrongUse as error:
        raise click.UsageError(str(error)) from error
    sys.exit(status)


conformance.add_command(partner)
