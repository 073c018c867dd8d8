"""How a run measures; knows no figure."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The knobs of a run."""

    folder: Path
    """For databases, blobs and logs; deleted after the run."""
    seconds: float
    """Length of each sustained measurement."""
    pairs: int
    """Senders with a recipient each: so many that none meets the limit per pair, 2,000 messages a second (MSG-11)."""
    batch: int
    """Messages per frame."""
    window: int
    """Messages per pair that are sent but not yet both acked and delivered."""
    blob_bytes: int
    """Length of an uploaded blob; whole chunks of 1 MiB."""

    def within(self, folder: Path) -> "Settings":
        """The same in another folder."""
        return replace(self, folder=folder)
