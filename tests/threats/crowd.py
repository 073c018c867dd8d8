"""Many accounts at once, each on a connection of its own: lean clients, so that the server is what is busy."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio

from interop_api.v1 import enlistment_pb2_grpc, interop_pb2, interop_pb2_grpc
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.state import ClientState
from interop_client.whatsapp import TERMS_ID
from tests.bench.lean_client import Account, LeanClient
from tests.e2e.conftest import World
from tests.e2e.raw import enlistment

MANY = 50
"""How many clients an attack by many has at least."""

_AT_ONCE = 50
"""How many log in at once: each handshake has a deadline, and all of them one process of the attacker's."""

_numbers = itertools.count(20_000_000)


@asynccontextmanager
async def whatsapp_crowd(world: World, count: int = MANY) -> AsyncIterator[Sequence[LeanClient]]:
    """WhatsApp users, connected and opted in for the world's messenger; disconnected at the end."""
    async with AsyncExitStack() as stack:
        yield await _few_at_once(lean_whatsapp(world, stack) for _ in range(count))


@asynccontextmanager
async def third_party_crowd(world: World, count: int = MANY) -> AsyncIterator[Sequence[LeanClient]]:
    """Users of the world's messenger, enlisted and connected; disconnected at the end."""
    async with AsyncExitStack() as stack:
        yield await _few_at_once(lean_third_party(world, stack, f"crowd{number}") for number in range(count))


async def _few_at_once(logins: Iterable[Awaitable[LeanClient]]) -> Sequence[LeanClient]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def log_in(login: Awaitable[LeanClient]) -> LeanClient:
        async with slots:
            return await login

    return await asyncio.gather(*map(log_in, logins))


async def lean_whatsapp(world: World, stack: AsyncExitStack) -> LeanClient:
    """One WhatsApp user, connected and opted in for the world's messenger."""
    state = ClientState.generate()
    state.jid = await world.admin.put_whatsapp_user(f"+49152{next(_numbers)}", state.auth_public_key)
    client = await LeanClient.log_in(world.endpoint.grpc, Account(state.auth_private_key, whatsapp_login(state.jid)))
    stack.push_async_callback(client.close)
    interop = interop_pb2_grpc.InteropServiceStub(client.channel)
    for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
        terms = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
        await interop.RecordTerms(terms, metadata=client.metadata)
    await interop.OptIn(interop_pb2.OptInRequest(integrators=[world.integrator]), metadata=client.metadata)
    return client


async def lean_third_party(world: World, stack: AsyncExitStack, user: str) -> LeanClient:
    """One user of the world's messenger, enlisted and connected."""
    state = ClientState.generate()
    token = world.partner.issue_token(user)
    async with grpc.aio.insecure_channel(world.endpoint.grpc) as channel:
        response = await enlistment_pb2_grpc.EnlistmentServiceStub(channel).Enlist(enlistment(state, token))
    client = await LeanClient.log_in(
        world.endpoint.grpc, Account(state.auth_private_key, third_party_login(response.success.login, token))
    )
    stack.push_async_callback(client.close)
    return client
