"""Gives memory back to the system that nothing holds any more; knows nothing of what held it.

The C library keeps what was freed, in an area for each thread. After a rush a process would stay as large as it was
then, and a steady load would let it grow: each thread has its largest moment at another time.
"""

import asyncio
from collections.abc import Callable

AGAIN_SECONDS = 60.0
"""How often; policy. It takes a few milliseconds."""


async def give_back_memory() -> None:
    """Gives it back once a minute, until cancelled; returns at once where the C library cannot, as that of macOS."""
    import ctypes

    give_back: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while give_back is not None:
        await asyncio.sleep(AGAIN_SECONDS)
        await asyncio.to_thread(give_back, 0)
