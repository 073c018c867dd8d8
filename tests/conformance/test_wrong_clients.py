"""Wrong clients: each is caught by the checks that its register names."""

import asyncio
from pathlib import Path

import pytest

from interop_conformance.catalogue import load
from interop_conformance.check import Subject
from interop_conformance.runner import Pair
from interop_wrong.client import load as load_wrong
from interop_wrong.register import Wrong
from tests.conformance.matrix import command_of, complaints, judge, simulators

GROUPS = 8
"""The wrong clients of a group share simulators."""
AT_ONCE = 4
"""How many of a group are judged at once."""
WRONG = list(load_wrong().values())


def test_wrong_clients_name_checks_that_exist() -> None:
    """Those that must catch them, and those that may say so, too."""
    checks = load(Subject.CLIENT)
    assert {name for wrong in WRONG for name in (*wrong.caught_by, *wrong.also)} <= checks.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(GROUPS))
def test_each_is_caught_by_its_checks(group: int, tmp_path: Path) -> None:
    """By name. `make matrix` shows that no other check blames it."""

    async def judge_one(wrong: Wrong, pair: Pair, turn: asyncio.Semaphore) -> list[str]:
        async with turn:  # most of the time passes with waiting for what a wrong client does not do
            results = await judge(command_of(wrong), pair, wrong.caught_by, wrong.mode)
        return [f"{wrong.name}: {complaint}" for complaint in complaints(wrong, results)]

    async def run() -> list[str]:
        turn = asyncio.Semaphore(AT_ONCE)
        async with simulators(tmp_path) as pair:
            found = await asyncio.gather(*(judge_one(wrong, pair, turn) for wrong in WRONG[group::GROUPS]))
        return [complaint for complaints in found for complaint in complaints]

    assert asyncio.run(run()) == []
