"""The command line of the workbench, which `interopsim up --people` starts; ends when its standard input does."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from interop_protocol.printable import PrintableLog, json_line, printable

if TYPE_CHECKING:
    from interop_protocol.endpoint import Endpoint
    from interop_workbench.bench import PageChoice
    from interop_workbench.cast import Cast


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--simulator", metavar="JSON", help="The ready line of the simulator; without it the cast is only read.")
@click.option("--people", "cast_file", type=click.Path(path_type=Path), help="The cast; without it, the usual one.")
@click.option("--nobody", is_flag=True, help="No messenger and no people: only the page.")
@click.option("--ui", "has_page", is_flag=True, help="Serve the page.")
@click.option("--ui-control", "is_in_control", is_flag=True, help="Let the page change things.")
@click.option("--seed", type=int, help="Derive the ids of messages from this number.")
def main(
    simulator: str | None,
    cast_file: Path | None,
    nobody: bool,
    seed: int | None,
    has_page: bool,
    is_in_control: bool,
) -> None:
    """Run a messenger and people beside a simulator, until standard input ends."""
    from interop_admin.commands.common import WrongUse
    from interop_client.errors import ServerRefusal
    from interop_protocol.endpoint import Endpoint
    from interop_workbench.bench import PageChoice
    from interop_workbench.cast import NOBODY, CastWrong, default_cast, load_cast
    from interop_workbench.person import NotPossible

    logging.basicConfig(
        stream=PrintableLog(sys.stderr), level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        cast = NOBODY if nobody else load_cast(cast_file) if cast_file else default_cast()
    except CastWrong as error:
        raise WrongUse(
            printable(f"--people: {error}")
        ) from error  # of another command than this one, so without its usage
    if simulator is None:
        return
    try:
        endpoint = Endpoint.from_ready_line(simulator)
    except ValueError as error:
        raise click.UsageError(f"--simulator: {error}") from error
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever interrupts both: the simulator hears it, and closes the pipe
    try:
        asyncio.run(_run(endpoint, cast, seed, PageChoice(has_page, is_in_control)))
    except (NotPossible, ServerRefusal, OSError) as error:
        is_wrong = isinstance(error, NotPossible) and error.is_wrong_use
        raise (WrongUse if is_wrong else click.ClickException)(
            printable(f"the people did not come: {error}")
        ) from error


async def _run(endpoint: "Endpoint", cast: "Cast", seed: int | None, page: "PageChoice") -> None:
    ended = _end_of_input()
    living = asyncio.create_task(_live(endpoint, cast, seed, page))
    await asyncio.wait((living, ended), return_when=asyncio.FIRST_COMPLETED)
    living.cancel()  # also while it begins: the simulator waits for the end
    with contextlib.suppress(asyncio.CancelledError):
        await living


async def _live(endpoint: "Endpoint", cast: "Cast", seed: int | None, page: "PageChoice") -> None:
    """Is there until it is cancelled."""
    from interop_workbench.bench import Bench

    with TemporaryDirectory(prefix="interopsim-people-") as folder:
        async with Bench(endpoint, cast, Path(folder), seed, page) as bench:
            click.echo(json_line(bench.facts()))
            await asyncio.Event().wait()


def _end_of_input() -> "asyncio.Future[None]":
    """Returns what is done when standard input has ended, as the pipe from the simulator does with it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        if not os.read(0, 4_096) and not ended.done():
            loop.remove_reader(0)
            ended.set_result(None)

    def finish() -> None:
        if not ended.done():
            ended.set_result(None)

    with contextlib.suppress(PermissionError):  # a file cannot be waited for, and has an end at once
        loop.add_reader(0, read)
    loop.add_signal_handler(signal.SIGTERM, finish)
    return ended
