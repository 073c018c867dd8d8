"""How long others wait while the server deletes very much at once: what expired while it was off, and on an advance."""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator

from interop_admin.client import AdminClient
from interop_demo.processes import simulator
from interop_server.core.limits import DAY_MS
from tests.bench.filled import fill
from tests.bench.report import Figure, WrongAnswer
from tests.bench.settings import Settings

MESSAGES = 1_000_000
"""Of so long ago that nothing of them is kept."""
LONG_AGO_MS = 1_700_000_000_000
ACCOUNTS = 150_000
"""Who will not connect for thirty days."""


async def measure_sweeping(settings: Settings) -> list[Figure]:
    """Measures the longest write of somebody else, in both cases one write after the other."""
    path = settings.folder / "sweeping.db"
    await fill(path, MESSAGES, ACCOUNTS, LONG_AGO_MS)
    numbers = itertools.count()
    async with (
        simulator(settings.folder / "sweeping.log", path) as server,
        AdminClient(str(server.ready["admin"])) as admin,
    ):
        begun = time.perf_counter()
        after_start = 0.0
        while (await admin.get_statistics()).stored["mailbox"]:
            after_start = max(after_start, await _longest_write(admin, numbers, 20))
        start_seconds, begun = time.perf_counter() - begun, time.perf_counter()
        moving = asyncio.create_task(admin.advance_clock(30 * DAY_MS))
        on_advance = 0.0
        while not moving.done():
            on_advance = max(on_advance, await _longest_write(admin, numbers, 1))
        await moving
        advance_seconds = time.perf_counter() - begun
        if (await admin.get_statistics()).stored["published_keys"]:
            raise WrongAnswer("accounts are left")
    note = (
        f"{MESSAGES:,} messages that expired while the server was off, {start_seconds:.0f} s: {after_start:.0f} ms; "
        f"{ACCOUNTS:,} accounts that expire in an advance of 30 days, {advance_seconds:.0f} s: {on_advance:.0f} ms"
    )
    return [Figure("longest_write_while_sweeping_ms", max(after_start, on_advance), "ms", None, note)]


async def _longest_write(admin: AdminClient, numbers: Iterator[int], count: int) -> float:
    longest = 0.0
    for _ in range(count):
        begun = time.perf_counter()
        await admin.put_whatsapp_user(f"+49160{next(numbers):08}", os.urandom(32))
        longest = max(longest, time.perf_counter() - begun)
    return longest * 1_000
