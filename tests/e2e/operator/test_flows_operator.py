"""What an operator does to a running server, and what a fault inside it looks like from outside."""

import asyncio
import json
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import admin_pb2
from interop_client.errors import Recovery, ServerRefusal
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import World, open_world, recorded_simulator
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


@pytest.mark.requirement("ENL-01")
async def test_an_operator_that_knows_fewer_fields_resets_none_of_the_others(world: World) -> None:
    """With a mask only what it names changes; without one, a flag that is absent stays as it is (ENL-01)."""
    before = await world.register(icon="https://icons.example/owl.png", group_messaging=True)
    changed = admin_pb2.Partner(integrator=world.integrator, name="Owls", proxy_allowed=False)
    assert await world.admin.put_partner(changed, "name", "icon") == 1
    before.MergeFrom(admin_pb2.Partner(name="Owls"))
    before.icon = ""
    assert before in await world.admin.list_partners()

    older = admin_pb2.Partner()
    older.CopyFrom(before)
    older.ClearField("group_messaging")
    older.ClearField("proxy_allowed")
    await world.admin.put_partner(older)
    assert before in await world.admin.list_partners()
    assert before.proxy_allowed and before.group_messaging

    await world.admin.put_partner(changed, "proxy_allowed")
    before.proxy_allowed = False
    assert before in await world.admin.list_partners()


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
