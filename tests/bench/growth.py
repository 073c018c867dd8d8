"""What a full database costs those who use the server: the same figures beside those of an empty one."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.filled import fill
from tests.bench.latency import MESSAGES, message_times_ms, percentile
from tests.bench.report import Figure
from tests.bench.settings import Settings
from tests.bench.testbed import Testbed
from tests.bench.throughput import SHAPES, UNLIMITED, load, open_pair

WAITING = 1_000_000
ACCOUNTS = 200_000


@dataclass(frozen=True, slots=True)
class _Found:
    ready_seconds: float
    latency_ms: float
    rate: float


async def measure_growth(settings: Settings) -> list[Figure]:
    """Measures a server on an empty database, then one on which a million messages wait for others."""
    path = settings.folder / "grown.db"
    await fill(path, WAITING, ACCOUNTS, time.time_ns() // 1_000_000)
    empty, grown = await _measure(settings, "empty", None), await _measure(settings, "grown", path)
    note = f"{WAITING:,} messages wait, {ACCOUNTS:,} accounts; the ceiling is the same server on an empty database"
    return [
        Figure("grown_ready_seconds", grown.ready_seconds, "s", empty.ready_seconds, note),
        Figure("grown_message_latency_ms", grown.latency_ms, "ms", empty.latency_ms, note),
        Figure("grown_many_pairs_batched", grown.rate, "messages/s", empty.rate, note),
    ]


async def _measure(settings: Settings, name: str, database: Path | None) -> _Found:
    shape = SHAPES[-1].of(settings)
    folder = settings.folder / name
    folder.mkdir()
    started = time.perf_counter()
    async with Testbed(folder, UNLIMITED, database) as testbed:
        ready_seconds = time.perf_counter() - started
        sender, _ = await testbed.third_party_user()
        recipient = await testbed.whatsapp_user()
        latency_ms = percentile(await message_times_ms(sender, recipient, MESSAGES), 50)
        pairs = [await open_pair(testbed, number, shape) for number in range(shape.pairs)]
        rate = statistics.median(await load(pairs, shape))
    return _Found(ready_seconds, latency_ms, rate)
