"""What an operator does to a running server, and what a fault inside it looks like from outside."""

import asyncio
import json
from pathlib import Path

import pytest

from interop_admin.endpoint import Endpoint
from interop_client.errors import Recovery, ServerRefusal
from partner_server import SigningKeys
from tests.e2e.conftest import open_world, recorded_simulator
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET, check
from tests.stores import broken_table


@pytest.mark.requirement("ENL-03")
async def test_a_refresh_takes_a_withdrawn_key_out_of_use(endpoint: Endpoint, tmp_path: Path) -> None:
    """Until then the last good copy counts; afterwards only what the messenger serves does (ENL-03)."""
    keys = await asyncio.to_thread(SigningKeys)
    async with open_world(endpoint, keys, tmp_path / "partner") as world:
        bob, old_token = world.device("bob", QUIET), world.partner.issue_token("bob")
        await asyncio.to_thread(keys.rotate, keep_old=False)
        await bob.enlist(old_token)

        assert await world.admin.refresh_jwks(world.integrator) == 1

        assert await refused(bob.enlist(old_token)) == "TOKEN_KEY_UNKNOWN"
        await bob.enlist(world.partner.issue_token("bob"))


@pytest.mark.requirement("SIM-01", "KEY-13")
async def test_a_fault_is_opaque_and_passes(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """The caller learns that it may retry and nothing of what broke; everything else is served meanwhile (SIM-01)."""
    database = tmp_path / "simulator.db"
    async with recorded_simulator(tmp_path / "simulator.log", database) as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            bob = await world.third_party("bob", QUIET)
            with broken_table(database, "blocked"):
                with pytest.raises(ServerRefusal) as raised:
                    await bob.get_blocklist()
                check(raised.value, "SERVER_FAULT")
                assert (raised.value.code, raised.value.recovery) == (500, Recovery.SAME_AGAIN)  # with back-off
                assert "blocked" not in repr(vars(raised.value))
                await bob.ping()
                assert await bob.count_prekeys() == 20
            assert await bob.get_blocklist() == []
    assert "no such table: blocked" in (tmp_path / "simulator.log").read_text()
