"""A call whose answer was lost is repeated at another node: it is answered as the first time, and not done twice."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from interop_api.v1 import prekeys_pb2, prekeys_pb2_grpc
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from partner_server import SigningKeys
from tests.e2e.conftest import World
from tests.e2e.nodes.conftest import Both, Nodes, at_both
from tests.e2e.nodes.test_connections import bearer
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire

pytestmark = pytest.mark.requirement("SIM-01")


async def ask(world: World, token: str, method: str, request: Any) -> Any:
    """Makes a call at a node, in a session that may be another's."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        stub = prekeys_pb2_grpc.PreKeyServiceStub(channel)
        try:
            return await getattr(stub, method)(request, metadata=bearer(token))
        except grpc.aio.AioRpcError as error:
            raise refusal_from_rpc_error(error) from error


async def test_an_answer_is_the_same_at_another_node(both: Both) -> None:
    """No second prekey goes out, however often and wherever it is asked; nor anything for other bytes of that name."""
    bob, alice = await both.here.third_party("bob", QUIET), await both.here.whatsapp(options=QUIET)
    await alice.close()
    async with Wire(alice.transport) as wire:
        token, left = wire.login.session_token, await bob.count_prekeys()
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=(bob.jid,), request_id="once")
        first = await ask(both.there, token, "TakePreKeyBundles", request)
        for world in (both.here, both.there, both.here):
            assert await ask(world, token, "TakePreKeyBundles", request) == first
        assert await bob.count_prekeys() == left - 1
        request.jids.append(alice.jid)
        for world in (both.here, both.there):
            assert await refused(ask(world, token, "TakePreKeyBundles", request)) == "REQUEST_MALFORMED"
        request.request_id = "another"
        await ask(both.here, token, "TakePreKeyBundles", request)
        assert await bob.count_prekeys() == left - 2


async def test_a_refusal_is_the_same_at_another_node(both: Both) -> None:
    """With all that it says; the call would be done there now."""
    bob = await both.here.third_party("bob", QUIET)
    await bob.close()
    async with Wire(bob.transport) as wire:
        token = wire.login.session_token
        key = prekeys_pb2.OneTimePreKey(key_id=500, public_key=bytes(31))
        request = prekeys_pb2.AddOneTimePreKeysRequest(one_time_prekeys=(key,), request_id="wrong")
        refusals = []
        for world in (both.there, both.here):
            with pytest.raises(ServerRefusal) as caught:
                await ask(world, token, "AddOneTimePreKeys", request)
            refusals.append(caught.value)
        first, second = refusals
        assert first.violations and first.violations == second.violations
        assert (first.reason, first.requirement, first.advice) == (second.reason, second.requirement, second.advice)
        assert first.request_id != second.request_id


async def test_a_node_that_has_died_remembers_nothing(
    own_nodes: Nodes, signing_keys: SigningKeys, tmp_path: Path
) -> None:
    """As after the restart of one that is alone, a repetition is a new call; nobody waits for the dead."""
    async with at_both(own_nodes, signing_keys, tmp_path / "partner") as both:
        bob, alice = await both.here.third_party("bob", QUIET), await both.here.whatsapp(options=QUIET)
        await alice.close()
        async with Wire(alice.transport) as wire:
            token, left = wire.login.session_token, await bob.count_prekeys()
            request = prekeys_pb2.TakePreKeyBundlesRequest(jids=(bob.jid,), request_id="once")
            first = await ask(both.there, token, "TakePreKeyBundles", request)
            await own_nodes.children[1].kill()
            second = await ask(both.here, token, "TakePreKeyBundles", request)
            assert first != second
            assert await ask(both.here, token, "TakePreKeyBundles", request) == second
            assert await bob.count_prekeys() == left - 2
