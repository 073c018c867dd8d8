"""The command line of the partner's server: reads options, runs until a signal; knows nothing of the routes."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click

from interop_protocol.printable import PrintableLog, json_line
from partner_server.server import PartnerServer, PartnerSettings
from partner_server.serving import raise_file_limit
from partner_server.simulator import read_endpoint


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0 lets the system choose.")
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for blobs and auth keys; made when missing.",
)
@click.option("--issuer", default="", help="The `iss` of its tokens; by default the base URL.")
@click.option("--simulator-grpc", metavar="HOST:PORT", help="Where clients of the simulator connect.")
@click.option("--simulator-http", metavar="URL", help="Where the simulator serves its public keys.")
@click.option("--root", metavar="HEX", help="The simulator's root public key.")
def main(
    port: int, data: Path, issuer: str, simulator_grpc: str | None, simulator_http: str | None, root: str | None
) -> None:
    """Run a small third-party messenger server until Ctrl-C or SIGTERM.

    Prints one line of JSON on stdout when it is ready. Serves on loopback only. You can name the simulator later:
    POST /admin/simulator {"grpc": …, "http": …, "root_public_key": …}.

    Example: python -m partner_server --data partner
    """
    given = (simulator_grpc, simulator_http, root)
    try:
        endpoint = read_endpoint(*given) if any(given) else None
    except ValueError as error:
        raise click.UsageError(
            f"--simulator-grpc, --simulator-http and --root go together and name a simulator: {error}"
        ) from error
    logging.basicConfig(
        stream=PrintableLog(sys.stderr), level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    raise_file_limit()
    try:
        asyncio.run(_run(PartnerSettings(folder=data, port=port, issuer=issuer, endpoint=endpoint)))
    except OSError as error:
        raise click.ClickException(f"cannot serve: {error}") from error


async def _run(settings: PartnerSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with PartnerServer(settings) as server:
        ready = {
            "event": "ready",
            "base_url": server.base_url,
            "issuer": server.issuer,
            "push_url": server.push_url,
            "media_url": server.media_url,
            "proxy_url": server.proxy_url,
            "pid": os.getpid(),
        }
        click.echo(json_line(ready))
        await stop.wait()
