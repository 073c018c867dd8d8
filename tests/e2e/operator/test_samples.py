"""Every sample runs as it is, against a live simulator, and is short enough to read."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from interop_demo.processes import Child

SAMPLES = sorted((Path(__file__).parents[3] / "clients/python/samples").glob("[0-9][0-9]_*.py"))
WITH_PEOPLE = {"00_write_to_echo"}
"""Need people and a token: tests/e2e/workbench runs them as their first lines say."""
SAMPLE_SECONDS = 30.0
MAX_LINES = 60


def test_there_are_samples() -> None:
    """What finds the samples finds them."""
    assert SAMPLES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_short_and_begins_by_saying_what_happens(sample: Path) -> None:
    """Under 60 lines, the first of them a sentence."""
    lines = sample.read_text().splitlines()
    assert len(lines) < MAX_LINES
    assert lines[0].startswith('"""') and lines[0].endswith('."""')


@pytest.mark.parametrize(
    "sample", [each for each in SAMPLES if each.stem not in WITH_PEOPLE], ids=lambda sample: sample.stem
)
async def test_a_sample_runs_and_succeeds(sample: Path, simulator_process: Child) -> None:
    """Each exits 0, with all that it says on stdout and no warning."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(sample),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "INTEROPSIM": json.dumps(dict(simulator_process.ready))},
    )
    try:
        async with asyncio.timeout(SAMPLE_SECONDS):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, stderr.decode()) == (0, ""), stdout.decode()
