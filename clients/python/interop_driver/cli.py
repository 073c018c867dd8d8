"""The command line of the driver: how it is reached, and how it ends; knows no command of the protocol."""

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

import click

from interop_driver.frames import MessageMalformed
from interop_driver.pipes import NoPipe, drive_over_pipes
from interop_driver.service import driver_server
from interop_protocol.printable import PrintableLog, json_line, printable

MAX_PORT = 65_535
STOP_SECONDS = 1.0
"""How long runs may go on after a signal."""


def _address(_context: click.Context, _parameter: click.Parameter, address: str | None) -> str | None:
    """Refuses a port that is none, which gRPC would take for another one."""
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if host and re.fullmatch("[0-9]{1,5}", port) and int(port) <= MAX_PORT:
        return address
    raise click.BadParameter(f"{printable(address)!r} must be HOST:PORT, with a port from 0 to {MAX_PORT}.")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--listen", metavar="HOST:PORT", help="Serve ClientDriver there; port 0 lets the system choose.", callback=_address
)
def main(listen: str | None) -> None:
    """Let a conformance kit drive the SDK as a third-party client.

    On stdin and stdout, as interop_api/conformance/v1/driver.proto says, until stdin ends; logs go to stderr. With
    --listen as a gRPC server until Ctrl-C or SIGTERM: prints one line of JSON on stdout when it is ready.

    Example: python -m interop_driver --listen 127.0.0.1:0
    """
    logging.basicConfig(
        stream=PrintableLog(sys.stderr), level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    with tempfile.TemporaryDirectory(prefix="interop-driver-") as folder:
        work = drive_over_pipes(Path(folder)) if listen is None else _serve(listen, Path(folder))
        try:
            asyncio.run(_until_signal(work))
        except (MessageMalformed, NoPipe) as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(2) from error
        except RuntimeError as error:
            raise click.ClickException(f"cannot serve on {listen}: {error}") from error


async def _until_signal(work: Awaitable[None]) -> None:
    running = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


async def _serve(address: str, folder: Path) -> None:
    server = driver_server(folder)
    host = address.rpartition(":")[0]
    port = server.add_insecure_port(address)
    await server.start()
    click.echo(json_line({"event": "ready", "driver": f"{host}:{port}", "pid": os.getpid()}))
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(STOP_SECONDS)
