"""`interopsim reset`: a clean world in a running simulator; knows nothing of what is in one."""

from typing import TYPE_CHECKING

import click

from interop_admin.commands.common import admin_option, call_admin

if TYPE_CHECKING:
    from interop_admin.client import AdminClient


@click.command(epilog="Example: interopsim reset")
@admin_option
def reset(admin_address: str) -> None:
    """Begin with a clean world in the simulator that runs; returns when it has begun.

    All that is stored or remembered is gone, also in the database of --db or --store. The journal begins anew, and
    clock and faults are as `interopsim up` was told. Addresses and the server's keys stay. All connections end: clients
    enlist again.
    """
    call_admin(admin_address, _reset)
    click.echo("A clean world has begun.")


async def _reset(admin: "AdminClient") -> None:
    from interop_admin.client import WorldNotBegun

    try:
        await admin.reset()
    except WorldNotBegun as error:
        raise click.ClickException(error.advice) from error
