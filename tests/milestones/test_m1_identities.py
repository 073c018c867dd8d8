"""Milestone 1: who a user is, and how that is proved."""

import pytest

from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("SIM-05")


@pytest.mark.feature("enlistment")
async def test_a_user_is_enlisted_over_http_and_over_grpc(world: World) -> None:
    """With the documented form and with the call that stands for it; both give the same JID."""
    bob = world.device("bob")
    jid = await bob.enlist_over_http(world.endpoint.http, world.partner.issue_token("bob"))
    assert jid.startswith(f"{world.integrator}-") and jid.endswith("@interop")
    assert await bob.enlist(world.partner.issue_token("bob")) == jid
    await bob.connect()


@pytest.mark.feature("verified identifier")
async def test_an_identifier_is_proved_when_enlisting_and_at_every_connection(world: World) -> None:
    """A token for somebody else is of no use, in either place."""
    bob = world.device("bob")
    with pytest.raises(ServerRefusal, match="TOKEN_"):
        await bob.enlist(world.partner.issue_token("bob", iss=None))
    await bob.enlist(world.partner.issue_token("bob"))
    thief = world.device("mallory", state=ClientState.from_bytes(bob.state.to_bytes()))
    with pytest.raises(ServerRefusal) as raised:
        await thief.connect()
    assert raised.value.reason == "TOKEN_SUBJECT_MISMATCH"
    await bob.connect()
    await bob.connect()
