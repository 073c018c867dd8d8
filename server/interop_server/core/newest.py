"""The newest entries of what a server records, numbered, for readers who come back; knows nothing of what they say."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from interop_server.core.paging import give_token, read_token

E = TypeVar("E")
DEFAULT_NODE = "node-1"
"""Name of a server process unless its operator chooses another."""
RUN_ID_BYTES = 4
"""Length of the id that tells one start of a node from another: each start numbers its entries from 1."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Which start of which server process records."""

    node: str = DEFAULT_NODE
    run: str = ""
    """Tells this start of the process from others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Reader(Generic[E]):
    read: Callable[[E], None]
    failed: Callable[[Exception], None]


class Newest(Generic[E]):
    """The newest entries, in memory, numbered from 1 on.

    Args:
        name: What its tokens are for.
        make: Makes an entry of its fields, of which the first is its number.
        capacity: Most entries that are kept.
        origin: Who records.
    """

    def __init__(self, name: str, make: Callable[[tuple[Any, ...]], E], capacity: int, origin: Origin) -> None:
        self._name = name
        self._make = make
        self.origin = origin
        """Who records."""
        self._origin = f"{origin.node}.{origin.run}"
        # Plain tuples of text and numbers, which the garbage collector lets be: a hundred thousand of anything else
        # would make each of its full rounds long, and those fall into the path of messages.
        self._entries: deque[tuple[Any, ...]] = deque(maxlen=capacity)
        self._number = 0
        self._readers: list[_Reader[E]] = []

    def _tell(self, fields: tuple[Any, ...]) -> None:
        entry = self._make(fields)
        for reader in tuple(self._readers):
            try:
                reader.read(entry)
            except Exception as error:  # noqa: BLE001 - the failure of a reader is the reader's, not what is recorded
                reader.failed(error)

    def after(self, number: int, limit: int) -> tuple[list[E], int]:
        """Returns the oldest kept entries after a number, and how many earlier ones are forgotten."""
        first = self._number - len(self._entries) + 1
        start = min(max(0, number + 1 - first), len(self._entries))
        entries = map(self._make, islice(self._entries, start, start + limit))
        return list(entries), max(0, first - number - 1)

    def resume_token(self, number: int) -> str:
        """Returns the token with which a reader resumes after the entry of that number."""
        return give_token(self._name, f"{self._origin}.{number}")

    def resume_after(self, token: str) -> int:
        """Returns the number of the entry that a token names; 0 for an empty token, and for a token of another start or
        another node, whose entries are not here. Tokens of several nodes are separated by commas.

        A token that was not given out for these entries is refused: going on from the start would look like an answer
        to it.

        Raises:
            Refusal: REQUEST_MALFORMED.
        """
        after = 0
        for each in token.split(",") if token else ():
            origin, _, number = read_token(self._name, each, "resume_token", "SIM-07").rpartition(".")
            if origin == self._origin:
                after = int(number)
        return after

    def subscribe(self, read: Callable[[E], None], failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Calls a function with every entry from now on, while it is recorded: it must return at once.

        Args:
            read: Gets each entry.
            failed: Gets what `read` raises, in its stead; must raise nothing. What is recorded goes on.

        Returns:
            A function that ends the subscription.
        """
        reader = _Reader(read, failed)
        self._readers.append(reader)
        return lambda: self._readers.remove(reader)
