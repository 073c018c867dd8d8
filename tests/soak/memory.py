"""Samples of a process's memory, whether it grows, and of which kind; knows nothing of the load."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FLAT_BYTES_PER_MESSAGE = 1.0
"""Memory that grows by less for each message counts as flat: what is kept of a message takes hundreds of bytes."""


HEAP, AREAS, OTHER, FILES = "malloc's heap", "malloc's areas for threads", "other memory", "mapped files"
"""Kinds of memory. Other memory is what Python allots itself, stacks, and what malloc maps for one large object."""
_AREA_BYTES = 64 << 20
"""Malloc reserves an area of this size, on a boundary of it, and uses it from its beginning."""
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (?:\S+ ){4} *(.*)")


@dataclass(frozen=True)
class Sample:
    """What a process held at a time."""

    seconds: float
    """Since the load began."""
    by_kind: Mapping[str, int]
    """Bytes that are resident."""
    messages: int
    """Acked by then."""

    @property
    def resident_bytes(self) -> int:
        """Of all kinds."""
        return sum(self.by_kind.values())


@dataclass(frozen=True)
class Growth:
    """How memory went after it had settled."""

    kib_per_minute: float
    """Slope of the line of least squares."""
    bytes_per_message: float
    first: Sample
    last: Sample

    @property
    def is_flat(self) -> bool:
        """The verdict."""
        return self.bytes_per_message < FLAT_BYTES_PER_MESSAGE


def resident(pid: int) -> dict[str, int]:
    """Returns what a process has in memory, in bytes, by kind."""
    by_kind = dict.fromkeys((HEAP, AREAS, OTHER, FILES), 0)
    kind = OTHER
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if (mapping := _MAPPING.match(line)) is not None:
            kind = _kind(int(mapping[1], 16), int(mapping[2], 16), mapping[3])
        elif line.startswith("Rss:"):
            by_kind[kind] += int(line.split()[1]) << 10
    return by_kind


def _kind(start: int, end: int, name: str) -> str:
    if name == "[heap]":
        return HEAP
    if name and not name.startswith("["):
        return FILES
    return AREAS if start % _AREA_BYTES == 0 and end - start <= _AREA_BYTES else OTHER


def growth(samples: Sequence[Sample], from_seconds: float) -> Growth:
    """Returns how memory went from a time on.

    Args:
        samples: At least two of them from that time on.
        from_seconds: When memory should have settled.
    """
    late = [sample for sample in samples if sample.seconds >= from_seconds]
    slope = _slope([each.seconds for each in late], [float(each.resident_bytes) for each in late])
    messages = late[-1].messages - late[0].messages
    per_message = slope * (late[-1].seconds - late[0].seconds) / max(1, messages)
    return Growth(slope * 60 / 1024, per_message, late[0], late[-1])


def _slope(at: Sequence[float], values: Sequence[float]) -> float:
    mean_at, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((each - mean_at) ** 2 for each in at)
    return sum((x - mean_at) * (y - mean) for x, y in zip(at, values, strict=True)) / spread
