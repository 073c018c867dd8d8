"""What an attacker with keys and tokens of any kind tries at the doors of a server: logging in, and enlisting."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc.aio
import pytest

from interop_api.v1 import chat_pb2, enlistment_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.connection.calls import unary_call
from interop_client.connection.login import third_party_login
from interop_client.errors import ServerRefusal, refusal_from_rpc_error
from interop_client.state import ClientState
from tests.e2e.conftest import World
from tests.e2e.raw import RawStream, check, enlistment
from tests.e2e.wire import sealed_message


async def log_in(world: World, auth_private_key: bytes, payload: chat_pb2.LoginPayload) -> str:
    """Logs in and leaves again; returns the reason of the refusal, empty when the login succeeds."""
    async with RawStream(world.endpoint.grpc) as stream:
        try:
            await stream.log_in(auth_private_key, payload)
        except ServerRefusal as refusal:
            return refusal.reason
    return ""


async def log_in_as(world: World, victim: InteropClient, token: str, auth_private_key: bytes) -> str:
    """Logs in to somebody's account with a token and an auth key; returns as `log_in`."""
    return await log_in(world, auth_private_key, third_party_login(victim.jid, token))


async def enlist(world: World, token: str, state: ClientState | None = None) -> enlistment_pb2.EnlistResponse:
    """Enlists with keys, by default fresh ones."""
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        return await unary_call(
            channel,
            "/interop_api.v1.EnlistmentService/Enlist",
            enlistment(state or ClientState.generate(), token),
            enlistment_pb2.EnlistResponse,
        )


def message_from(sender: str, to: str, message_id: str = "forged") -> stanza_pb2.Message:
    """Returns a message that names its sender."""
    message = sealed_message(to, message_id).message
    message.from_jid = sender
    return message


@contextmanager
def refused_call(reason: str) -> Iterator[None]:
    """Asserts that a call of a bare stub in the block is refused for a reason."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    check(refusal_from_rpc_error(raised.value), reason)
