"""The part that all commands share: options, and a call whose refusal becomes a sentence; knows no single command.

Only click is imported before a command runs, so that help is fast.
"""

import asyncio
import math
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interop_protocol.printable import printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient

T = TypeVar("T")

_GONE = ("UNAVAILABLE", "CANCELLED", "UNKNOWN")
"""What a stream ends with whose server has gone."""


_ALONE = "node-1"
"""What a simulator is called that was given no name as a node."""
DEFAULT_ADMIN = "127.0.0.1:4461"
"""Where a simulator without flags takes admin calls."""
ANSWER_SECONDS = 5.0
"""How long a simulator may be silent before a command says so."""


def admin_address_now() -> str:
    """Returns the address of the simulator that is meant when no flag names one.

    Raises:
        UsageError: It is not clear which is meant.
    """
    with interrupts_waiting():
        from interop_admin.endpoint import NoneRuns, NotFound, find_endpoint

    try:
        return find_endpoint().admin
    except NoneRuns:  # perhaps one whose word could not be left, or another user's
        return DEFAULT_ADMIN
    except NotFound as error:
        raise click.UsageError(str(error)) from error


admin_option = click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    default=admin_address_now,
    show_default="that of the ready line in INTEROPSIM, or of the one simulator of yours that runs",
    help="Where the simulator takes admin calls.",
)
admin_option_late = click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    help="Where the simulator takes admin calls; otherwise that of INTEROPSIM, or of the one that comes to run.",
)
after_option = click.option(
    "--after",
    "resume_token",
    default="",
    metavar="TOKEN",
    help="Only entries after the one with this `resume_token`, which --json shows.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class WrongUse(click.ClickException):
    """What was asked for cannot be asked for; the simulator has said why."""

    exit_code = 2


class Number(click.FloatRange):
    """A number in a range; click's own takes `nan`, which is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


class Commands(click.Group):
    """A group that lists its commands each with the whole first sentence, however narrow the terminal is."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(1_000)) for name, each in sorted(self.commands.items())])


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """Has an interrupt wait for the end of the block: gRPC, while it is loaded, makes another error of it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def call_admin(admin_address: str, call: "Callable[[AdminClient], Awaitable[T]]") -> T:
    """Makes calls to a running simulator and returns their result.

    Raises:
        ClickException: The simulator refused, or cannot be reached; the message is a sentence that says what to do.
    """
    with interrupts_waiting():
        from interop_admin.client import AdminClient
        from interop_admin.endpoint import endpoint_at
        from interop_client.errors import ServerRefusal

    async def run() -> T:
        async with AdminClient(endpoint_at(admin_address)) as admin:
            await admin.check(ANSWER_SECONDS)
            return await call(admin)

    try:
        return asyncio.run(run())
    except ServerRefusal as refusal:
        if refusal.reason in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
            raise click.ClickException(
                f"no simulator answers at {printable(admin_address)}: start one with `interopsim up`, or name with "
                "--admin the address that its ready line calls `admin`, or set INTEROPSIM to that line."
            ) from refusal
        if refusal.reason == "UNIMPLEMENTED":
            raise click.ClickException(
                f"{printable(admin_address)} is not the admin address of a simulator."
            ) from refusal
        refused = WrongUse if refusal.violations else click.ClickException
        raise refused(printable(str(refusal))) from refusal


def read_admin(admin_address: str, read: "Callable[[AdminClient], Awaitable[T]]", *, follow: bool) -> None:
    """Reads a stream of a running simulator to its end, or to Ctrl-C: that is how following ends.

    Raises:
        ClickException: As `call_admin`.
    """

    async def read_to_the_end(admin: "AdminClient") -> None:
        from interop_client.errors import ServerRefusal

        try:
            await read(admin)
        except ServerRefusal as refusal:
            if not follow or refusal.reason not in _GONE:
                raise
            click.echo("The simulator has stopped, or has begun with a clean world.", err=True)

    try:
        call_admin(admin_address, read_to_the_end)
    except KeyboardInterrupt:
        raise SystemExit(0 if follow else 130) from None


def word_of(values: Iterable[tuple[str, int]], number: int, prefix: str) -> str:
    """Returns the name of a value without its prefix, in lower case; the number, when a newer server has sent it."""
    names = {value: name for name, value in values}
    return names.get(number, str(number)).removeprefix(prefix).lower()


def number_of(number: int, node: str) -> str:
    """Returns how an entry is called that a node has numbered: #7, and #7@b of a node that has a name."""
    return f"#{number}" if node in ("", _ALONE) else f"#{number}@{printable(node)}"


def tell_silent(nodes: "Iterable[str]") -> None:
    """Says on stderr which nodes of a world did not answer: what they know is missing from what is shown."""
    if names := ", ".join(map(printable, nodes)):
        click.echo(f"No answer from {names}: what is known there is missing", err=True)


def tell_missed(missed: int) -> None:
    """Says on stderr that entries came too late."""
    if missed:
        click.echo(f"{missed} older entries are no longer kept", err=True)
