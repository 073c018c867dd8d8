"""How the rules refuse: one exception for all; `reasons.py` holds the reasons. Knows no wire format."""

from collections.abc import Mapping
from typing import NamedTuple

from interop_server.core.reasons import Category, Reason, Recovery

__all__ = ["Category", "FieldViolation", "Reason", "Recovery", "Refusal", "require_count"]


class FieldViolation(NamedTuple):
    """A field of the request that is wrong."""

    field: str
    """The field's path in the request: `users[3].external_id`."""
    description: str
    """What is wrong with it."""


class Refusal(Exception):
    """A typed refusal: the only exception that the rules raise on purpose.

    Args:
        reason: The reason.
        detail: The details for the caller: names fields and limits, never secrets or other people's data.
        retry_after_ms: The delay after which a new attempt can succeed; None for that of the reason's kind.
        cause: Details that the caller must not learn, for the operator's journal alone (OPT-09, OPT-11, LIF-05).
        field: Path of the wrong field of the request; empty when no single field is wrong.
        requirement: Id of the requirement that was broken; a place must name it if the reason has none of its own.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        retry_after_ms: int | None = None,
        *,
        cause: str = "",
        field: str = "",
        requirement: str = "",
    ) -> None:
        super().__init__(f"{reason.name}: {detail}" if detail else reason.name)
        self.reason = reason
        self.detail = detail
        self.retry_after_ms = reason.recovery.retry_after_ms if retry_after_ms is None else retry_after_ms
        self.cause = cause
        self.requirement = requirement or reason.requirement
        assert self.requirement, f"{reason.name} is refused for several rules: name the one that is broken here"
        self.violations: tuple[FieldViolation, ...] = (FieldViolation(field, detail or reason.advice),) if field else ()
        self.code = reason.code
        """The code that stands for it on the wire that is modelled."""
        self.fault = ""
        """Name of the fault that made it up; empty for what a rule decided. For the journal alone."""
        self._request_id = ""

    @property
    def request_id(self) -> str:
        """Names it in the journal. Nothing may go out that does not stand there."""
        assert self._request_id, f"{self} was not recorded"
        return self._request_id

    @request_id.setter
    def request_id(self, request_id: str) -> None:
        self._request_id = request_id

    @property
    def is_recorded(self) -> bool:
        """Says whether it stands in the journal."""
        return bool(self._request_id)

    def again(self) -> "Refusal":
        """Returns the same refusal of another call, which is yet to be recorded."""
        again = Refusal(self.reason, self.detail, self.retry_after_ms, cause=self.cause, requirement=self.requirement)
        again.violations, again.code, again.fault = self.violations, self.code, self.fault
        return again

    def put_under(self, path: str) -> None:
        """Prefixes the paths of its fields with the part of the request that they belong to, such as `keys[3]`."""
        self.violations = tuple(violation._replace(field=f"{path}.{violation.field}") for violation in self.violations)

    def rename_fields(self, names: Mapping[str, str]) -> None:
        """Renames its fields to the request's names."""
        self.violations = tuple(
            violation._replace(field=names.get(violation.field, violation.field)) for violation in self.violations
        )

    @property
    def advice(self) -> str:
        """Returns what was wrong, if known, and what to do about it."""
        return f"{self.detail}. {self.reason.advice}" if self.detail else self.reason.advice


def require_count(count: int, most: int, field: str, requirement: str, *, least: int = 1) -> None:
    """Refuses a list that is too long, or too short, for the rule of that id.

    Raises:
        Refusal: TOO_MANY_ITEMS or REQUEST_MALFORMED.
    """
    if least <= count <= most:
        return
    reason = Reason.TOO_MANY_ITEMS if count > most else Reason.REQUEST_MALFORMED
    raise Refusal(reason, f"`{field}` has {least} to {most:,} entries", field=field, requirement=requirement)
