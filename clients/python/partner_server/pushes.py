"""Pushes that arrived, and waiting for one; knows nothing of HTTP or of who may push."""

import asyncio
from collections import deque
from dataclasses import dataclass

MAX_KEPT_PUSHES = 1_000


@dataclass(frozen=True, slots=True)
class Push:
    """WhatsApp's hint that a user of this messenger has something waiting (LIF-01)."""

    number: int
    """Counts the pushes that this server took, from 1."""
    user: str
    """User-visible identifier of the user who should connect."""
    received_at: float
    """Seconds since the UNIX epoch."""
    body: str
    """The request's body as it came: the proof that a push holds nothing but the user (LIF-02)."""


class PushInbox:
    """The latest pushes: where a real messenger would wake the user's phone. The oldest are forgotten first."""

    def __init__(self) -> None:
        self._pushes: deque[Push] = deque(maxlen=MAX_KEPT_PUSHES)
        self._taken = 0
        self._arrived = asyncio.Condition()

    async def add(self, user: str, received_at: float, body: str) -> None:
        """Records a push and wakes who waits for it."""
        async with self._arrived:
            self._taken += 1
            self._pushes.append(Push(self._taken, user, received_at, body))
            self._arrived.notify_all()

    def list_pushes(self, user: str | None = None, after: int = 0) -> list[Push]:
        """Pushes with a number over `after`, oldest first; of one user or of all."""
        return [push for push in self._pushes if push.number > after and user in (None, push.user)]

    async def wait(self, user: str | None, after: int, timeout: float) -> Push:
        """Waits until there is a push with a number over `after`, and returns the first one.

        Raises:
            TimeoutError: None came within `timeout` seconds.
        """
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: self.list_pushes(user, after))
            return self.list_pushes(user, after)[0]
