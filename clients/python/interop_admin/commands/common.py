"""The part that all commands share: options, and a call whose refusal becomes a sentence; knows no single command.

Only click is imported before a command runs, so that help is fast.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import click

from interop_protocol.printable import printable

if TYPE_CHECKING:
    from interop_admin.client import AdminClient

T = TypeVar("T")


def _admin_address() -> str:
    """Returns the address in INTEROPSIM, which holds the ready line of a simulator, or that of one without flags."""
    from interop_admin.endpoint import Endpoint

    line = os.environ.get("INTEROPSIM")
    if not line:
        return "127.0.0.1:4461"
    try:
        return Endpoint.from_ready_line(line).admin
    except ValueError as error:
        raise click.UsageError("Set INTEROPSIM to the line that `interopsim up` prints, or unset it.") from error


admin_option = click.option(
    "--admin",
    "admin_address",
    metavar="HOST:PORT",
    default=_admin_address,
    show_default="that of the ready line in INTEROPSIM, or else 127.0.0.1:4461",
    help="Where the simulator takes admin calls.",
)
after_option = click.option(
    "--after",
    "resume_token",
    default="",
    metavar="TOKEN",
    help="Only entries after the one with this `resume_token`, which --json shows.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def call_admin(admin_address: str, call: "Callable[[AdminClient], Awaitable[T]]") -> T:
    """Makes calls to a running simulator and returns their result.

    Raises:
        ClickException: The simulator refused, or cannot be reached, or an argument is no text; the message is a
            sentence that says what to do.
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
                "address that its ready line calls `admin`, or set INTEROPSIM to that line."
            ) from refusal
        if refusal.reason == "UNIMPLEMENTED":
            raise click.ClickException(f"{admin_address} is not the admin address of a simulator.") from refusal
        raise click.ClickException(printable(str(refusal))) from refusal
    except UnicodeEncodeError as error:  # of an argument: the system hands on what is no UTF-8 as surrogates
        raise click.UsageError(f"{printable(ascii(error.object))} is no text in UTF-8.") from error


def read_admin(admin_address: str, read: "Callable[[AdminClient], Awaitable[T]]", *, follow: bool) -> None:
    """Reads a stream of a running simulator to its end, or to Ctrl-C: that is how following ends.

    Raises:
        ClickException: As `call_admin`.
    """
    try:
        call_admin(admin_address, read)
    except KeyboardInterrupt:
        raise SystemExit(0 if follow else 130) from None


def word_of(values: Iterable[tuple[str, int]], number: int, prefix: str) -> str:
    """Returns the name of a value without its prefix, in lower case; the number, when a newer server has sent it."""
    names = {value: name for name, value in values}
    return names.get(number, str(number)).removeprefix(prefix).lower()


def tell_missed(missed: int) -> None:
    """Says on stderr that entries came too late."""
    if missed:
        click.echo(f"{missed} older entries are no longer kept", err=True)
