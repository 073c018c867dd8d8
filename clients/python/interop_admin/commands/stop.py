"""`interopsim stop`: ends simulators of this user on this machine; asks no server."""

import os
import signal

import click

from interop_admin.commands.life import meant, name_argument
from interop_admin.launch import END_SECONDS
from interop_admin.running import Running, running_simulators


@click.command(epilog="Example: interopsim stop")
@name_argument
@click.option("--all", "is_all", is_flag=True, help="Every simulator of yours that runs on this machine.")
def stop(name: str | None, is_all: bool) -> None:
    """End the simulator, and return when it has gone: NAME, that of INTEROPSIM, or the only one that runs."""
    if is_all and name is not None:
        raise click.UsageError("Name one, or say --all.")
    running = running_simulators() if is_all else [meant(name)]
    failed = [each.name for each in running if not _stop(each)]
    if failed:
        raise click.ClickException(
            f"not ended within {END_SECONDS:g} seconds: {', '.join(failed)}. It hangs: end it with `kill -9`."
        )
    if not running:
        click.echo("No simulator runs.", err=True)


def _stop(running: Running) -> bool:
    with running.watched() as watch:
        if not running.is_here():
            raise click.ClickException(
                f"{running.name} runs elsewhere, where the process {running.pid} is another one than here: in another "
                "container, say. Stop it there."
            )
        try:
            os.kill(running.pid, signal.SIGTERM)
        except ProcessLookupError:
            return True
        if not watch.ended_within(END_SECONDS):
            return False
    click.echo(f"Stopped {running.name}.")
    return True
