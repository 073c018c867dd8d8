"""What every edge does under faults: hold up, refuse, lose, break off; knows neither gRPC nor HTTP."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from interop_server.core.errors import Refusal
from interop_server.core.fault_rules import (
    Close,
    Delay,
    Direction,
    Drop,
    Duplicate,
    Hold,
    LoseAnswer,
    Refuse,
    Unreachable,
)
from interop_server.core.faults import Event, Faults, Fired
from interop_server.core.journal import SERVER, under_fault
from interop_server.core.limits import SECOND_MS
from interop_server.core.ports import Clock

MAX_HELD = 1_000
"""Calls and stanzas that wait at once; policy. Further ones go on at once."""


class Severed(Exception):
    """A fault breaks off a call, or ends a channel: nothing more is said on it."""


class Passage(NamedTuple):
    """A call on its way through the server."""

    event: Event
    """Its request."""
    has_answer: bool
    """Whether faults meet its answer here."""
    change: Callable[[Fired, Any], None]
    """Does to an answer what only this kind of call knows how to."""
    rests_on: Callable[[Any], str]
    """Returns the id of the requirement that the first refusal in an answer rests on; empty where there is none."""
    record: Callable[[Refusal], None]
    """Records a refusal that was decided, before a fault has its way with it."""


class FaultGate:
    """The faults of a server, and what they hold up.

    Args:
        faults: What is ordered.
        clock: By which delays end.
    """

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self.faults = faults
        self.clock = clock
        """By which delays end."""
        self._waiting: dict[str, list[asyncio.Event]] = defaultdict(list)

    def held(self, name: str) -> int:
        """Returns how much a fault holds up now."""
        return len(self._waiting.get(name, ()))

    async def perform(self, passage: Passage, work: Callable[[], Awaitable[Any]]) -> Any:
        """Performs a call under the faults that meet it.

        Args:
            passage: The call.
            work: Performs it honestly.

        Raises:
            Refusal: As the work, or made up.
            Severed: The call is broken off.
        """
        fired = self.faults.meet(passage.event)
        if fired is None:
            return await self._answer(passage, work)
        with under_fault(fired.name):
            await self.before(fired)
            response = await self._answer(passage, work)
            if isinstance(fired.action, Duplicate):
                for _ in range(fired.action.copies):
                    with suppress(Refusal):
                        await work()
            return response

    async def _answer(self, passage: Passage, work: Callable[[], Awaitable[Any]]) -> Any:
        if not passage.has_answer:
            return await work()
        response: Any = None
        refusal: Refusal | None = None
        try:
            response = await work()
        except Refusal as error:
            refusal = error
        requirement = refusal.requirement if refusal else passage.rests_on(response)
        answer = passage.event._replace(direction=Direction.TO_CLIENT, requirement=requirement)
        if (fired := self.faults.meet(answer)) is not None:
            if refusal is not None:
                passage.record(refusal)
            await self.before(fired)
            if refusal is None:
                passage.change(fired, response)
        if refusal is not None:
            raise refusal
        return response

    async def before(self, fired: Fired) -> None:
        """Does to a request, or to an answer, what can be done to both.

        Raises:
            Refusal: Made up.
            Severed: The call is broken off.
        """
        match fired.action:
            case Refuse():
                raise refusal_of(fired)
            case Drop():
                await self.wait(fired)  # until the client has had enough
                raise Severed
            case Close() | LoseAnswer():
                raise Severed
        await self.wait(fired)

    async def reaches(self, call: str, integrator: int) -> bool:
        """Says whether a request of the server's own gets to a partner's server, once nothing holds it up.

        Args:
            call: `partner.jwks` or `partner.push`.
            integrator: The partner.
        """
        fired = self.faults.meet(Event(call, Direction.TO_SERVER, actor=SERVER, integrator=integrator))
        if fired is None:
            return True
        await self.wait(fired)
        return not isinstance(fired.action, Unreachable)

    async def wait(self, fired: Fired) -> None:
        """Returns when what waits may go on; at once for faults that let nothing wait, and when too much does."""
        if not isinstance(fired.action, Delay | Hold | Drop) or sum(map(len, self._waiting.values())) >= MAX_HELD:
            return
        if not self.faults.stands(fired.rule):  # cleared since it was met, and nobody would come to let it go
            return
        opened, waiting = asyncio.Event(), self._waiting[fired.name]
        waiting.append(opened)
        timer = None
        if isinstance(fired.action, Delay):
            timer = asyncio.create_task(self._open_after(fired.action.delay_ms, opened), name="fault")
        try:
            await opened.wait()
        finally:
            if timer is not None:
                timer.cancel()
            waiting.remove(opened)

    async def _open_after(self, delay_ms: int, opened: asyncio.Event) -> None:
        await self.clock.sleep(delay_ms / SECOND_MS)
        opened.set()

    def release(self, names: Iterable[str]) -> int:
        """Lets go on, in order, what these faults hold up now; returns how much that is."""
        opened = [each for name in names for each in self._waiting.get(name, ()) if not each.is_set()]
        for each in opened:
            each.set()
        return len(opened)


def refusal_of(fired: Fired) -> Refusal:
    """Returns the refusal that a fault makes up."""
    assert isinstance(fired.action, Refuse)
    reason, retry_after_ms, requirement = fired.action.reason, fired.action.retry_after_ms, fired.action.requirement
    refusal = Refusal(reason, retry_after_ms=retry_after_ms, requirement=requirement)
    refusal.fault = fired.name
    return refusal
