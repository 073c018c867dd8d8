"""The `interopsim` command; each subcommand loads its own code, so that asking for help costs nothing."""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from interop_protocol.printable import printable
from interop_server.option_values import (
    AUTO,
    USUAL_PEOPLE,
    check_stores,
    complete_limit,
    read_address,
    read_blobs,
    read_bus,
    read_faults,
    read_file,
    read_limits,
    read_location,
    read_name,
    read_node,
    read_otlp,
    read_store,
    read_time,
    read_tls,
    read_workbench,
    warn_of_remote,
)

_ELSEWHERE = {
    "audit": "interop_admin.commands.audit:audit",
    "completion": "interop_server.completion_command:completion",
    "ca": "interop_admin.commands.ca:ca",
    "check": "interop_admin.commands.check:check",
    "conformance": "interop_conformance.cli:conformance",
    "clock": "interop_admin.commands.clock:clock",
    "doctor": "interop_admin.commands.doctor:doctor",
    "env": "interop_admin.commands.env:env",
    "reset": "interop_admin.commands.reset:reset",
    "run": "interop_admin.commands.run:run",
    "start": "interop_admin.commands.start:start",
    "status": "interop_admin.commands.status:status",
    "stop": "interop_admin.commands.stop:stop",
    "wait": "interop_admin.commands.wait:wait",
    "demo": "interop_demo.cli:demo",
    "docs": "interop_server.shipped_commands:docs",
    "protos": "interop_server.shipped_commands:write_protos",
    "requirements": "interop_server.requirements_command:requirements",
    "journal": "interop_admin.commands.journal:journal",
    "explain": "interop_admin.commands.explain:explain",
    "faults": "interop_admin.commands.faults:faults",
    "trace": "interop_admin.commands.trace:trace",
    "partner": "interop_admin.commands.partner:partner",
    "token": "interop_workbench.commands.token:token",
    "user": "interop_workbench.commands.user:user",
    "vectors": "interop_server.shipped_commands:write_vectors",
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a command; of one that is none, says which is near: click knows only those that are in this module."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            if near := get_close_matches(args[0], self.list_commands(ctx), 1):
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the subcommands, each with its whole first sentence, however narrow the terminal is."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1_000)) for name, each in commands if each is not None])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="interopsim", prog_name="interopsim")
@click.pass_context
def main(context: click.Context) -> None:
    """A reference interop server simulator: WhatsApp's documented third-party chats protocol, on your laptop.

    Not for production, never contacts Meta. Start with `interopsim demo`.
    """
    if context.invoked_subcommand != "run":  # whose command may want them
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's own lines; what goes wrong is said in a sentence


class _ToldBefore(click.ClickException):
    """Wrong use of which another process has said what is wrong."""

    exit_code = 2


class _Up(click.Command):
    """The command whose `--tls` takes one word, or two files."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        doubled: list[str] = []
        for each in args:
            before = doubled[-1] if doubled else ""
            doubled += [each, each] if before == "--tls" and each == AUTO else [each]
        return super().parse_args(ctx, doubled)


@main.command(
    cls=_Up, epilog="Example: interopsim up --grpc 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0 --db sim.db"
)
@click.option(
    "--grpc",
    "grpc_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4460",
    callback=read_address,
    show_default=True,
    help="Where clients connect.",
)
@click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4461",
    callback=read_address,
    show_default=True,
    help="Where admin calls go; any client that reaches it controls the simulator.",
)
@click.option(
    "--http",
    "http_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4462",
    callback=read_address,
    show_default=True,
    help="Where HTTP is served.",
)
@click.option(
    "--tls",
    nargs=2,
    metavar="auto | CERT KEY",
    callback=read_tls,
    help="Speak TLS on all three, and for --metrics: with `auto` by an authority made at the start, which the ready "
    "line and `interopsim ca` have; or with the files CERT and KEY, as PEM.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Allow addresses that other machines reach. Admin calls then need the token of the ready line.",
)
@click.option(
    "--metrics",
    "metrics_address",
    metavar="HOST:PORT",
    callback=read_address,
    help="Serve what is counted, in the form of Prometheus, under /metrics. Off without it.",
)
@click.option(
    "--otlp",
    "otlp_url",
    metavar="URL",
    callback=read_otlp,
    help="Send a span of each call to the OpenTelemetry collector at URL, such as http://127.0.0.1:4318, by OTLP over "
    "HTTP. Needs `pip install 'interopsim[otel]'`. Off without it.",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=read_file,
    help="Keep the database in FILE, and blobs in FILE.blobs. Without it everything is gone at exit.",
)
@click.option(
    "--store",
    metavar="URL",
    callback=read_store,
    help="Keep the database on a PostgreSQL server, at postgresql://USER@HOST:PORT/DATABASE, instead of in a file. "
    "Needs `pip install interopsim[cluster]`; a password can also stand in PGPASSWORD or in ~/.pgpass.",
)
@click.option(
    "--blobs",
    metavar="PLACE",
    callback=read_blobs,
    help="Keep blobs in a folder, or in an object store at s3://BUCKET/PREFIX, gs://… or az://…, which needs "
    "`pip install 'interopsim[cluster]'` and takes keys and endpoints from the environment. With --store and without "
    "--blobs they are gone at exit.",
)
@click.option(
    "--bus",
    metavar="URL",
    callback=read_bus,
    help="Be one of several nodes of one world, which share --store and --blobs and meet on a NATS server, at "
    "nats://USER:PASSWORD@HOST:PORT/PREFIX. Needs `pip install interopsim[cluster]`. See `interopsim docs scale`.",
)
@click.option(
    "--node",
    metavar="NAME",
    default="node-1",
    show_default=True,
    callback=read_node,
    help="The name of this process in its journal, and among the nodes of its world.",
)
@click.option(
    "--name",
    metavar="NAME",
    callback=read_name,
    help="What `interopsim status` and others call this simulator; otherwise its process id.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    callback=read_file,
    help="Append every decision to FILE, one line of JSON each. `interopsim journal` shows the newest without it.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="Record what goes over chat channels from the start. Without it that is recorded while `interopsim trace "
    "--follow` or another reader follows, and costs nothing otherwise. On with --people and --ui.",
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
    callback=read_limits,
    shell_complete=complete_limit,
    help="Set a limit; repeatable. What is not public is policy, hence a limit: `interopsim limits` lists them all.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    callback=read_faults,
    help="Do wrong on purpose from the start, as the TOML in FILE says; `interopsim faults` adds more. For how, see "
    "`interopsim docs faults`.",
)
@click.option(
    "--until-stdin-ends",
    is_flag=True,
    help="Stop when standard input ends, too: for a program that starts a simulator and must leave none behind, "
    "however it ends. Give it a pipe and keep the other end.",
)
@click.option("--require-fired", is_flag=True, help="Exit with status 1 at the end if a fault never did anything.")
@click.option(
    "--freeze-at",
    "freeze_at_ms",
    metavar="TIME",
    callback=read_time,
    help="Start with a clock that stands still at TIME, such as 2026-01-01T00:00:00Z; `interopsim clock` moves it.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Derive ids and keys from N: the same N and the same inputs in the same order give the same ones, except "
    "the key that signs pushes. Unfit for secrets: N reveals them all.",
)
@click.option(
    "--people",
    is_flag=False,
    flag_value=USUAL_PEOPLE,
    metavar="[FILE]",
    help="Bring people to talk to, and a messenger of which your client's users can be: Pigeon. FILE, in TOML, has a "
    "cast of your own. Without FILE, Echo, Ada and others come: `interopsim user list` shows them.",
)
@click.option(
    "--ui/--no-ui",
    default=None,
    help="Serve a page on loopback that shows phones, wire, journal, clock and faults. On with --people.",
)
@click.option("--ui-control", is_flag=True, help="Let the page write messages, move the clock and add faults too.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="How much is logged on stderr.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How the log is written: for people, or one JSON object a line, for programs.",
)
def up(log_level: str, log_format: str, location: str, location_networks: Path | None, **choices: Any) -> None:
    """Start the simulator and run until Ctrl-C, SIGTERM or SIGHUP.

    Prints one line of JSON on stdout when it is ready: {"event": "ready", "grpc": …, "admin": …, "http": …,
    "root_public_key": …, "db": …, "pid": …, "version": …}, with --people also `partner`, `people` and `workbench`,
    with --blobs also `blobs`.
    Port 0 lets the system choose a port.
    """
    from interop_server.log import log_to

    log_to(sys.stderr, log_level.upper(), as_json=log_format == "json")
    _prepare_to_load()
    gc.disable()  # objects made at start stay; collecting among them took a fifth of the time until ready
    from interop_server.config import Config

    check_stores(choices)
    workbench = read_workbench(choices.pop("people"), choices.pop("ui"), choices.pop("ui_control"))
    choices["trace"] = choices["trace"] or workbench is not None
    names = ("grpc_address", "admin_address", "http_address", "metrics_address")
    addresses = [choices[name] for name in names if choices[name]]
    warn_of_remote(addresses, is_allowed=choices["allow_remote"], is_tls=bool(choices["tls"]))
    config = Config(
        **choices, location=read_location(location, location_networks, choices["limits"]), workbench=workbench
    )
    from interop_server.addresses import AddressUnusable
    from interop_server.app import ClockBehind
    from interop_server.blobs import BlobsUnusable
    from interop_server.nodes import BusUnusable, PeopleElsewhere
    from interop_server.places import FileUnusable
    from interop_server.process import NeverFired, NotHeard, PeopleMissing, hold_standard_streams, serve
    from interop_server.state_file import NameTaken
    from interop_server.storage import WrongDatabase, WrongStore

    failures = (AddressUnusable, ClockBehind, FileUnusable, NameTaken, NeverFired, NotHeard, WrongDatabase)

    # The database thread must run even while the event loop is busy: 5 ms, the default, is as long as ten commits.
    sys.setswitchinterval(0.0005)
    try:
        hold_standard_streams()
        asyncio.run(serve(config))
    except WrongStore as error:
        raise click.UsageError(printable(str(error))) from error
    except failures as error:
        raise click.ClickException(printable(str(error))) from error
    except (BlobsUnusable, BusUnusable, PeopleElsewhere) as error:
        raise click.UsageError(printable(str(error))) from error
    except PeopleMissing as error:
        raise (_ToldBefore if error.is_wrong_use else click.ClickException)(str(error)) from error
    finally:
        gc.enable()


def _prepare_to_load() -> None:
    """Makes sure that files can be opened, and that Ctrl-C ends the process at once: nothing needs an end yet.

    As an exception it would come up anywhere in what is being loaded, which makes another of it. `serve` hears of it
    again.
    """
    from interop_server.runtime.files import FilesTooFew, raise_file_limit

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        raise_file_limit()
    except FilesTooFew as error:
        raise click.ClickException(str(error)) from error


@main.command(epilog="Example: interopsim limits --policy")
@click.option("--policy", "only_policy", is_flag=True, help="Only those whose value is the simulator's own choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: name → value, purpose, policy, scope.")
def limits(only_policy: bool, as_json: bool) -> None:
    """List the limits that `interopsim up --limit NAME=VALUE` sets: default, purpose and origin of each.

    A simulator that runs may have been started with others.
    """
    from interop_server.limit_list import list_limits

    entries = [entry for entry in list_limits() if entry.is_policy or not only_policy]
    if as_json:
        click.echo(
            json.dumps(
                {
                    entry.name: {
                        "value": entry.value,
                        "purpose": entry.purpose,
                        "policy": entry.is_policy,
                        "scope": entry.about.scope,
                    }
                    for entry in entries
                }
            )
        )
        return
    for entry in entries:
        value = ",".join(entry.value) if isinstance(entry.value, tuple) else entry.value
        click.echo(f"{entry.name}={value}\n    {entry.purpose}")
