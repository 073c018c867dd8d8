"""The states of a chat channel after its login, as one table; knows no stream.

    OPEN ──end──▶ ENDING ──close──▶ CLOSED
      └────────────close──────────────▲

What the table does not have changes nothing: the first cause of an end counts, and closing twice is closing once.
"""

from enum import Enum, auto


class ChannelState(Enum):
    """Where a logged-in chat channel stands."""

    OPEN = auto()
    """Stanzas go both ways."""
    ENDING = auto()
    """Why it ends is known; the last word is on its way, and nothing more is taken from the client."""
    CLOSED = auto()
    """The registry has forgotten it: its session token is dead, and the account counts as away."""


class ChannelEvent(Enum):
    """What moves it on."""

    END = auto()
    """The server ends it, the client leaves, or its stream fails."""
    CLOSE = auto()
    """Its end has been noted."""


TRANSITIONS: dict[tuple[ChannelState, ChannelEvent], ChannelState] = {
    (ChannelState.OPEN, ChannelEvent.END): ChannelState.ENDING,
    (ChannelState.OPEN, ChannelEvent.CLOSE): ChannelState.CLOSED,
    (ChannelState.ENDING, ChannelEvent.CLOSE): ChannelState.CLOSED,
}
