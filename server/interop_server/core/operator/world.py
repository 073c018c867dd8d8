"""Which of the clean worlds of a process this is, and whether the next is wanted; knows nothing of what is in one."""

from collections.abc import Callable

from interop_server.core.errors import Reason, Refusal


class World:
    """A world from its beginning to the next reset.

    Args:
        number: 1 for that of the start.
        wanted: Called once, when the next one is wanted.
        is_shared: Whether other processes have their part in it: then none of them ends it.
    """

    def __init__(self, number: int, wanted: Callable[[], None], *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self.number = number
        self._wanted = wanted
        self._is_wanted = False

    def want_next(self) -> int:
        """Says that the next one is wanted, and returns its number. It begins after the answer to whoever wants it.

        Raises:
            Refusal: WORLD_SHARED.
        """
        if self._is_shared:
            detail = "a clean world begins with all nodes stopped, and an empty database"
            raise Refusal(Reason.WORLD_SHARED, detail, requirement="SIM-03")
        if not self._is_wanted:
            self._is_wanted = True
            self._wanted()
        return self.number + 1
