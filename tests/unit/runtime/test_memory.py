"""What nothing holds any more goes back to the system, and not only from the end of what the process has."""

import asyncio
import ctypes
import gc
from pathlib import Path
from types import SimpleNamespace

import pytest

from interop_server.runtime import memory

PIECES, PIECE_BYTES = 40_000, 1_000
"""Pieces that malloc has from an area, and none for itself."""


def resident_bytes() -> int:
    """What this process has in memory."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) << 10


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="The C library cannot give memory back.")
async def test_what_is_free_below_something_that_is_not_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Free memory beneath a piece in use stays with the process until it is given back."""
    give_back, loop, given = ctypes.CDLL(None).malloc_trim, asyncio.get_running_loop(), asyncio.Event()

    def trim(pad: int) -> int:
        result: int = give_back(pad)
        loop.call_soon_threadsafe(given.set)
        return result

    monkeypatch.setattr(memory, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=trim))
    pieces = [bytes(PIECE_BYTES) for _ in range(PIECES)]
    last = pieces[-1]
    del pieces
    gc.collect()
    before = resident_bytes()
    giving_back = asyncio.create_task(memory.give_back_memory())
    await given.wait()
    giving_back.cancel()
    assert before - resident_bytes() > PIECES * PIECE_BYTES // 2
    assert len(last) == PIECE_BYTES


async def test_a_library_that_cannot_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of macOS, and of some containers."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    await memory.give_back_memory()
