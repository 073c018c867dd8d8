"""What is said about a limit beside its value: unit and range, what it serves, where it comes from; knows no limit."""

from dataclasses import field
from enum import StrEnum
from typing import Any, NamedTuple


class Unit(NamedTuple):
    """What a limit counts, and its range unless the limit has its own."""

    name: str
    least: float
    most: float


# At most a hundred years for limits of time, so that no computed time overflows.
DAYS = Unit("days", 1, 36_500)
HOURS = Unit("hours", 1, 876_000)
SECONDS = Unit("seconds", 1, 3_153_600_000)
MILLISECONDS = Unit("milliseconds", 1, 3_153_600_000_000)
BYTES = Unit("bytes", 1, 1 << 50)
COUNT = Unit("", 1, 1_000_000_000)
RATE = Unit("per second", 1e-9, 1e9)
TEXT = Unit("text", 0, 0)
LIST = Unit("texts, separated by commas", 0, 0)
SWITCH = Unit("true or false", 0, 0)


class Scope(StrEnum):
    """Of what a limit bounds the sum, where several nodes are one world."""

    EACH = "each"
    """Of nothing: it holds for one thing by itself, or is no bound."""
    WORLD = "world"
    """What all nodes count together: it guards people against others, and they must not gain by using two nodes."""
    NODE = "node"
    """What one node counts: it guards the node, or goes by the one connection that an account has."""


WORLD, NODE = Scope.WORLD, Scope.NODE


class About(NamedTuple):
    """Everything about a limit except its value."""

    requirements: tuple[str, ...]
    purpose: str
    """What it bounds."""
    origin: str
    """Whether the value is documented, observed or policy, and what it is derived from."""
    unit: Unit
    least: float
    most: float
    scope: Scope

    @property
    def is_policy(self) -> bool:
        """Says whether the value is the simulator's own choice, because no value is public."""
        return "policy" in self.origin


def limit(  # noqa: PLR0913 - a row of a table
    value: Any,
    unit: Unit,
    requirements: str,
    purpose: str,
    origin: str,
    *,
    least: float | None = None,
    most: float | None = None,
    scope: Scope = Scope.EACH,
) -> Any:
    """Declares a limit with its default.

    Args:
        value: The default.
        unit: What it counts.
        requirements: Ids of the requirements that it serves, separated by spaces.
        purpose: What it bounds.
        origin: Where the value comes from.
        least: The smallest sensible value, if it is not the unit's.
        most: The largest, likewise.
        scope: Whether it bounds what all nodes of a world do together, or each of them.
    """
    bounds = (unit.least if least is None else least, unit.most if most is None else most)
    about = About(tuple(requirements.split()), purpose, origin, unit, *bounds, scope)
    return field(default=value, metadata={"about": about})
