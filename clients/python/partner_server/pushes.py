"""The pushes that have arrived, and waiting for the next one; knows nothing of HTTP or tokens."""

import asyncio
from collections import deque
from dataclasses import dataclass

MAX_KEPT_PUSHES = 1_000


@dataclass(frozen=True, slots=True)
class Push:
    """WhatsApp's hint that deliveries wait for a user of this partner (LIF-01)."""

    number: int
    """Counts the pushes that this server has accepted, from 1."""
    user: str
    """User-visible identifier of the user who should connect."""
    received_at: float
    """Seconds since the UNIX epoch."""
    body: str
    """The request's body as it came, which shows that a push names only the user (LIF-02)."""


class PushInbox:
    """The latest pushes; forgets the oldest first. A real partner would wake the user's phone here."""

    def __init__(self) -> None:
        self._pushes: deque[Push] = deque(maxlen=MAX_KEPT_PUSHES)
        self._taken = 0
        self._arrived = asyncio.Condition()

    async def add(self, user: str, received_at: float, body: str) -> None:
        """Records a push and wakes the callers of `wait`."""
        async with self._arrived:
            self._taken += 1
            self._pushes.append(Push(self._taken, user, received_at, body))
            self._arrived.notify_all()

    def list_pushes(self, user: str | None = None, after: int = 0) -> list[Push]:
        """Returns the pushes with a number above `after`, oldest first, for one user or for all."""
        return [push for push in self._pushes if push.number > after and user in (None, push.user)]

    async def wait(self, user: str | None, after: int, timeout: float) -> Push:
        """Waits until there is a push with a number above `after`, and returns the first one.

        Raises:
            TimeoutError: No push came within `timeout` seconds.
        """
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: self.list_pushes(user, after))
            return self.list_pushes(user, after)[0]
