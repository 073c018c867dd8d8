"""One call over gRPC, with its refusal as an exception; knows no chat channel and no session."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from interop_client.errors import refusal_from_rpc_error

CALL_SECONDS = 30.0
"""Longest wait for the answer of a unary call."""

M = TypeVar("M", bound=Message)

Metadata = tuple[tuple[str, str], ...]


async def unary_call(
    channel: grpc.aio.Channel,
    method: str,
    request: Message,
    response_type: type[M],
    metadata: Metadata = (),
    timeout: float = CALL_SECONDS,
) -> M:
    """Makes a unary call by the full name of its method.

    Raises:
        ServerRefusal: The call was refused or failed.
    """
    unary: grpc.aio.UnaryUnaryMultiCallable[Any, M] = channel.unary_unary(
        method, request_serializer=type(request).SerializeToString, response_deserializer=response_type.FromString
    )
    try:
        return await unary(request, metadata=metadata, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        raise refusal_from_rpc_error(error) from error


@contextmanager
def reading(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> Iterator[None]:
    """Surrounds the reading of an answer that is streamed; cancels the call when its reader stops early.

    Raises:
        ServerRefusal: The call was refused or failed.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise refusal_from_rpc_error(error) from error
    finally:
        call.cancel()
