"""A child process is there once it is ready, or it is gone."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop_demo.processes import Child, ChildFailed


class Silent(Child):
    """A child whose ready line is waited for, once `is_read` is set."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        super().__init__(name, arguments, log)
        self.is_read = asyncio.Event()

    async def read_line(self) -> str:
        self.is_read.set()
        return await super().read_line()


async def test_a_start_that_is_cancelled_leaves_no_child(tmp_path: Path) -> None:
    """It would make files in a folder that its parent is about to remove."""
    child = Silent("a child that is never ready", ["-c", "input()"], tmp_path / "log")
    starting = asyncio.create_task(child.start())
    await child.is_read.wait()
    pid = child.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    try:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        await child.kill()


async def test_a_child_that_says_nothing_of_use_is_ended(tmp_path: Path) -> None:
    """The error names its log."""
    child = Child("a child that talks", ["-c", "print('Hello', flush=True); input()"], tmp_path / "log")
    with pytest.raises(ChildFailed, match=r"a child that talks did not become ready\. Its log"):
        await child.start()
    with pytest.raises(ChildFailed, match="is not running"):
        child.check_runs()
