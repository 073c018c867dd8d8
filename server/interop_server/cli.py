"""The `interopsim` command; each subcommand loads its own code, so that asking for help costs nothing."""

import asyncio
import gc
import importlib
import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interop_protocol.printable import PrintableLog, printable

if TYPE_CHECKING:
    from interop_server.core.enlistment.location import LocationPolicy
    from interop_server.core.fault_rules import FaultRule
    from interop_server.core.limits import Limits

_ELSEWHERE = {
    "audit": "interop_admin.commands.audit:audit",
    "conformance": "interop_conformance.cli:conformance",
    "clock": "interop_admin.commands.clock:clock",
    "demo": "interop_demo.cli:demo",
    "requirements": "interop_server.requirements_command:requirements",
    "journal": "interop_admin.commands.journal:journal",
    "explain": "interop_admin.commands.explain:explain",
    "faults": "interop_admin.commands.faults:faults",
    "trace": "interop_admin.commands.trace:trace",
}
"""Subcommands defined in other modules."""


class _Commands(click.Group):
    """A group that imports a subcommand only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = _ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="interopsim", prog_name="interopsim")
def main() -> None:
    """A reference interop server simulator: WhatsApp's documented third-party chats protocol, on your laptop.

    Not for production, never contacts Meta. Start with `interopsim demo`.
    """


def _time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    from interop_protocol.times import parse_time
    from interop_server.core.limits import EARLIEST_TIME_MS, LATEST_TIME_MS

    try:
        ms = parse_time(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    if not EARLIEST_TIME_MS <= ms <= LATEST_TIME_MS:
        raise click.BadParameter("a clock can begin from the year 2000 to the year 9999.")
    return ms


def _node(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9-]{1,32}", name):
        raise click.BadParameter("the name of a node is 1 to 32 letters, digits and hyphens.")
    return name


def _file(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and not path.name:  # the empty name, too, is a path: that of the folder one is in
        raise click.BadParameter("name a file.")
    return path


def _limits(_context: click.Context, _parameter: click.Parameter, settings: tuple[str, ...]) -> "Limits":
    if not settings:
        from interop_server.core.limits import Limits

        return Limits()
    from interop_server.limit_list import LimitWrong, limits_from

    try:
        return limits_from(settings)
    except LimitWrong as error:
        raise click.BadParameter(str(error)) from error


def _faults(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> "tuple[FaultRule, ...]":
    if path is None:
        return ()
    from interop_protocol.fault_files import FaultFileWrong
    from interop_server.fault_file import load_faults

    try:
        return load_faults(path)
    except FaultFileWrong as error:
        raise click.BadParameter(printable(str(error))) from error


def _location(kind: str, networks: Path | None, limits: "Limits") -> "LocationPolicy":
    from interop_server.core.enlistment.location import Anywhere, EeaNumbers, parse_networks

    if (kind == "networks") != (networks is not None):
        raise click.UsageError("`--location networks` and `--location-networks FILE` go together.")
    if networks is not None:
        try:
            return parse_networks(networks.read_text())
        except (OSError, ValueError) as error:
            raise click.UsageError(f"{networks} cannot be used: {error}.") from error
    return EeaNumbers(limits.eligible_calling_codes) if kind == "number" else Anywhere()


@main.command(epilog="Example: interopsim up --grpc 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0 --db sim.db")
@click.option(
    "--grpc",
    "grpc_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4460",
    show_default=True,
    help="Where clients connect.",
)
@click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4461",
    show_default=True,
    help="Where admin calls go; any client that reaches it controls the simulator.",
)
@click.option(
    "--http",
    "http_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4462",
    show_default=True,
    help="Where HTTP is served.",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_file,
    help="Keep the database in FILE, and blobs in FILE.blobs. Without it everything is gone at exit.",
)
@click.option(
    "--node",
    metavar="NAME",
    default="node-1",
    show_default=True,
    callback=_node,
    help="The name of this process in its journal.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=_file,
    help="Append every decision to FILE, one line of JSON each. `interopsim journal` shows the newest without it.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="Record what goes over chat channels from the start. Without it that is recorded while `interopsim trace "
    "--follow` or another reader follows, and costs nothing otherwise.",
)
@click.option(
    "--location",
    type=click.Choice(["off", "number", "networks"]),
    default="off",
    show_default=True,
    help="Where third-party users must be, checked at enlistment and at each connection: anywhere, or in the EEA by "
    "the calling code of their phone number or by their client's network. How WhatsApp tests it is not public: policy.",
)
@click.option(
    "--location-networks",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The networks for `--location networks`, one per line with its country: 203.0.113.0/24 DE.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_limits,
    help="Set a limit; repeatable. What is not public is policy, hence a limit: `interopsim limits` lists them all.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=_faults,
    help="Do wrong on purpose from the start, as the TOML in FILE says; `interopsim faults` adds more. docs/faults.md.",
)
@click.option("--require-fired", is_flag=True, help="Exit with status 1 at the end if a fault never did anything.")
@click.option(
    "--freeze-at",
    "freeze_at_ms",
    metavar="TIME",
    callback=_time,
    help="Start with a clock that stands still at TIME, such as 2026-01-01T00:00:00Z; `interopsim clock` moves it.",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Derive ids and keys from N: the same N and the same inputs in the same order give the same ones, except "
    "the key that signs pushes. Unfit for secrets: N reveals them all.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much is logged on stderr.",
)
def up(log_level: str, location: str, location_networks: Path | None, **choices: Any) -> None:
    """Start the simulator and run until Ctrl-C, SIGTERM or SIGHUP.

    Prints one line of JSON on stdout when it is ready: {"event": "ready", "grpc": …, "admin": …, "http": …,
    "root_public_key": …, "db": …, "pid": …, "version": …}. Port 0 lets the system choose a port.
    """
    logging.basicConfig(
        stream=PrintableLog(sys.stderr),
        level=log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    gc.disable()  # objects made at start stay; collecting among them took a fifth of the time until ready
    from interop_server.config import Config

    config = Config(**choices, location=_location(location, location_networks, choices["limits"]))
    from interop_server.addresses import AddressUnusable
    from interop_server.app import ClockBehind, FileUnusable
    from interop_server.process import NeverFired, NotHeard, hold_standard_streams, serve
    from interop_server.runtime.files import raise_file_limit
    from interop_server.storage import WrongDatabase

    raise_file_limit()

    # The database thread must run even while the event loop is busy: 5 ms, the default, is as long as ten commits.
    sys.setswitchinterval(0.0005)
    try:
        hold_standard_streams()
        asyncio.run(serve(config))
    except (AddressUnusable, ClockBehind, FileUnusable, NeverFired, NotHeard, WrongDatabase) as error:
        raise click.ClickException(str(error)) from error
    finally:
        gc.enable()


@main.command(epilog="Example: interopsim limits --policy")
@click.option("--policy", "only_policy", is_flag=True, help="Only those whose value is the simulator's own choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: name → value, purpose, policy.")
def limits(only_policy: bool, as_json: bool) -> None:
    """List the limits that `interopsim up --limit NAME=VALUE` sets, with the purpose and origin of each."""
    from interop_server.limit_list import list_limits

    entries = [entry for entry in list_limits() if entry.is_policy or not only_policy]
    if as_json:
        click.echo(
            json.dumps(
                {
                    entry.name: {"value": entry.value, "purpose": entry.purpose, "policy": entry.is_policy}
                    for entry in entries
                }
            )
        )
        return
    for entry in entries:
        value = ",".join(entry.value) if isinstance(entry.value, tuple) else entry.value
        click.echo(f"{entry.name}={value}\n    {entry.purpose}")
