"""Numbers on the wire that stand for a choice; unknown ones are refused in one way, everywhere."""

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar, cast

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
    members = cast(
        Mapping[int, E], kind._value2member_map_
    )  # a look-up: calling the enumeration costs ten times as much
    member = members.get(value)
    if member is None:
        *others, last = (each.name for each in kind)
        choices = f"{', '.join(others)} or {last}" if others else last
        raise Refusal(reason, f"`{field.rpartition('.')[2]}` must be {choices}", field=field, requirement=requirement)
    return member
