"""Named places at which a process can be told to kill itself, so that a test can try every state that a kill leaves.

Told by the environment alone, which no client reaches: `INTEROPSIM_CRASH_AT=write.commit:17` kills the process with
SIGKILL when it passes `write.commit` for the seventeenth time. Costs one comparison where nothing is told.
"""

import os
import signal
import threading

VARIABLE = "INTEROPSIM_CRASH_AT"
POINTS = (
    "schema.create",
    "schema.empty",
    "write.begin",
    "write.commit",
    "write.answer",
    "blob.open",
    "blob.append",
    "blob.sync_early",
    "blob.sync",
    "blob.make_folder",
    "blob.date",
    "blob.rename",
    "blob.sync_folder",
    "blob.answer",
    "blob.keep",
    "blob.forget",
    "blob.delete",
    "blob.delete_stale",
)
"""Each is passed directly before the step that it names; `write.answer` and `blob.answer` when all is durable and
nobody has been told."""


OBJECT_POINTS = (
    "object.touch",
    "object.piece",
    "object.compose",
    "object.whole",
    "object.tidy",
    "object.answer",
    "object.forget",
    "object.delete",
    "object.delete_stale",
    "object.sync",
)
"""The same, where blobs are kept in an object store; `object.sync` only where that is a folder."""

NODE_POINTS = ("node.open", "node.close", "node.tell", "node.renew", "node.bury", "node.lead", "node.arrive")
"""The same, where several nodes are one world. `node.open` comes between the claim of a connection and its opening, and
`node.lead` when the database says where time goes and nobody has been told."""


class Fuse:
    """Kills the process at one passage of one point.

    Args:
        point: One of `POINTS`, `OBJECT_POINTS` or `NODE_POINTS`.
        passage: Which one, from 1.
    """

    def __init__(self, point: str, passage: int) -> None:
        self._point = point
        self._left = passage
        self._counting = threading.Lock()

    @classmethod
    def told(cls, text: str) -> "Fuse | None":
        """Reads what the environment tells; None for an empty text.

        Raises:
            ValueError: The text is not `POINT:NUMBER`.
        """
        if not text:
            return None
        point, _, passage = text.partition(":")
        points = (*POINTS, *OBJECT_POINTS, *NODE_POINTS)
        if point not in points or not passage.isdecimal() or int(passage) < 1:
            raise ValueError(f"{VARIABLE} is POINT:NUMBER, with a point of {', '.join(points)}: {text!r} is not.")
        return cls(point, int(passage))

    def burn(self, point: str) -> None:
        """Counts a passage, and kills at the one that was told."""
        if point != self._point:
            return
        with self._counting:  # blobs pass on several threads
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_fuse = Fuse.told(os.environ.get(VARIABLE, ""))


def passing(point: str) -> None:
    """Says that the process is about to take the step that the point names."""
    if _fuse is not None:
        _fuse.burn(point)
