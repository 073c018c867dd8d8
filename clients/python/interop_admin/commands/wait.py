"""`interopsim wait`: waits until a simulator is ready; starts none."""

import asyncio
import time

import click

from interop_admin.commands.common import Number, admin_address_now, admin_option_late, interrupts_waiting

_LOOK_SECONDS = 0.1
"""How often it is looked."""


@click.command(epilog="Example: interopsim wait --timeout 10")
@click.option(
    "--timeout",
    "seconds",
    type=Number(min=0, max=86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after so long, with exit status 1.",
)
@admin_option_late
def wait(seconds: float, admin_address: str | None) -> None:
    """Wait until a simulator is ready: it answers, and all that it stores with works."""
    if not asyncio.run(_is_ready_within(seconds, admin_address)):
        raise click.ClickException(f"no simulator was ready within {seconds:g} seconds.")


async def _is_ready_within(seconds: float, admin_address: str | None) -> bool:
    with interrupts_waiting():
        from interop_admin.client import AdminClient
        from interop_admin.endpoint import endpoint_at
        from interop_client.errors import ServerRefusal

    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        try:
            async with AdminClient(endpoint_at(admin_address or admin_address_now())) as admin:
                if await admin.check(max(left, _LOOK_SECONDS)):
                    return True
        except ServerRefusal:
            pass
        if time.monotonic() + _LOOK_SECONDS > end:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
