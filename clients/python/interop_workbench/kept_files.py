"""The files that a person has got, in a folder that does not grow without end; knows no message."""

import hashlib
from collections import OrderedDict
from pathlib import Path

MAX_KEPT_BYTES = 128 << 20
"""Of all files of a person together; the oldest go first."""


class KeptFiles:
    """A person's files.

    Args:
        folder: Its parent; temporary.
        name: Whose they are: any text, of which nothing gets into a path.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / _digest(name)
        self._lengths: OrderedDict[Path, int] = OrderedDict()

    def path_of(self, peer: str, message_id: str) -> Path:
        """Returns where the file of a peer's message is or will be; two peers can choose the same id."""
        self._folder.mkdir(exist_ok=True)
        return self._folder / _digest(f"{peer}\0{message_id}")

    def keep(self, path: Path) -> None:
        """Takes note of a file that has come whole, and deletes the oldest when there are too many bytes."""
        self._lengths.pop(path, None)
        self._lengths[path] = path.stat().st_size
        while sum(self._lengths.values()) > MAX_KEPT_BYTES and len(self._lengths) > 1:
            oldest, _ = self._lengths.popitem(last=False)
            oldest.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
