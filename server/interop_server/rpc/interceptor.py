"""What every call goes through: its session, its request id, its place in the journal, and refusals as statuses."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.rpc.calls import REQUEST_ID_METADATA, Call, Context, Method, chosen_id, method_of
from interop_server.rpc.errors import DETAILS_METADATA, status_details
from interop_server.rpc.repeats import Repeats
from interop_server.rpc.session import Sessions
from interop_server.rpc.statuses import STATUS_CODES

Behavior = Callable[[Any, Any], Awaitable[Any]]

_log = logging.getLogger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Turns refusals into statuses with details, and everything unexpected into an opaque SERVER_FAULT.

    A call without a session that needs one is refused before its request is parsed. Requests that do not stream are
    parsed here: gRPC itself would answer bytes that are no message with UNKNOWN. Every handler behind it is a coroutine
    function, also those that stream, and gets a `Call`. What becomes of each call stands in the journal.
    """

    def __init__(self, journal: Journal, sessions: Sessions, repeats: Repeats) -> None:
        self._journal = journal
        self._sessions = sessions
        self._repeats = repeats

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wraps the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(self._refuse_unknown)
        if (method := method_of(handler_call_details.method)) is None:
            return handler
        make, behavior = _kind(handler)
        parse, streams = handler.request_deserializer, handler.request_streaming
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            self._guard(behavior, method, _as_it_is if streams or parse is None else parse),
            request_deserializer=parse if streams else None,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    async def _refuse_unknown(self, _request: Any, context: Context) -> None:
        """Answers a call of a method that is not there as gRPC does, but with a name for it, as every call has one."""
        request_id = chosen_id(context) or self._journal.unrecorded_request_id()
        message = "the server has no such method: see protos/"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message, ((REQUEST_ID_METADATA, request_id),))

    def _guard(self, behavior: Behavior, method: Method, parse: Callable[[Any], Any]) -> Behavior:
        async def guarded(request: Any, context: Context) -> Any:
            call = Call(context, method, self._journal)
            try:
                if method.needs_session:
                    connection = self._sessions.connection(context)
                    call.belongs_to(connection.account, connection.capabilities)
                response = await self._perform(behavior, parse(request), request, call)
            except Refusal as refusal:
                await _refuse(refusal, call, context)
            except DecodeError:
                unreadable = Refusal(
                    Reason.REQUEST_MALFORMED, "the bytes are no message of this method", requirement="SIM-01"
                )
                await _refuse(unreadable, call, context)
            except grpc.aio.AbortError:
                raise
            except Exception:  # noqa: BLE001 - the one place that catches everything: nothing unexpected reaches the wire
                _log.exception("%s failed", method.name)
                await _refuse(Refusal(Reason.SERVER_FAULT), call, context)
            context.set_trailing_metadata(((REQUEST_ID_METADATA, call.request_id),))
            return response

        return guarded

    async def _perform(self, behavior: Behavior, message: Any, request: Any, call: Call) -> Any:
        if call.method.is_repeatable and message.request_id:
            return await self._repeats.answer(call, message.request_id, request, lambda: behavior(message, call))
        response = await behavior(message, call)
        call.accept()
        return response


async def _refuse(refusal: Refusal, call: Call, context: Context) -> NoReturn:
    call.refuse(refusal)
    _log.info("%s refused: %s [request %s]", call.method.name, refusal, refusal.request_id)
    metadata = ((DETAILS_METADATA, status_details(refusal)), (REQUEST_ID_METADATA, call.request_id))
    await context.abort(STATUS_CODES[refusal.reason.category], str(refusal), metadata)
    raise AssertionError("abort returned")


def _as_it_is(request: Any) -> Any:
    return request


def _kind(handler: Any) -> tuple[Callable[..., Any], Behavior]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary
