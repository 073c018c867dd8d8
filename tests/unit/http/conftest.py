"""Real HTTP servers on loopback: partners that behave in every way a partner can."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from interop_server.core.faults import Faults
from interop_server.core.journal import Journal
from interop_server.core.model import IdentifierType, Partner, PartnerStatus
from interop_server.fault_gate import FaultGate
from interop_server.rpc.convert.faults import catalogue
from interop_server.runtime.clock import AdjustableClock
from interop_server.runtime.rng import SeededRng

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawAnswer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def make_partner(base_url: str, integrator: int = 100) -> Partner:
    return Partner(
        integrator=integrator,
        name="Bats",
        issuer="https://bats.example",
        base_url=base_url,
        push_url=f"{base_url}/whatsapp/push" if base_url else "",
        media_url=f"{base_url}/media" if base_url else "",
        status=PartnerStatus.ACTIVE,
        identifier_type=IdentifierType.EMAIL,
    )


@pytest.fixture
def journal() -> Journal:
    """Where the HTTP surface records what it decides."""
    return Journal(AdjustableClock(), SeededRng(1))


@pytest.fixture
def gate(journal: Journal) -> FaultGate:
    """No fault is ordered."""
    return FaultGate(Faults(journal, lambda: catalogue(())), AdjustableClock())


@pytest.fixture
def partner() -> Callable[..., Partner]:
    """Makes a partner whose servers lie under a base URL."""
    return make_partner


@asynccontextmanager
async def _serve(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _serve_raw(answer: RawAnswer) -> AsyncIterator[str]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def serve_partner() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Starts an aiohttp server that answers every request by a handler; returns its base URL."""
    async with AsyncExitStack() as stack:
        yield lambda handler: stack.enter_async_context(_serve(handler))


@pytest.fixture
async def serve_bytes() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Starts a server that answers with these bytes as they are, then hangs up, or keeps silent when told to."""
    async with AsyncExitStack() as stack:

        async def start(content: bytes, *, then_hang: bool = False) -> str:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(content)
                await writer.drain()
                if then_hang:
                    await reader.read()  # until the client hangs up

            return await stack.enter_async_context(_serve_raw(answer))

        yield start


@pytest.fixture
async def closed_port() -> str:
    """The base URL of a server that has just gone."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"
