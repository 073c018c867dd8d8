"""How far a move of the clock has come, on stderr, while a command waits for it; knows no command."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, TypeVar

import click

from interop_protocol.printable import printable
from interop_protocol.times import format_time

if TYPE_CHECKING:
    from interop_admin.client import AdminClient

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""How long nothing is shown: most moves take less."""
LOOK_SECONDS = 0.2
"""How often it is looked how far the move has come."""


async def with_progress(admin: "AdminClient", move: "Coroutine[object, object, T]", *, is_shown: bool) -> T:
    """Waits for a call that moves the clock; returns its result.

    When the wait is interrupted, the call ends, and a sentence says where the clock is.

    Args:
        admin: The client that makes the call.
        move: The call.
        is_shown: Whether to show how far it has come.
    """
    moving = asyncio.create_task(move)
    try:
        if is_shown and not (await asyncio.wait([moving], timeout=QUIET_SECONDS))[0]:
            await _show(admin, moving)
        return await moving
    except asyncio.CancelledError:
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
        await _say_where(admin)
        raise


async def _show(admin: "AdminClient", moving: "asyncio.Task[T]") -> None:
    # Imported on demand, so that help is fast.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.fields[now]}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[work]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None, now="", work="")
        while not moving.done():
            shown = await admin.get_clock_move()
            if shown.HasField("move"):
                move, now_ms = shown.move, shown.clock.now_ms
                work = f"{printable(move.work)}: {move.done:,}" if move.work else ""
                span_ms, done_ms = max(1, move.to_ms - move.from_ms), now_ms - move.from_ms
                progress.update(bar, total=span_ms, completed=done_ms, now=format_time(now_ms), work=work)
            await asyncio.wait([moving], timeout=LOOK_SECONDS)


async def _say_where(admin: "AdminClient") -> None:
    clock = await admin.get_clock()
    how = "stands at" if clock.is_frozen else "goes on from"
    click.echo(
        f"Interrupted: what fell due until then is done, and the clock {how} {format_time(clock.now_ms)}.", err=True
    )
