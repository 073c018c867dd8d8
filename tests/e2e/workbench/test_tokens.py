"""Tokens that are wrong on purpose meet the refusal that their catalogue names; good ones are good by any clock."""

import json
from pathlib import Path

import pytest

from interop_admin.client import AdminClient
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_client.third_party import ThirdPartyClient
from interop_protocol.endpoint import Endpoint
from interop_workbench.cast import NOBODY
from interop_workbench.person import NotPossible
from interop_workbench.world import World
from partner_server.defects import DEFECTS
from tests.e2e.conftest import recorded_simulator
from tests.e2e.workbench.conftest import People, open_people


def _client(people: People) -> ThirdPartyClient:
    async def get_token() -> str:
        return (await people.world.token("bob")).token

    return ThirdPartyClient.direct(people.world.endpoint, ClientState.generate(), get_token)


async def test_each_defect_meets_its_refusal(people: People) -> None:
    """The reason and the requirement that are printed with it."""
    bob = _client(people)
    try:
        for name, defect in DEFECTS.items():
            wrong = await people.world.token("bob", defect=name)
            with pytest.raises(ServerRefusal) as refused:
                await bob.enlist(wrong.token)
            told = (refused.value.reason, refused.value.requirement)
            assert told == (wrong.reason, wrong.requirement) == (defect.reason, defect.requirement), name
        assert await bob.enlist((await people.world.token("bob")).token)
    finally:
        await bob.close()


async def test_a_workbench_without_a_messenger_vouches_for_nobody(endpoint: Endpoint, tmp_path: Path) -> None:
    """Where the workbench only looks on, the sentence says what to start."""
    async with World(endpoint, NOBODY, tmp_path, None, lambda _: None) as world:
        with pytest.raises(NotPossible, match="--people"):
            await world.token("bob")
        assert world.people == [] and world.pushes() == []


async def test_the_messenger_keeps_to_the_simulators_clock(tmp_path: Path) -> None:
    """A token is good after the clock was moved by years, and while it stands still."""
    async with recorded_simulator(tmp_path / "log") as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with AdminClient(endpoint.admin) as admin, open_people(endpoint, tmp_path) as people:
            await admin.freeze_clock()
            for _ in range(2):
                await admin.advance_clock(400 * 86_400_000)
                bob = _client(people)
                try:
                    assert await bob.enlist((await people.world.token("bob")).token)
                finally:
                    await bob.close()
