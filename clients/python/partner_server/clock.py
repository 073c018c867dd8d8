"""The messenger's time: the machine's, unless it is told to follow a simulator's; knows no timer."""

import time
from collections.abc import Callable


class PartnerClock:
    """Seconds since the UNIX epoch, as a callable.

    A simulator whose clock was moved refuses tokens that are dated by the machine's.

    Args:
        machine: What it follows at first.
    """

    def __init__(self, machine: Callable[[], float] = time.time) -> None:
        self._machine = machine
        self._offset = 0.0
        self._frozen_at: float | None = None

    def __call__(self) -> float:
        """The time now."""
        return self._machine() + self._offset if self._frozen_at is None else self._frozen_at

    def set(self, seconds: float, *, is_frozen: bool) -> None:
        """Makes it a certain time.

        Args:
            seconds: Since the UNIX epoch.
            is_frozen: Whether it stays that time; otherwise time runs on from there.
        """
        self._frozen_at = seconds if is_frozen else None
        self._offset = seconds - self._machine()
