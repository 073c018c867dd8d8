"""Stands between a client and the server, as a bad network or a bad host would: sees all, changes what it is told to.

It forwards bytes and knows none of the keys.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import grpc.aio

Change = Callable[[str, bytes], bytes]
"""Gets the full name of a method and a message on its way back to the client; returns what the client gets."""


@asynccontextmanager
async def middleman(target: str, change: Change) -> AsyncIterator[str]:
    """Forwards every call to a server, with each answer changed; yields its address."""
    async with grpc.aio.insecure_channel(target) as channel:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Forwarder(channel, change),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(0)


class _Forwarder(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.aio.Channel, change: Change) -> None:
        self._channel = channel
        self._change = change

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method

        async def stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            call = self._channel.stream_stream(method)(_passed_on(requests), metadata=_metadata(context))
            try:
                async for response in call:
                    yield self._change(method, response)
            except grpc.aio.AioRpcError as error:
                await _abort(context, error)
            finally:
                call.cancel()

        async def unary(request: bytes, context: Any) -> bytes:
            try:
                response = await self._channel.unary_unary(method)(request, metadata=_metadata(context))
            except grpc.aio.AioRpcError as error:
                await _abort(context, error)
            return self._change(method, response)

        if method.endswith("/Connect"):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


async def _passed_on(requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    with suppress(asyncio.CancelledError):  # the client has left
        async for request in requests:
            yield request


def _metadata(context: Any) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((key, value) for key, value in context.invocation_metadata() if key == "authorization")


async def _abort(context: Any, error: grpc.aio.AioRpcError) -> None:
    trailing = tuple((key, value) for key, value in error.trailing_metadata() or ())
    await context.abort(error.code(), error.details() or "", trailing)
