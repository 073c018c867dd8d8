"""Wrong clients: each is caught by the checks that its register names."""

import asyncio
from pathlib import Path

import pytest

from interop_conformance.catalogue import load
from interop_conformance.check import Subject
from interop_wrong.client import load as load_wrong
from tests.conformance.matrix import command_of, complaints, judge, simulators

GROUPS = 6
"""Wrong clients share simulators, and the groups the machine's cores."""
WRONG = list(load_wrong().values())


def test_wrong_clients_name_checks_that_exist() -> None:
    """Those that must catch them, and those that may say so, too."""
    checks = load(Subject.CLIENT)
    assert {name for wrong in WRONG for name in (*wrong.caught_by, *wrong.also)} <= checks.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", range(GROUPS))
def test_each_is_caught_by_its_checks(group: int, tmp_path: Path) -> None:
    """By name. `make matrix` shows that no other check blames it."""

    async def run() -> list[str]:
        async with simulators(tmp_path) as pair:
            return [
                f"{wrong.name}: {complaint}"
                for wrong in WRONG[group::GROUPS]
                for complaint in complaints(wrong, await judge(command_of(wrong), pair, wrong.caught_by, wrong.mode))
            ]

    assert asyncio.run(run()) == []
