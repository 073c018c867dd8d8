"""Lets callers that know the token in, and no others, on an admin port that other machines reach; knows no call."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

from interop_server.rpc.calls import Context, abort

_OPEN = "/grpc.health.v1.Health/"
"""What anybody may ask: whether the server works."""


class AdminGate(grpc.aio.ServerInterceptor):
    """Refuses calls without the token with UNAUTHENTICATED.

    Args:
        token: What a call must have as its metadata `authorization: Bearer …`.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns what handles a call."""
        if handler_call_details.method.startswith(_OPEN) or self._is_let_in(handler_call_details):
            return await continuation(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_refuse)

    def _is_let_in(self, details: grpc.HandlerCallDetails) -> bool:
        given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        return any(hmac.compare_digest(_bytes(value), self._expected) for value in given)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


async def _refuse(_requests: object, context: Context) -> NoReturn:
    await abort(
        context,
        grpc.StatusCode.UNAUTHENTICATED,
        "The admin port takes calls with its token only: the field `admin_token` of the ready line.",
    )
    raise AssertionError("abort returned")
