"""What counts as flat, and that the soak says so of a load that runs."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.memory import FILES, FLAT_BYTES_PER_MESSAGE, HEAP, OTHER, Sample, growth, resident

RATE = 500
MINUTE = 60


def samples(bytes_per_message: float, minutes: int = 30, settles_at: int = 10) -> list[Sample]:
    """Memory that grows by a MiB a minute until it has settled, then by so much for each message, with some noise."""
    return [
        Sample(
            second,
            {
                HEAP: (100 << 20) + (min(second, settles_at * MINUTE) << 20) // MINUTE,
                OTHER: int(max(0, second - settles_at * MINUTE) * RATE * bytes_per_message) + second * 7919 % 4096,
            },
            second * RATE,
        )
        for second in range(minutes * MINUTE)
    ]


@pytest.mark.parametrize("bytes_per_message", [0.0, 0.9, 1.1, 40.0])
def test_the_slope_is_that_after_memory_has_settled(bytes_per_message: float) -> None:
    """Whatever the first ten minutes took; per minute and per message."""
    found = growth(samples(bytes_per_message), 10 * MINUTE)
    assert found.bytes_per_message == pytest.approx(bytes_per_message, abs=0.05)
    assert found.kib_per_minute == pytest.approx(bytes_per_message * RATE * MINUTE / 1024, abs=2)
    assert found.is_flat == (bytes_per_message < FLAT_BYTES_PER_MESSAGE)


def test_what_has_not_settled_is_not_flat() -> None:
    """A MiB a minute is a slope, whenever it is looked for."""
    found = growth(samples(0.0, minutes=12, settles_at=12), 0)
    assert not found.is_flat
    assert found.kib_per_minute == pytest.approx(1024, rel=0.01)


def test_memory_is_that_of_the_process() -> None:
    """In bytes, all of it, and a large object is found where malloc maps it."""
    before = resident(os.getpid())
    status = Path("/proc/self/status").read_text()
    [said] = [int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:")]
    assert sum(before.values()) == pytest.approx(said, rel=0.05)
    large = b"x" * (64 << 20)
    assert resident(os.getpid())[OTHER] - before[OTHER] >= 0.9 * len(large)
    assert min(before[kind] for kind in (HEAP, OTHER, FILES)) > 1 << 20


_ALLOTS = """
import ctypes, os, threading
from tests.soak.memory import AREAS, resident

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def allot():
    for _ in range(1_000):
        ctypes.memset(libc.malloc(10_000), 1, 10_000)

before = resident(os.getpid())
thread = threading.Thread(target=allot)
thread.start()
thread.join()
print(resident(os.getpid())[AREAS] - before[AREAS])
"""


def test_what_a_thread_allots_is_found_in_its_area() -> None:
    """Many small objects of a library, which no thread but the first has from the heap; in a process of its own, whose
    areas hold nothing yet.
    """
    said = subprocess.run([sys.executable, "-c", _ALLOTS], capture_output=True, text=True, check=True)
    assert int(said.stdout) > 9_000_000


@pytest.mark.timeout(300)
async def test_a_short_soak_runs_to_its_end() -> None:
    """Messages, reconnects, prekeys, blobs, settings and accounts for some seconds: figures, and nothing broken.

    Whether memory is flat shows only later, so there is no verdict.
    """
    soak = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak", "--minutes", "0.25", "--rate", "100", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await soak.communicate()
    assert soak.returncode == 0, stderr.decode()
    found = json.loads(stdout)
    assert found["is_flat"] is None
    assert len(found["samples"]) > 2
    assert found["samples"][-1]["messages"] > found["samples"][0]["messages"]
