"""How many calls a second go through, of the simulator and of a bare server; knows no figure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc.aio

from tests.bench.bare_client import CHANNEL_OPTIONS, BareCalls, bare_server, encode_sizes

CALLERS = 4
"""Calls under way at once."""
SLICES = 4

Call = Callable[[], Awaitable[None]]


async def call_rates(call: Call, seconds: float, calls: int) -> list[float]:
    """Calls from several tasks, and returns the calls per second of each slice.

    Args:
        call: What to call.
        seconds: How long all slices together take at most.
        calls: How many calls they may make at most; what they need was prepared.
    """
    rates: list[float] = []
    for _ in range(SLICES):
        started = time.perf_counter()
        end = started + seconds / SLICES
        each = calls // SLICES // CALLERS
        counts = await asyncio.gather(*(_call_until(end, call, each) for _ in range(CALLERS)))
        rates.append(sum(counts) / (time.perf_counter() - started))
    return rates


async def bare_call_rates(folder: Path, request_bytes: int, response_bytes: int, seconds: float) -> list[float]:
    """Makes calls of these sizes to a bare server, and returns the calls per second of each slice."""
    async with (
        bare_server(folder / "bare.log") as bare,
        grpc.aio.insecure_channel(str(bare.ready["grpc"]), options=CHANNEL_OPTIONS) as channel,
    ):
        calls = BareCalls(channel)
        request = encode_sizes(response_bytes).ljust(request_bytes, b"\0")

        async def call_bare() -> None:
            await calls.answer(request)

        return await call_rates(call_bare, seconds, 1 << 30)


async def _call_until(end: float, call: Call, calls: int) -> int:
    count = 0
    while count < calls and time.perf_counter() < end:
        await call()
        count += 1
    return count
