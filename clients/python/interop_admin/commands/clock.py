"""`interopsim clock`: shows and moves the clock of a running simulator; knows no timer."""

import re
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interop_admin.commands.clock_progress import with_progress
from interop_admin.commands.common import Commands, admin_option, call_admin, json_option
from interop_protocol.printable import json_line, printable
from interop_protocol.times import format_time, parse_duration, parse_time

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1alpha1 import clock_pb2

T = TypeVar("T")

INTERRUPTED = 130


class Written(click.ParamType[int]):
    """A parameter with a notation of its own.

    Args:
        name: The name of the type in help texts.
        read: Reads the notation; the message of its ValueError says how to write a value.
    """

    def __init__(self, name: str, read: Callable[[str], int]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Reads the value from the command line."""
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.group(cls=Commands)
def clock() -> None:
    """Show, freeze and move the clock of a running simulator.

    Every timer that falls due during a move fires, in order, before the command ends. A move that takes long shows how
    far it has come. Ctrl-C ends it where it is.
    """


@clock.command(epilog="Example: interopsim clock show --json")
@admin_option
@json_option
def show(admin_address: str, as_json: bool) -> None:
    """Show the simulator's time."""
    _print(call_admin(admin_address, lambda admin: admin.get_clock()), None, as_json)


@clock.command(epilog="Example: interopsim clock freeze --at 2027-01-01T00:00:00Z")
@click.option(
    "--at",
    "at_ms",
    metavar="TIME",
    type=Written("time", parse_time),
    help="Move it forward to TIME first, such as 2027-01-01T00:00:00Z.",
)
@admin_option
@json_option
def freeze(at_ms: int | None, admin_address: str, as_json: bool) -> None:
    """Let time stand still until it is advanced or resumed."""
    answer = _move(admin_address, lambda admin: admin.freeze_clock(at_ms), as_json)
    _print(answer.clock, None if at_ms is None else answer.fired, as_json)


class _Forward(click.Command):
    """A command whose duration cannot be taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for each in args:
            if re.match("-[0-9]", each):
                raise click.UsageError(
                    f"time does not go backwards, as {printable(ascii(each))} would: advance 5d.", ctx
                )
        return super().parse_args(ctx, args)


@clock.command(cls=_Forward, epilog="Example: interopsim clock advance 1d12h")
@click.argument("duration_ms", metavar="DURATION", type=Written("duration", parse_duration))
@admin_option
@json_option
def advance(duration_ms: int, admin_address: str, as_json: bool) -> None:
    """Move time forward by DURATION, such as 30d, 12h, 5m, 90s, 250ms, or a sum such as 1d12h."""
    answer = _move(admin_address, lambda admin: admin.advance_clock(duration_ms), as_json)
    _print(answer.clock, answer.fired, as_json)


@clock.command(epilog="Example: interopsim clock resume")
@admin_option
@json_option
def resume(admin_address: str, as_json: bool) -> None:
    """Let time run on from the time at which it stands."""
    _print(call_admin(admin_address, lambda admin: admin.resume_clock()), None, as_json)


def _move(admin_address: str, move: "Callable[[AdminClient], Coroutine[object, object, T]]", as_json: bool) -> T:
    try:
        return call_admin(admin_address, lambda admin: with_progress(admin, move(admin), is_shown=not as_json))
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None  # what became of it has been said


def _print(clock: "clock_pb2.ClockState", fired: "Iterable[clock_pb2.FiredTimers] | None", as_json: bool) -> None:
    counts = None if fired is None else {timers.name: timers.count for timers in fired}
    now = format_time(clock.now_ms)
    if as_json:
        shown = {"now_ms": clock.now_ms, "now": now, "is_frozen": clock.is_frozen}
        click.echo(json_line(shown if counts is None else {**shown, "fired": counts}))
        return
    click.echo(f"{now}, {'frozen' if clock.is_frozen else 'running'}")
    if counts is not None:
        click.echo(
            "Fired: "
            + (", ".join(f"{printable(name)} {count}" for name, count in counts.items()) or "nothing fell due")
        )
