"""Samples of a process's memory, and whether it grows; knows nothing of the load."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FLAT_BYTES_PER_MESSAGE = 1.0
"""Memory that grows by less for each message counts as flat: what is kept of a message takes hundreds of bytes."""


@dataclass(frozen=True)
class Sample:
    """What a process held at a time."""

    seconds: float
    """Since the load began."""
    resident_bytes: int
    messages: int
    """Acked by then."""


@dataclass(frozen=True)
class Growth:
    """How memory went after it had settled."""

    from_seconds: float
    kib_per_minute: float
    """Slope of the line of least squares."""
    bytes_per_message: float
    first_bytes: int
    last_bytes: int

    @property
    def is_flat(self) -> bool:
        """The verdict."""
        return self.bytes_per_message < FLAT_BYTES_PER_MESSAGE


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    raise KeyError("VmRSS")


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
    return Growth(from_seconds, slope * 60 / 1024, per_message, late[0].resident_bytes, late[-1].resident_bytes)


def _slope(at: Sequence[float], values: Sequence[float]) -> float:
    mean_at, mean = sum(at) / len(at), sum(values) / len(values)
    spread = sum((each - mean_at) ** 2 for each in at)
    return sum((x - mean_at) * (y - mean) for x, y in zip(at, values, strict=True)) / spread
