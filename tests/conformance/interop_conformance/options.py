"""The options that all runs share, and what becomes of them; knows no subject. What a run needs is imported late."""

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interop_admin.commands.common import Number
from interop_protocol.printable import printable

if TYPE_CHECKING:
    from interop_conformance.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


SELECTION = (
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
RUN = (
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
        type=Number(0.1, 100),
        default=1.0,
        show_default=True,
        help="How much longer everything may take, on a slow machine.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print report.json on stdout; the lines go to stderr."),
)


def options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def settings_of(arguments: list[str], **options: Any) -> "Settings":
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


def require_words(command: str, name: str) -> None:
    try:
        shlex.split(command)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=f"'{name}'") from error


def run_to_the_end(run: Callable[[], Any]) -> None:
    """Runs a run, and exits with its status."""
    from interop_conformance.settings import WrongUse

    try:
        status = asyncio.run(run())
    except WrongUse as error:
        raise click.UsageError(printable(str(error))) from error
    sys.exit(status)
