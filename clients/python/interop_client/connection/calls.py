"""One call over gRPC, with its refusal as an exception; knows no chat channel and no session.

Calls that a repetition would do twice have a field `request_id`. They are repeated when their answer is lost, under the
same id, and so done once. Source: errors.proto.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from interop_client.cancellation import is_asked_to_end
from interop_client.errors import ConnectionEnded, refusal_from_rpc_error

CALL_SECONDS = 30.0
"""Longest wait for the answer of a unary call."""

REPEAT_SECONDS = (0.1, 0.5)
"""The wait before each repetition of a call whose answer was lost."""

_CLIENT_PACKAGE = "interop_api.v1"
_ID_FIELD = "request_id"
_ID_BYTES = 16
_LOST = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN})
"""The statuses of a call that may have been done although no answer came, unless a refusal comes with them."""

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
    """Makes a unary call by the full name of its method; repeats it when it can be, and its answer was lost.

    Raises:
        ServerRefusal: The call was refused or failed.
        ConnectionEnded: CLOSED: this client was closed meanwhile; the call may have been done.
    """
    unary: grpc.aio.UnaryUnaryMultiCallable[Any, M] = channel.unary_unary(
        method, request_serializer=type(request).SerializeToString, response_deserializer=response_type.FromString
    )
    repeatable = _with_request_id(request)
    waits = iter(REPEAT_SECONDS if repeatable is not None else ())
    while True:
        try:
            with ended_by_closing():
                return await unary(repeatable or request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            wait = next(waits, None) if error.code() in _LOST and not refusal_from_rpc_error(error).code else None
            if wait is None:
                raise refusal_from_rpc_error(error) from error  # kept here, it would keep this frame and the connection
        await asyncio.sleep(wait)


def _with_request_id(request: M) -> M | None:
    """Returns a call with an id of its own, or the caller's; None when its kind has none.

    Only for the calls of clients: in those of operators, a field of this name can also name a refusal.
    """
    kind = request.DESCRIPTOR
    if kind.file.package != _CLIENT_PACKAGE or _ID_FIELD not in kind.fields_by_name:
        return None
    repeatable = type(request)()
    repeatable.CopyFrom(request)
    if not getattr(repeatable, _ID_FIELD):
        setattr(repeatable, _ID_FIELD, os.urandom(_ID_BYTES).hex())
    return repeatable


@contextmanager
def ended_by_closing() -> Iterator[None]:
    """Surrounds a call: when this client is closed under it, that is told, and not as a cancellation of its caller.

    Raises:
        ConnectionEnded: CLOSED.
    """
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.UsageError) as error:
        if isinstance(error, asyncio.CancelledError) and is_asked_to_end():
            raise
        raise ConnectionEnded("CLOSED", "This client was closed meanwhile; the call may have been done.") from None


@contextmanager
def reading(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> Iterator[None]:
    """Surrounds the reading of an answer that is streamed; cancels the call when its reader stops early.

    Raises:
        ServerRefusal: The call was refused or failed.
        ConnectionEnded: CLOSED: this client was closed meanwhile.
    """
    try:
        with ended_by_closing():
            yield
    except grpc.aio.AioRpcError as error:
        raise refusal_from_rpc_error(error) from error
    finally:
        call.cancel()
