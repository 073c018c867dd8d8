"""Commands for whoever operates a running simulator, over its admin port; knows nothing of how it is started.

Nothing but click is imported before a command runs: asking for help costs nothing.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interop_protocol.times import format_time, parse_duration, parse_time

if TYPE_CHECKING:
    from interop_admin.client import AdminClient
    from interop_api.admin.v1 import clock_pb2, standing_pb2

T = TypeVar("T")

admin_option = click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    default="127.0.0.1:4461",
    show_default=True,
    help="Where the simulator takes admin calls.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def call_admin(admin_address: str, call: "Callable[[AdminClient], Awaitable[T]]") -> T:
    """Makes calls to a running simulator and returns what came of them.

    Raises:
        ClickException: The simulator refused, or none is there; the message is a sentence that says what to do.
    """
    from interop_admin.client import AdminClient
    from interop_client.errors import ServerRefusal

    async def run() -> T:
        async with AdminClient(admin_address) as admin:
            return await call(admin)

    try:
        return asyncio.run(run())
    except ServerRefusal as refusal:
        if refusal.reason in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            raise click.ClickException(
                f"no simulator answers at {admin_address}: start one with `interopsim up`, or name with --admin the "
                "address that its ready line calls `admin`."
            ) from refusal
        if refusal.reason == "UNIMPLEMENTED":
            raise click.ClickException(f"{admin_address} is not the admin address of a simulator.") from refusal
        raise click.ClickException(str(refusal)) from refusal


class Written(click.ParamType[int]):
    """A value that has a notation of its own.

    Args:
        name: What it is called in help.
        read: Reads the notation; its ValueError says how to write one.
    """

    def __init__(self, name: str, read: Callable[[str], int]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Reads what was written on the command line."""
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


@click.group()
def clock() -> None:
    """Show, freeze and move the clock of a running simulator.

    Every timer that falls due while it moves fires, in order, before the command ends.
    """


@clock.command(epilog="Example: interopsim clock show --json")
@admin_option
@json_option
def show(admin_address: str, as_json: bool) -> None:
    """Say what time it is for the simulator."""
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
    answer = call_admin(admin_address, lambda admin: admin.freeze_clock(at_ms))
    _print(answer.clock, None if at_ms is None else answer.fired, as_json)


@clock.command(epilog="Example: interopsim clock advance 1d12h")
@click.argument("duration_ms", metavar="DURATION", type=Written("duration", parse_duration))
@admin_option
@json_option
def advance(duration_ms: int, admin_address: str, as_json: bool) -> None:
    """Move time forward by DURATION, such as 30d, 12h, 5m, 90s, 250ms, or a sum such as 1d12h."""
    answer = call_admin(admin_address, lambda admin: admin.advance_clock(duration_ms))
    _print(answer.clock, answer.fired, as_json)


@clock.command(epilog="Example: interopsim clock resume")
@admin_option
@json_option
def resume(admin_address: str, as_json: bool) -> None:
    """Let time run on from where it stands."""
    _print(call_admin(admin_address, lambda admin: admin.resume_clock()), None, as_json)


def _print(clock: "clock_pb2.Clock", fired: "Iterable[clock_pb2.FiredTimers] | None", as_json: bool) -> None:
    counts = None if fired is None else {timers.name: timers.count for timers in fired}
    now = format_time(clock.now_ms)
    if as_json:
        shown = {"now_ms": clock.now_ms, "now": now, "is_frozen": clock.is_frozen}
        click.echo(json.dumps(shown if counts is None else {**shown, "fired": counts}))
        return
    click.echo(f"{now}, {'frozen' if clock.is_frozen else 'running'}")
    if counts is not None:
        click.echo("Fired: " + (", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing fell due"))


_SHOWN_RECORDS = 3
"""Records of a place that are printed for people: all prekeys of an account look alike."""
_SHOWN_CHARACTERS = 36
"""Of a value: keys are long."""


@click.command(epilog="Example: interopsim audit 100-12345678901234@interop")
@click.argument("jid")
@admin_option
@json_option
def audit(jid: str, admin_address: str, as_json: bool) -> None:
    """Show every field that the simulator keeps about JID, what for, and for how long.

    Of many records of a kind the first three are shown, and of a long value its beginning; --json shows all.
    """

    async def read(admin: "AdminClient") -> "list[list[standing_pb2.KeptField]]":
        return [record async for record in admin.audit_account(jid)]

    records = call_admin(admin_address, read)
    if as_json:
        shown = [
            {"place": record[0].place, "fields": {kept.field: kept.value for kept in record}} for record in records
        ]
        purposes = {f"{kept.place}.{kept.field}": kept.purpose for record in records for kept in record}
        click.echo(json.dumps({"jid": jid, "records": shown, "purposes": purposes}))
        return
    by_place: dict[str, list[list[standing_pb2.KeptField]]] = {}
    for record in records:
        by_place.setdefault(record[0].place, []).append(record)
    for place, kept_there in by_place.items():
        _print_place(place, kept_there)


def _print_place(place: str, records: "list[list[standing_pb2.KeptField]]") -> None:
    first = records[0]
    name_width = max(len(kept.field) for kept in first)
    value_width = max(len(_shown_value(kept.value)) for kept in first)
    _, _, until = first[0].purpose.rpartition("; kept ")
    click.echo(f"{place}: {len(records)} record{'s' if len(records) > 1 else ''}, kept {until}")
    for kept in first:
        what, _, _ = kept.purpose.rpartition("; kept ")
        click.echo(f"  {kept.field:{name_width}}  {_shown_value(kept.value):{value_width}}  {what}")
    for record in records[1:_SHOWN_RECORDS]:
        click.echo("  also " + ", ".join(f"{kept.field} {_shown_value(kept.value)}" for kept in record))
    if (more := len(records) - _SHOWN_RECORDS) > 0:
        click.echo(f"  and {more} more")


def _shown_value(value: str) -> str:
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[: _SHOWN_CHARACTERS - 1]}…"
    return shown or "-"
