"""Numbers on the wire that stand for a choice; unknown ones are refused in one way, everywhere."""

from enum import IntEnum
from typing import TypeVar

from interop_server.core.errors import Reason, Refusal

E = TypeVar("E", bound=IntEnum)


def known(kind: type[E], value: int, field: str, requirement: str, reason: Reason = Reason.REQUEST_MALFORMED) -> E:
    """Returns the member that a number stands for.

    Args:
        kind: All that may be chosen; its numbers are those on the wire.
        value: The number that came.
        field: Path of the field that it came in, for example `messages[3].type`.
        requirement: Id of the rule that the choice belongs to.
        reason: Why an unknown number is refused.

    Raises:
        Refusal: `reason`, with the field and what may be chosen.
    """
    # A look-up: calling the enumeration costs ten times as much.
    member: E | None = kind._value2member_map_.get(value)  # type: ignore[assignment]  # typed as a plain Enum
    if member is None:
        *others, last = (each.name for each in kind)
        choices = f"{', '.join(others)} or {last}" if others else last
        raise Refusal(reason, f"`{field.rpartition('.')[2]}` must be {choices}", field=field, requirement=requirement)
    return member
