"""A challenge of one node is answered at another, as behind a balancer that spreads the calls of one client."""

import grpc.aio
import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import integrity_pb2, integrity_pb2_grpc
from interop_client.errors import refusal_from_rpc_error
from tests.e2e.conftest import World
from tests.e2e.nodes.conftest import Both
from tests.e2e.nodes.test_connections import bearer
from tests.e2e.outcomes import refused
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire

pytestmark = pytest.mark.requirement("ABU-06", "SIM-04")

LOCKED = standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED
HOUR = 3_600


async def begin(world: World, token: str) -> integrity_pb2.RequestChallengeResponse:
    """Asks a node for a challenge, in a session that may be another's."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        stub = integrity_pb2_grpc.IntegrityServiceStub(channel)
        return await stub.RequestChallenge(integrity_pb2.RequestChallengeRequest(), metadata=bearer(token))


async def answer(world: World, token: str, challenge: integrity_pb2.RequestChallengeResponse, said: str) -> None:
    """Answers it at a node by what was to be read."""
    request = integrity_pb2.AnswerChallengeRequest(
        challenge_id=challenge.challenge_id, option=integrity_pb2.CHALLENGE_OPTION_CAPTCHA, answer=said
    )
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        try:
            await integrity_pb2_grpc.IntegrityServiceStub(channel).AnswerChallenge(request, metadata=bearer(token))
        except grpc.aio.AioRpcError as error:
            raise refusal_from_rpc_error(error) from error


async def test_either_node_takes_the_answer(both: Both) -> None:
    """Once, wherever it was begun and the user is connected; the later challenge counts, at whatever node it began."""
    bob = await both.here.third_party("bob", QUIET)
    await bob.close()
    await both.here.admin.impose_sanction(bob.jid, LOCKED, HOUR)
    async with Wire(bob.transport) as wire:
        token = wire.login.session_token
        first, second = await begin(both.here, token), await begin(both.there, token)
        for world, challenge, said in (
            (both.there, first, first.captcha_prompt[::-1]),
            (both.here, second, f"{second.captcha_prompt[::-1]}0"),
            (both.there, second, second.captcha_prompt[::-1]),
        ):
            assert await refused(answer(world, token, challenge, said)) == "CHALLENGE_INVALID"
        assert (await both.there.admin.get_standing(bob.jid)).sanctions
        third = await begin(both.there, token)
        await answer(both.here, token, third, third.captcha_prompt[::-1])
        assert not (await both.there.admin.get_standing(bob.jid)).sanctions
