"""What went over the chat channels, stanza by stanza, for whoever looks; knows no wire format and no secret.

Off unless somebody follows, or the operator keeps it on: then it costs one attribute test for each frame.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from interop_server.core.limits import Limits
from interop_server.core.newest import Newest, Origin
from interop_server.core.ports import Clock

Direction = Literal["to_server", "to_client"]
ENTRY_BYTES = 400
"""What an entry takes up in memory beside the text of its content."""


class Seen(NamedTuple):
    """A stanza, or another message of a chat channel, as it is shown."""

    direction: Direction
    kind: str
    """Of the stanza; or `client_hello`, `server_hello`, `client_finish`, `login`, `malformed`."""
    size: int
    """Of the message in its serialised form: bytes."""
    frame_size: int
    """Of the sealed frame that it came in: bytes; 0 for what is not in one."""
    position: int
    """In that frame, from 1; likewise."""
    content: str
    """Its fields as JSON, secrets and ciphertexts as lengths and hashes."""
    is_shortened: bool
    """Whether the content leaves something out that is no secret, because it is too long."""


class TraceEntry(NamedTuple):
    """One message of a channel. Its fields are those of `TraceEntry` in trace.proto."""

    number: int
    at_ms: int
    connection: int
    jid: str
    direction: Direction
    kind: str
    size: int
    frame_size: int
    position: int
    content: str
    is_shortened: bool


class Trace(Newest[TraceEntry]):
    """The newest messages of all channels, in memory, bounded in number and in bytes.

    Source: SIM-06, for its bounds.

    Args:
        clock: Gives the time of entries.
        limits: Bound what is kept.
        origin: Who records.
        is_kept: Whether to record although nobody follows.
    """

    def __init__(self, clock: Clock, limits: Limits, origin: Origin, *, is_kept: bool = False) -> None:
        super().__init__("trace", TraceEntry._make, limits.trace_entries, origin)
        self._clock = clock
        self._most_bytes = limits.trace_bytes
        self._bytes = 0
        self._connections = 0
        self._ended = 0
        """Number of the last entry that was forgotten because nobody followed any more."""
        self.is_kept = is_kept
        """Whether it is recorded although nobody follows."""
        self.is_on = is_kept
        """Whether anything is recorded now."""

    def open(self) -> "ChannelTrace":
        """Returns where a new channel says what goes over it."""
        self._connections += 1
        return ChannelTrace(self, self._clock, self._connections)

    def record(self, fields: tuple[Any, ...]) -> None:
        """Records an entry, given by its fields after the number. The oldest go until there is room for it."""
        self._number += 1
        entry = (self._number, *fields)
        size = _bytes_of(entry)
        while self._entries and (len(self._entries) == self._entries.maxlen or self._bytes + size > self._most_bytes):
            self._bytes -= _bytes_of(self._entries.popleft())
        self._entries.append(entry)
        self._bytes += size
        if self._readers:
            self._tell(entry)

    def resume_after(self, token: str) -> int:
        """Returns the number that a token stands for, as `Newest.resume_after`.

        Whoever begins to read has missed nothing of what was recorded for those who followed before.
        """
        return super().resume_after(token) or self._ended

    def subscribe(self, read: Callable[[TraceEntry], None], failed: Callable[[Exception], None]) -> Callable[[], None]:
        """Records from now on, and calls a function with every entry, as in `Newest.subscribe`.

        When the last subscription ends, recording does, and what was recorded for it is forgotten, unless it is kept.
        """
        unsubscribe = super().subscribe(read, failed)
        self.is_on = True

        def end() -> None:
            unsubscribe()
            if not self._readers and not self.is_kept:
                self.is_on = False
                self._ended = self._number
                self._entries.clear()
                self._bytes = 0

        return end


class ChannelTrace:
    """One channel's part of the trace.

    What comes before the account is known waits here, so that it stands under the account's JID. Whoever has something
    to say asks first whether `trace.is_on`: making it costs.
    """

    def __init__(self, trace: Trace, clock: Clock, connection: int) -> None:
        self.trace = trace
        """Whose `is_on` says whether anything is recorded now."""
        self._clock = clock
        self._connection = connection
        self._jid: str | None = None
        self._waiting: list[tuple[int, Seen]] = []

    def see(self, seen: Seen) -> None:
        """Records what goes over the channel now."""
        now_ms = self._clock.now_ms()
        if self._jid is None:
            self._waiting.append((now_ms, seen))
        else:
            self.trace.record((now_ms, self._connection, self._jid, *seen))

    def belongs_to(self, jid: str) -> None:
        """Says whose channel it is; empty when that will never be known."""
        self._jid = jid
        for at_ms, seen in self._waiting if self.trace.is_on else ():
            self.trace.record((at_ms, self._connection, jid, *seen))
        self._waiting = []

    def close(self) -> None:
        """Says that the channel has ended."""
        if self._jid is None:
            self.belongs_to("")


def _bytes_of(entry: tuple[Any, ...]) -> int:
    content = entry[TraceEntry._fields.index("content")]
    return len(content) * (1 if content.isascii() else 4) + ENTRY_BYTES
