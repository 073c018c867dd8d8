"""How far an operator may move the clock; knows no timer and no wire format."""

from dataclasses import dataclass

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS
from interop_server.core.operator.store import StoreForOperator
from interop_server.core.ports import MovableClock

MAX_ADVANCE_MS = 3_650 * DAY_MS
"""SIM-04; policy."""


@dataclass(frozen=True, slots=True)
class ClockControl:
    """Freezes, advances and resumes the clock, and remembers its time, so that no restart moves it backwards (MSG-14).

    Source: SIM-04.
    """

    clock: MovableClock
    store: StoreForOperator

    async def freeze(self, at_ms: int | None) -> dict[str, int]:
        """Stops the clock, at a future time if one is given; returns what fired on the way, by name.

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        if at_ms is not None and at_ms - self.clock.now_ms() > MAX_ADVANCE_MS:
            raise Refusal(
                Reason.REQUEST_MALFORMED, "`at_ms` lies more than 3,650 days ahead", field="at_ms", requirement="SIM-04"
            )
        try:
            fired = await self.clock.freeze(at_ms)
        except ValueError as error:
            raise Refusal(Reason.REQUEST_MALFORMED, f"`at_ms`: {error}", field="at_ms", requirement="SIM-04") from error
        await self.store.past.raise_time_floor(self.clock.now_ms())
        return fired

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward and returns what fired, by name.

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        if not 0 < ms <= MAX_ADVANCE_MS:
            detail = f"`advance_ms` must be 1 to {MAX_ADVANCE_MS} (3,650 days)"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="advance_ms", requirement="SIM-04")
        try:
            fired = await self.clock.advance(ms)
        except ValueError as error:
            raise Refusal(
                Reason.REQUEST_MALFORMED, f"`advance_ms`: {error}", field="advance_ms", requirement="SIM-04"
            ) from error
        await self.store.past.raise_time_floor(self.clock.now_ms())
        return fired

    async def resume(self) -> None:
        """Lets the clock run on from its present time."""
        await self.clock.resume()
