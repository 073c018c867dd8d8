"""The servers in WhatsApp's place on which the story plays: one simulator, or nodes of one world; knows no person."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from interop_demo.processes import Child, simulator


class Ground:
    """Servers that are one world.

    Args:
        nodes: Each server, not started; at least one.
        folder: Where they keep their files.
    """

    def __init__(self, nodes: Sequence[Child], folder: Path) -> None:
        self.nodes = nodes
        self.folder = folder

    async def places(self) -> Sequence[Path]:
        """Returns the folders that have everything that they store and log."""
        return (self.folder,)


Opening = Callable[[Path, Sequence[str]], AbstractContextManager[Ground]]
"""Gives a ground, whose files are in a folder, and whose servers get more options of `interopsim up`."""


@contextmanager
def one_simulator(folder: Path, options: Sequence[str]) -> Iterator[Ground]:
    """Has one server, with a database of its own."""
    journal = ("--journal", str(folder / "journal.jsonl"))
    yield Ground([simulator(folder / "simulator.log", folder / "simulator.db", [*journal, *options])], folder)
