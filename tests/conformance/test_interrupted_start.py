"""A run that is broken off while its simulators start."""

import asyncio
from pathlib import Path
from typing import Any, Self

import pytest

from interop_conformance.catalogue import Scope, load, select
from interop_conformance.check import Subject
from interop_conformance.runner import ClientRunner, Plan
from interop_conformance.subject import ClientSubject, links_to


class Slow:
    """A simulator that is there when `goes_on` is set."""

    begun: "asyncio.Queue[Slow]"

    def __init__(self, *_: Any) -> None:
        self.goes_on = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.begun.put_nowait(self)
        await self.goes_on.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("is_almost_there", [True, False])
async def test_a_run_that_is_broken_off_at_its_start_just_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_almost_there: bool
) -> None:
    """Nobody waits any more for a simulator, whether it comes then or not."""
    Slow.begun = asyncio.Queue()
    monkeypatch.setattr("interop_conformance.runner.Simulator", Slow)
    [check] = select(load(Subject.CLIENT), Scope(only=["ENL-08.enlists"]))
    subject = ClientSubject(links_to("nothing", ""))
    running = asyncio.create_task(ClientRunner(Plan([check]), subject, tmp_path, lambda _: None).run())
    async with asyncio.timeout(10) as limit:
        simulator = await Slow.begun.get()
        running.cancel()
        if is_almost_there:
            simulator.goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert not limit.expired()
