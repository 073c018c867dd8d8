"""Refusals on the gRPC wire: the one place that maps a category to a status; knows no rule."""

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from interop_api.v1 import errors_pb2
from interop_server.core.errors import Category, Reason, Refusal
from interop_server.core.journal import ANONYMOUS, OPERATOR, Journal

DOMAIN = "interopsim"
DETAILS_METADATA = "grpc-status-details-bin"

STATUS_CODES = {
    Category.INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Category.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Category.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Category.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Category.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Category.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Category.ABORTED: grpc.StatusCode.ABORTED,
    Category.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Category.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Category.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Context = grpc.aio.ServicerContext[Any, Any]

IS_RECORDED: ContextVar[bool] = ContextVar("is_recorded", default=False)
"""Whether what became of the call under way stands in the journal already: its response holds a refusal."""

_LOOKING = ("Get", "List", "Read", "Explain", "Audit")
"""How admin calls that change nothing begin. They are no decisions: the journal has them only when they are refused."""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""JID of the account that makes the call under way, once its session is known."""

_log = logging.getLogger(__name__)


def stanza_error(refusal: Refusal) -> errors_pb2.Refusal:
    """Returns a refusal as it travels inside the chat channel."""
    error = errors_pb2.Refusal(
        reason=errors_pb2.ErrorReason.ValueType(refusal.reason.value),
        requirement=refusal.reason.rule.requirement,
        advice=refusal.advice,
        request_id=refusal.request_id,
        code=refusal.reason.rule.code,
    )
    if refusal.retry_after_ms is not None:
        error.retry_after_ms = refusal.retry_after_ms
    return error


def status_details(refusal: Refusal) -> bytes:
    """Returns a refusal as a serialised `google.rpc.Status` with ErrorInfo, and RetryInfo where a retry can help."""
    # Imported at the first refusal: a plain start must not pay for it.
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.rpc import error_details_pb2, status_pb2

    rule = refusal.reason.rule
    info = error_details_pb2.ErrorInfo(
        reason=refusal.reason.name,
        domain=DOMAIN,
        metadata={
            "requirement": rule.requirement,
            "advice": refusal.advice,
            "code": str(rule.code),
            "request_id": refusal.request_id,
        },
    )
    details = [AnyMessage()]
    details[0].Pack(info)
    if refusal.retry_after_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(refusal.retry_after_ms)
        details.append(AnyMessage())
        details[1].Pack(retry)
    code = STATUS_CODES[rule.category].value[0]
    serialized: bytes = status_pb2.Status(code=code, message=str(refusal), details=details).SerializeToString()
    return serialized


async def abort(context: Context, refusal: Refusal) -> NoReturn:
    """Ends a call with the status and details of a refusal."""
    details = status_details(refusal)
    await context.abort(STATUS_CODES[refusal.reason.rule.category], str(refusal), ((DETAILS_METADATA, details),))
    raise AssertionError("abort returned")


class RefusalInterceptor(grpc.aio.ServerInterceptor):
    """Turns refusals into statuses with details, and everything unexpected into an opaque SERVER_FAULT.

    Requests that do not stream are parsed here: gRPC itself would answer bytes that are no message with UNKNOWN. Every
    handler behind it is a coroutine function, also those that stream. What becomes of each call stands in the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Wraps the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/interop_api."):
            return handler
        make, behavior = _kind(handler)
        parse, streams = handler.request_deserializer, handler.request_streaming
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            self._guard(behavior, method, _as_it_is if streams or parse is None else parse),
            request_deserializer=parse if streams else None,
            response_serializer=handler.response_serializer,
        )
        return wrapped

    def _guard(
        self, behavior: Callable[..., Awaitable[Any]], method: str, parse: Callable[[Any], Any]
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        action = _action(method)
        is_admin = method.startswith("/interop_api.admin.")
        is_silent = is_admin and action.partition(".")[2].startswith(_LOOKING)

        def caller() -> str:
            return OPERATOR if is_admin else CALLER.get() or ANONYMOUS

        async def refuse(refusal: Refusal, context: Context) -> None:
            self._journal.refuse(refusal, caller(), action)
            _log.info("%s refused: %s [request %s]", method, refusal, refusal.request_id)
            await abort(context, refusal)

        async def guarded(request: Any, context: Context) -> Any:
            CALLER.set("")
            IS_RECORDED.set(False)
            try:
                response = await behavior(parse(request), context)
                if not is_silent and not IS_RECORDED.get():
                    self._journal.record(caller(), action, "accepted")
                return response
            except Refusal as refusal:
                await refuse(refusal, context)
            except DecodeError:
                await refuse(Refusal(Reason.REQUEST_MALFORMED, "the bytes are no message of this method"), context)
            except grpc.aio.AbortError:
                raise
            except Exception:  # noqa: BLE001 - the one place that catches everything: nothing unexpected reaches the wire
                _log.exception("%s failed", method)
                await refuse(Refusal(Reason.SERVER_FAULT), context)

        return guarded


def _action(method: str) -> str:
    service, _, name = method.rpartition("/")
    return f"{service.rpartition('.')[2]}.{name}"


def _as_it_is(request: Any) -> Any:
    return request


def _kind(handler: Any) -> tuple[Callable[..., Any], Callable[..., Awaitable[Any]]]:
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary
