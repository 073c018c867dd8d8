"""Everybody who loads a server, or several: what they do, each with its part of the model."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from interop_server.blobs.local import WRITE_BYTES
from interop_server.blobs.object_writer import PIECE_BYTES
from tests.chaos.blobs import Blobs
from tests.chaos.choices import Accounts, Operator, Settings, opt_in
from tests.chaos.letters import Correspondent
from tests.chaos.people import Scene
from tests.chaos.prekeys import PreKeys

_DAY_MS = 86_400_000
_FAVOURITES = {
    "blob.sync_early": "large",
    "blob.keep": "half",
    "blob.delete_stale": "half",
    "blob.forget": "wrong",
    "object.touch": "half",
    "object.piece": "half",
    "object.compose": "half",
    "object.forget": "half",
    "object.delete_stale": "half",
}
"""What uploads must do for a point to be passed soon."""
_STEPS_MS = {
    "blob.delete_stale": 61_000,
    "blob.delete": _DAY_MS + 3_600_000,
    "object.delete_stale": 61_000,
    "object.delete": _DAY_MS + 3_600_000,
}
"""How far the clock must go for it."""


class Act(Protocol):
    """Some of the load, with its part of the model."""

    async def return_(self) -> None:
        """Connects after a restart, and catches up."""
        ...

    async def check(self) -> None:
        """Holds what the server says against what it acked."""
        ...

    async def work(self) -> None:
        """Loads the server until it is gone."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...


@dataclass(frozen=True)
class Cast:
    """Everybody."""

    acts: Sequence[Act]
    blobs: Blobs
    operator: Operator

    def aim_at(self, point: str) -> None:
        """Has people do what makes a server pass a point soon."""
        self.blobs.favourite = _FAVOURITES.get(point, "")
        self.operator.is_resetting = point == "schema.empty"
        self.operator.step_ms = _STEPS_MS.get(point, 1_500)


async def cast(stage: Scene, rng: random.Random, pause_seconds: float = 0.0) -> Cast:
    """Registers everybody; nobody is connected.

    Args:
        stage: Where.
        rng: Chooses what they do.
        pause_seconds: What each waits between two things, beside what they wait anyhow.
    """
    whatsapp = [Correspondent(await stage.whatsapp_user()) for _ in range(2)]
    third_party = [Correspondent(await stage.third_party_user(), is_away=away) for away in (False, False, True)]
    for one in whatsapp:
        one.write_to(*third_party)
        await one.person.connect()
        await opt_in(one.person)
        await one.person.close()
    for other in third_party:
        other.write_to(*whatsapp)
    takers = [await stage.whatsapp_user() for _ in range(2)]
    for taker in takers:
        await taker.connect()
        await opt_in(taker)
        await taker.close()
    operator, blobs = Operator(stage), Blobs(await stage.whatsapp_user(), rng)
    if stage.keeps_objects:
        blobs.large_bytes = PIECE_BYTES + 3 * WRITE_BYTES
    prekeys = PreKeys(await stage.third_party_user(), takers)
    settings, accounts = Settings(await stage.whatsapp_user(), rng), Accounts(stage)
    for one in (prekeys, blobs, settings, accounts, operator):
        one.pause_seconds += pause_seconds
    for one in (*whatsapp, *third_party):
        one.pace = replace(one.pace, pause_seconds=one.pace.pause_seconds + pause_seconds)
    return Cast([*whatsapp, *third_party, prekeys, blobs, settings, accounts, operator], blobs, operator)
