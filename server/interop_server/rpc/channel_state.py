"""The states of a chat channel after its login, as one table; knows no stream.

    OPEN ──end──▶ ENDING ──close──▶ CLOSED
      └────────────close──────────────▲

Transitions that the table does not list change nothing: the first cause of an end counts, and a second close is
ignored.
"""

from enum import Enum, auto


class ChannelState(Enum):
    """The state of a logged-in chat channel."""

    OPEN = auto()
    """Stanzas go both ways."""
    ENDING = auto()
    """The reason of the end is known; the last stanza is being sent, and the client's stanzas are no longer read."""
    CLOSED = auto()
    """The registry has forgotten it: its session token is dead, and the account counts as absent."""


class ChannelEvent(Enum):
    """An event that changes the state."""

    END = auto()
    """The server ends it, the client leaves, or its stream fails."""
    CLOSE = auto()
    """Its end has been recorded."""


TRANSITIONS: dict[tuple[ChannelState, ChannelEvent], ChannelState] = {
    (ChannelState.OPEN, ChannelEvent.END): ChannelState.ENDING,
    (ChannelState.OPEN, ChannelEvent.CLOSE): ChannelState.CLOSED,
    (ChannelState.ENDING, ChannelEvent.CLOSE): ChannelState.CLOSED,
}
