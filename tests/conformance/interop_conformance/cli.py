"""`interopsim conformance`: the command line of the kit; knows no check."""

import asyncio
import sys
from typing import Any

import click
from interop_conformance.partner_cli import partner

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_HELP)
def conformance() -> None:
    """Judge somebody else's client, or messenger's server, requirement by requirement."""


@conformance.command(epilog='Example: interopsim conformance client --command "python -m interop_driver"')
@click.option("--command", default="", metavar="COMMAND", help="The driver of the client, on its stdin and stdout.")
@click.option("--driver", "address", default="", metavar="HOST:PORT", help="A driver that runs already, over gRPC.")
@click.option("--mode", type=click.Choice(["direct", "proxy"]), default="direct", show_default=True)
@click.option("--only", multiple=True, metavar="ID", help="Only this check; repeatable.")
@click.option("--time-factor", type=click.FloatRange(0.1, 100), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
def client(**options: Any) -> None:
    """Judge a client."""
    from interop_conformance.client_run import run_client

    sys.exit(asyncio.run(run_client(**options)))


conformance.add_command(partner)
