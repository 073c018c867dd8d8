"""A short round of what `make chaos ARGS="--nodes 3"` does at length, and proof that it notices what it looks for."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from partner_server import SigningKeys
from tests.chaos.faults import KINDS, POINTS, SHORT, Fault, plan
from tests.chaos.people import Broken
from tests.chaos.world import ENGINES, open_world
from tests.chaos.world_campaign import WorldCampaign, WorldCompany
from tests.postgres import ask

pytestmark = pytest.mark.timeout(900)  # on a busy machine a start alone takes seconds
NODES = 3
LOADED_SECONDS = 1.0
COLUMNS = (
    "recipient_id, sender_id, sender_jid, kind, subtype, message_type, stanza_id, timestamp_ms, retry_count, size,"
    " content"
)


@pytest.mark.requirement("SIM-03", "SIM-04", "CHN-11", "MSG-04", "MSG-09", "MSG-14", "KEY-05", "KEY-06", "MED-07")
async def test_what_was_acked_outlives_all_that_happens_to_several_nodes(
    tmp_path: Path, signing_keys: SigningKeys
) -> None:
    """One thing of each sort; after each, everything is as the model says, and everybody is connected once."""
    faults = list(plan(len(SHORT), 1, NODES))
    found = await WorldCampaign(tmp_path, signing_keys, faults, 1, NODES).run()
    print(f"{found.kills} faults in {found.seconds:.1f} s: {dict(found.at_points)}")
    assert found.broken == []
    assert found.at_points == dict.fromkeys(SHORT, 1)


class Sabotaged(WorldCompany):
    """A world in which nothing happens but that somebody changes the database, while nobody is connected."""

    sabotage = ""

    async def _do(self, fault: Fault) -> str:
        await asyncio.sleep(LOADED_SECONDS)
        return fault.kind

    async def _return(self) -> None:
        # Not under load: what was stored a moment ago is delivered from memory, and what was set is set again.
        if self.sabotage:
            await ask(self._world.ground.store, self.sabotage)
        await super()._return()


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [
        ("DELETE FROM mailbox WHERE kind = 1", "messages acked to|the receipt of|was due|out of order"),
        (
            f"INSERT INTO mailbox (delivery_id, {COLUMNS}) SELECT nextval('delivery_id'), {COLUMNS} FROM mailbox"
            " WHERE kind = 1 ORDER BY delivery_id",
            "was due",
        ),
        # Both: one of them may just be under way, and be either.
        (
            "UPDATE interop_settings SET inbox_mode = 3 - inbox_mode, pings_enabled = 1 - pings_enabled",
            "inbox mode is|reachable is",
        ),
    ],
    ids=["lost", "twice", "changed"],
)
async def test_what_is_not_kept_is_noticed(
    tmp_path: Path, signing_keys: SigningKeys, sabotage: str, noticed: str
) -> None:
    """A check that finds everything right proves nothing."""
    rng = random.Random(1)
    async with open_world(tmp_path, signing_keys, 2, rng) as world, Sabotaged.come_to(world, rng) as company:
        company.sabotage = sabotage
        with pytest.raises(Broken, match=noticed):
            await company.live_through(Fault("pause node short", 0))


def test_a_plan_has_everything_once_and_then_again() -> None:
    """First one of each sort; each kind as often as any other, whatever the seed; the same for the same seed."""
    faults = list(plan(2 * len(KINDS), 7, NODES))
    assert [fault.kind for fault in faults[: len(KINDS)]] == list(KINDS)
    assert Counter(fault.kind for fault in faults) == dict.fromkeys(KINDS, 2)
    assert {fault.node for fault in faults} == {*range(NODES)}
    assert faults == list(plan(2 * len(KINDS), 7, NODES))
    assert {fault.whom for fault in faults if fault.kind not in POINTS} == {"node", *ENGINES}
