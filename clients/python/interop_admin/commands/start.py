"""`interopsim start`: a simulator in the background; knows no option of it."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import click

from interop_admin.commands.completion import TakesUpOptions, complete_up_value
from interop_admin.commands.life import UP_OPTIONS
from interop_admin.launch import Launched, NotStarted, end, launch
from interop_admin.running import running_simulators, this_users_folder
from interop_protocol.printable import printable
from interop_protocol.state_files import LOG_SUFFIX

_STARTING = "starting-"
_LONGEST_START_SECONDS = 600
"""After so long a start has been given up."""
_KEPT_LOGS = 5
"""How many logs of simulators that have ended are kept."""


@click.command(
    cls=TakesUpOptions,
    context_settings=UP_OPTIONS,
    epilog="Example: interopsim start --grpc 127.0.0.1:0 --admin 127.0.0.1:0 --db sim.db",
)
@click.argument(
    "options",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[OPTIONS OF `interopsim up`]...",
    shell_complete=complete_up_value,
)
def start(options: tuple[str, ...]) -> None:
    """Start the simulator in the background; returns when it is ready, and prints its ready line.

    Takes the options of `interopsim up`. Its log is in the state folder, beside the file by which the other commands
    find it. `interopsim stop` ends it.
    """
    folder = this_users_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, unnamed = tempfile.mkstemp(suffix=LOG_SUFFIX, prefix=_STARTING, dir=folder)
    except OSError as error:
        raise click.ClickException(
            f"the log cannot be written to {printable(str(folder))}: {error.strerror}. Name another folder in "
            "INTEROPSIM_STATE."
        ) from error
    log = Path(unnamed)
    with os.fdopen(descriptor, "wb") as stderr:
        try:
            launched = _launch(options, stderr, folder)
        except NotStarted as error:
            _fail(error, log)
        except BaseException:
            log.unlink(missing_ok=True)
            raise
    log.rename(folder / f"{launched.process.pid}{LOG_SUFFIX}")
    _sweep_logs(folder)
    click.echo(launched.line)


def _launch(options: tuple[str, ...], stderr: IO[bytes], folder: Path) -> Launched:
    launched = launch(options, stderr)
    if all(running.pid != launched.process.pid for running in running_simulators()):
        end(launched.process)
        raise NotStarted(
            f"The simulator was ended: it could not leave word in {printable(str(folder))}, by which other commands "
            "find it. Make room there, or name another folder in INTEROPSIM_STATE.",
            1,
        )
    return launched


def _fail(error: NotStarted, log: Path) -> None:
    said = log.read_text(errors="replace").splitlines()
    log.unlink(missing_ok=True)
    for line in said:
        click.echo(printable(line), err=True)
    if str(error):
        click.echo(f"Error: {error}", err=True)
    raise SystemExit(error.code)


def _was_given_up(log: Path) -> bool:
    """Says whether it is that of a start which was killed: the others last no longer than they may take."""
    return log.name.startswith(_STARTING) and time.time() - log.stat().st_mtime > _LONGEST_START_SECONDS


def _sweep_logs(folder: Path) -> None:
    ours = {str(each.pid) for each in running_simulators()}
    with suppress(OSError):
        left = [path for path in folder.glob(f"*{LOG_SUFFIX}") if path.stem not in ours]
        gone = [path for path in left if path.stem.isdigit() or _was_given_up(path)]
        for path in sorted(gone, key=lambda path: path.stat().st_mtime)[:-_KEPT_LOGS]:
            path.unlink(missing_ok=True)
