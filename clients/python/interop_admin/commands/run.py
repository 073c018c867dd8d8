"""`interopsim run`: a simulator for one command, as long as that runs; knows neither."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import click

from interop_admin.commands.completion import TakesUpOptions, complete_up_value
from interop_admin.commands.env import variables_of
from interop_admin.launch import Launched, NotStarted, end, launch
from interop_protocol.printable import printable

_ANY_PORTS = ("--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "warning")
"""Options of `interopsim up` that others, given later, overrule."""
_NOT_FOUND, _NOT_RUNNABLE, _BY_SIGNAL = 127, 126, 128
"""What shells say of a command that is not there, that cannot be run, and, with its number, that a signal has ended."""
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class _Run(TakesUpOptions):
    """A command whose arguments are split at `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args in (["--help"], ["-h"]):  # click itself splits arguments at one place at most
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        at = args.index("--") if "--" in args else len(args)
        ctx.params = {"options": tuple(args[:at]), "command": tuple(args[at + 1 :])}
        return []


@click.command(cls=_Run, epilog="Example: interopsim run --limit send_burst=1000 -- pytest tests/interop")
@click.argument(
    "options",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[OPTIONS OF `interopsim up`]... --",
    shell_complete=complete_up_value,
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND...")
def run(options: Sequence[str], command: Sequence[str]) -> None:
    """Start a simulator on free ports, run COMMAND with the variables that lead to it, and stop the simulator.

    Ends as COMMAND does. Signals are handed on. The variables are those of `interopsim env`. Only warnings of the
    simulator are shown, unless --log-level says otherwise. With --require-fired, a fault that never did anything makes
    the run fail although COMMAND succeeded. However it ends, its simulator ends too.
    """
    if not command:
        raise click.UsageError("Say what to run, after two hyphens: interopsim run -- pytest.")
    with _forwarding() as children:
        launched = _launch(options)
        try:
            code = _run(command, {**os.environ, **variables_of(launched.line)}, children)
        finally:
            ended = end(launched.process)
    raise SystemExit(code or ended)


def _launch(options: Sequence[str]) -> Launched:
    try:
        return launch((*_ANY_PORTS, *options), None, is_tied=True)
    except NotStarted as error:
        if str(error):
            click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.code) from None


class _Children:
    """The processes to which signals are handed on. While one is about to be there, signals wait for it."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.is_starting = False
        self._waiting: list[int] = []

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Starts a process, and hands on to it what has come meanwhile.

        Raises:
            OSError: It cannot be started.
        """
        self.is_starting = True
        try:
            child = subprocess.Popen(command, env=environment)
            self.started.append(child)
        finally:
            self.is_starting = False
        while self._waiting:
            self.send(self._waiting.pop(0))
        return child

    def send(self, number: int) -> None:
        """Sends a signal to all of them."""
        if self.is_starting:
            self._waiting.append(number)
        for child in self.started:
            with suppress(ProcessLookupError):
                child.send_signal(number)


def _run(command: Sequence[str], environment: Mapping[str, str], children: _Children) -> int:
    try:
        child = children.start(command, environment)
    except FileNotFoundError:
        click.echo(f"Error: there is no command {printable(ascii(command[0]))}.", err=True)
        return _NOT_FOUND
    except OSError as error:
        click.echo(f"Error: {printable(ascii(command[0]))} cannot be run: {error.strerror}.", err=True)
        return _NOT_RUNNABLE
    code = child.wait()
    return _BY_SIGNAL - code if code < 0 else code


@contextmanager
def _forwarding() -> Iterator[_Children]:
    """Hands signals on to processes; while there are none, they end this one, with what it has started.

    Those of the terminal's keys reach the processes without that.
    """
    children = _Children()

    def forward(number: int, _frame: FrameType | None) -> None:
        if not children.started and not children.is_starting:
            raise SystemExit(_BY_SIGNAL + number)
        if number in (signal.SIGINT, signal.SIGQUIT) and _is_in_foreground():
            return
        children.send(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False
