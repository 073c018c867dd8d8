"""What people cost who are connected and do nothing: memory for each, and the work of their login.

The ceiling is a connection to a bare server, over which one frame has gone in and out.
"""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc.aio

from interop_server.runtime.files import most_files
from tests.bench.bare_client import CHANNEL_OPTIONS, BareCalls, bare_server
from tests.bench.cpu import cpu_seconds, resident_bytes
from tests.bench.lean_client import Account, LeanClient
from tests.bench.report import Figure
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed

CONNECTIONS = 10_000
FILES_PER_CONNECTION = 3
"""The server gives a third of its files to connections of clients, and each needs one here, too."""
AT_ONCE = 50
_FRAME_BYTES = 300
BARE_CONNECTIONS = 1_000
LIMITS = ("silent_seconds=86400",)
"""Logging all of them in takes longer than a channel may be silent."""


async def measure_idle(settings: Settings) -> list[Figure]:
    """Registers people, then logs them in, each on a connection of its own."""
    connections = min(CONNECTIONS, most_files() // FILES_PER_CONNECTION // AT_ONCE * AT_ONCE)
    async with AsyncExitStack() as stack, Testbed(settings.folder, LIMITS) as testbed:
        pid = testbed.server.pid
        accounts = [
            account for _ in range(0, connections, AT_ONCE) for account in await testbed.whatsapp_accounts(AT_ONCE)
        ]
        gc.freeze()  # so that this process does not look through its thousands of clients again and again
        # Some log in first, so that what is loaded and filled once counts for nobody.
        await _log_in(testbed, accounts[:AT_ONCE], stack)
        memory, cpu = resident_bytes(pid), cpu_seconds(pid)
        await _log_in(testbed, accounts[AT_ONCE:], stack)
        count = connections - AT_ONCE
        memory, cpu = (resident_bytes(pid) - memory) / count, (cpu_seconds(pid) - cpu) / count
    bare_memory, bare_cpu = await _bare(settings)
    note = f"{count:,} logged-in channels without traffic, each on a connection of its own"
    return [
        Figure("idle_connection_bytes", memory, "bytes", bare_memory, note),
        Figure("login_server_cpu_ms", 1_000 * cpu, "ms", 1_000 * bare_cpu, note),
    ]


async def _bare(settings: Settings) -> tuple[float, float]:
    async with AsyncExitStack() as stack, bare_server(settings.folder / "bare.log") as bare:
        address = str(bare.ready["grpc"])

        async def connect() -> None:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS))
            echo = BareCalls(channel).echo()
            await echo.write(bytes(_FRAME_BYTES))
            await echo.read()
            stack.callback(echo.cancel)

        await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
        memory, cpu = resident_bytes(bare.pid), cpu_seconds(bare.pid)
        for _ in range(0, BARE_CONNECTIONS, AT_ONCE):
            await asyncio.gather(*(connect() for _ in range(AT_ONCE)))
        return (resident_bytes(bare.pid) - memory) / BARE_CONNECTIONS, (cpu_seconds(bare.pid) - cpu) / BARE_CONNECTIONS


async def _log_in(testbed: Testbed, accounts: Sequence[Account], stack: AsyncExitStack) -> None:
    for first in range(0, len(accounts), AT_ONCE):
        clients = await asyncio.gather(
            *(LeanClient.log_in(testbed.address, account) for account in accounts[first : first + AT_ONCE])
        )
        for client in clients:
            stack.push_async_callback(client.close)
