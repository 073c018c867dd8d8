"""Answers of calls that their clients have not taken yet: how much they are, and whose; knows no service.

A call is over for its servicer as soon as it returns, and not for the memory of the server: gRPC keeps the answer until
the client lets it come, and can be made to forget it only with the connection.
"""

from collections import Counter
from collections.abc import Callable, Hashable

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import SECOND_MS

CALLERS_PART = 16
"""A caller's share of what may wait: so many parts of all."""
SMALL_BYTES = 4 << 10
"""An answer up to this length is never refused: its seat bounds it, and what it says may be that something was done."""


class Answers:
    """Counts them.

    Args:
        most_bytes: What may wait together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting: Counter[Hashable] = Counter()
        self._bytes = 0

    def make_room(self, caller: Hashable, size: int) -> None:
        """Refuses a long answer that would be too much beside those that wait for the same caller.

        Who leaves no answer waiting always gets one, however many others leave.

        Args:
            caller: Who makes the call.
            size: Of the answer, in bytes.

        Raises:
            Refusal: RATE_LIMITED.
        """
        waiting = self._waiting[caller]
        is_much = waiting + size > self._most_bytes // CALLERS_PART or self._bytes + size > self._most_bytes
        if waiting and is_much and size > SMALL_BYTES:
            detail = f"{waiting:,} bytes of answers wait for you already: take them first"
            raise Refusal(Reason.RATE_LIMITED, detail, SECOND_MS, requirement="SIM-06")

    def hold(self, caller: Hashable, size: int) -> Callable[[], None]:
        """Counts an answer; call what is returned once it was taken, or nobody is there any more."""
        self._waiting[caller] += size
        self._bytes += size

        def release() -> None:
            self._waiting[caller] -= size
            self._bytes -= size
            if not self._waiting[caller]:
                del self._waiting[caller]

        return release
