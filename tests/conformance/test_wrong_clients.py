"""Wrong clients: each that a must catches is caught by the checks that its register names. `make matrix` tries all."""

import asyncio
from pathlib import Path

import pytest

from interop_conformance.catalogue import load
from interop_conformance.check import Level, Subject
from interop_conformance.runner import Pair
from interop_wrong.client import load as load_wrong
from interop_wrong.register import Wrong
from tests.conformance.matrix import command_of, complaints_after, judge, simulators

GROUPS = 8
"""The wrong clients of a group share simulators."""
AT_ONCE = 4
"""How many of a group are judged at once."""
CHECKS = load(Subject.CLIENT)
WRONG = list(load_wrong().values())
BY_MUST = [wrong for wrong in WRONG if any(CHECKS[name].level is Level.MUST for name in wrong.caught_by)]


def test_wrong_clients_name_checks_that_exist() -> None:
    """Those that must catch them, and those that may say so, too."""
    assert {name for wrong in WRONG for name in (*wrong.caught_by, *wrong.also)} <= CHECKS.keys()
    assert len(BY_MUST) >= 45


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(GROUPS))
def test_each_is_caught_by_its_checks(group: int, tmp_path: Path) -> None:
    """By name. `make matrix` shows that no other check blames it."""

    async def judge_one(wrong: Wrong, pair: Pair, turn: asyncio.Semaphore) -> list[str]:
        async with turn:  # most of the time passes with waiting for what a wrong client does not do
            return await complaints_after(wrong, lambda: judge(command_of(wrong), pair, wrong.caught_by, wrong.mode))

    async def run() -> list[str]:
        turn = asyncio.Semaphore(AT_ONCE)
        async with simulators(tmp_path) as pair:
            found = await asyncio.gather(*(judge_one(wrong, pair, turn) for wrong in BY_MUST[group::GROUPS]))
        return [complaint for some in found for complaint in some]

    assert asyncio.run(run()) == []
