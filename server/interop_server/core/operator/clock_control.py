"""How far an operator may move the clock; knows no timer and no wire format."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, LATEST_TIME_MS
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
    is_noted: bool = True
    """Whether its time must be noted. Not where the clock of several processes does so itself."""
    goals_ms: list[int] = field(default_factory=list)
    """Where the calls lead that are under way."""

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
            async with self._moving(at_ms or 0):
                return await self.clock.freeze(at_ms)
        except ValueError as error:
            raise Refusal(Reason.REQUEST_MALFORMED, f"`at_ms`: {error}", field="at_ms", requirement="SIM-04") from error

    async def advance(self, ms: int) -> dict[str, int]:
        """Moves time forward and returns what fired, by name.

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        if not 0 < ms <= MAX_ADVANCE_MS:
            detail = f"`advance_ms` must be 1 to {MAX_ADVANCE_MS} (3,650 days)"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field="advance_ms", requirement="SIM-04")
        try:
            async with self._moving(self._furthest_ms() + ms):
                return await self.clock.advance(ms)
        except ValueError as error:
            raise Refusal(
                Reason.REQUEST_MALFORMED, f"`advance_ms`: {error}", field="advance_ms", requirement="SIM-04"
            ) from error

    async def resume(self) -> None:
        """Lets the clock run on from its present time."""
        await self.clock.resume()
        await self._note()

    @asynccontextmanager
    async def _moving(self, to_ms: int) -> AsyncIterator[None]:
        # Noted before anything falls due: after a kill on the way, what was deleted must not be due only later.
        self.goals_ms.append(min(to_ms, LATEST_TIME_MS))
        try:
            await self._note()
            yield
        finally:
            self.goals_ms.remove(min(to_ms, LATEST_TIME_MS))
            await self._note()

    def _furthest_ms(self) -> int:
        return max([self.clock.now_ms(), *self.goals_ms])

    async def _note(self) -> None:
        # The time alone is not enough: a clock that runs ahead shows later times until the server is killed.
        if self.is_noted:
            await self.store.past.note_time(self._furthest_ms(), self.clock.ahead_ms)
