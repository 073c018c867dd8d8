"""Limits that are as large as they can be: all, or those of rates."""

from dataclasses import fields
from typing import Any

from interop_server.core.limits import Limits, about

LESS = {
    "keepalive_seconds": 1_000,
    "silent_seconds": 2_000,
    "temporary_bans": 0,
    "trusted_buckets": 1,
    "min_protocol_version": 1,
}
"""What would let nobody in at the end of its range, or cannot be there when all others are."""


def largest(**changes: int) -> Limits:
    """All limits that are numbers at the end of their range, as far as they can work together, but these."""
    values: dict[str, Any] = {}
    for each in fields(Limits):
        default = getattr(Limits(), each.name)
        if not isinstance(default, bool) and isinstance(default, int | float):
            values[each.name] = type(default)(about(each.name).most)
    return Limits(**values | LESS | changes)


def no_rates() -> dict[str, int]:
    """Limits with which no rate answers for the rules behind it."""
    names = [each.name for each in fields(Limits) if each.name.endswith(("_burst", "_per_day"))]
    return {name: int(about(name).most) for name in names}
