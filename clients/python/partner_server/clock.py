"""The partner's time: the machine's, or that of a simulator; knows no timer."""

import time
from collections.abc import Callable


class PartnerClock:
    """Seconds since the UNIX epoch, as a callable.

    A simulator whose clock an operator has moved refuses tokens dated by the machine's clock.

    Args:
        machine: The clock that it follows until `set` is called.
    """

    def __init__(self, machine: Callable[[], float] = time.time) -> None:
        self._machine = machine
        self._offset = 0.0
        self._frozen_at: float | None = None

    def __call__(self) -> float:
        """Returns the current time."""
        return self._machine() + self._offset if self._frozen_at is None else self._frozen_at

    def set(self, seconds: float, *, is_frozen: bool) -> None:
        """Sets the time.

        Args:
            seconds: Since the UNIX epoch.
            is_frozen: Whether time stands still then; otherwise it runs on from there.
        """
        self._frozen_at = seconds if is_frozen else None
        self._offset = seconds - self._machine()
