"""Times and durations as people write them; knows no clock.

A time is ISO 8601 with its zone, `2026-01-01T00:00:00Z`; a duration is a sum of days, hours, minutes, seconds and
milliseconds, `1d12h`.
"""

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DURATION_MS = 253_402_300_799_999
"""Longest duration: no time lies further from the epoch."""
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:ms|d|h|m|s))+")
_PART = re.compile(r"([0-9]+)(ms|d|h|m|s)")


def parse_time(text: str) -> int:
    """Returns milliseconds since the UNIX epoch.

    Raises:
        ValueError: The text is not a time with a zone. The message says how to write one.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{text!r} is not a time with a zone: write 2026-01-01T00:00:00Z")
    return (time - EPOCH) // timedelta(milliseconds=1)


def format_time(ms: int) -> str:
    """Returns the text of a time in UTC, to the millisecond, or `… ms` outside the years 1 to 9999, which have none.

    Args:
        ms: Milliseconds since the UNIX epoch.
    """
    try:
        time = EPOCH + timedelta(milliseconds=ms)
    except OverflowError:  # a clock runs on, and a peer can say any time
        return f"{ms} ms"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_duration(text: str) -> int:
    """Returns milliseconds.

    Raises:
        ValueError: The text is not a duration, or is one beyond all times. The message says how to write one.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write 30d, 12h, 5m, 90s, 250ms, or a sum such as 1d12h")
    ms = sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text))
    if ms > MAX_DURATION_MS:
        raise ValueError(f"{text!r} leads past the year 9999: write a shorter one, such as 1d12h")
    return ms
