"""When the kit's own simulator ends, nobody is blamed."""

import asyncio
import logging
from pathlib import Path

import pytest

from interop_conformance.verdict import Verdict
from tests.conformance.kit import DRIVER
from tests.conformance.matrix import BLAMED, judge, simulators

pytestmark = pytest.mark.timeout(240)
CHECKS = ("ENL-08.enlists", "CHN-01.connects", "MSG-12.sends-text", "MSG-12.shows-text")


async def test_that_it_is_gone_is_said_once_for_each_check(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In a sentence, without a trace, and the client passes for neither right nor wrong."""
    async with simulators(tmp_path) as pair:
        pass
    results = await judge(DRIVER, pair, CHECKS[:2])
    assert [result.verdict for result in results] == [Verdict.HARNESS_ERROR, Verdict.BLOCKED]
    assert "the simulator" in results[0].got
    failures = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(failures) == 1 and failures[0].exc_info is None


async def test_a_check_under_way_blames_nobody(tmp_path: Path) -> None:
    """Whatever the client did not do, it could not do."""
    async with simulators(tmp_path) as pair:
        judging = asyncio.create_task(judge(DRIVER, pair, CHECKS))
        await pair[0].record.wait(pair[0].record.accounts)
    assert not [result.check.id for result in await judging if result.verdict in BLAMED]
