"""Refusals on the gRPC wire: as a message and as a status; knows no rule."""

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from interop_api.v1 import errors_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import ANONYMOUS, OPERATOR, Journal
from interop_server.rpc.statuses import STATUS_CODES

DOMAIN = "interopsim"
DETAILS_METADATA = "grpc-status-details-bin"

Context = grpc.aio.ServicerContext[Any, Any]

IS_RECORDED: ContextVar[bool] = ContextVar("is_recorded", default=False)
"""Whether what became of the call under way stands in the journal already: its response holds a refusal."""

_LOOKING = ("Get", "List", "Read", "Explain", "Audit")
"""How admin calls that change nothing begin. They are no decisions: the journal has them only when they are refused."""

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""JID of the account that makes the call under way, once its session is known."""

_log = logging.getLogger(__name__)


def refusal_to(refusal: Refusal) -> errors_pb2.Refusal:
    """Returns a refusal as a message."""
    message = errors_pb2.Refusal(
        reason=errors_pb2.ErrorReason.ValueType(refusal.reason.value),
        requirement=refusal.requirement,
        advice=refusal.advice,
        request_id=refusal.request_id,
        code=refusal.code,
        recovery=errors_pb2.Recovery.ValueType(refusal.reason.recovery.value),
        violations=[errors_pb2.FieldViolation(**violation._asdict()) for violation in refusal.violations],
    )
    if refusal.retry_after_ms is not None:
        message.retry_after_ms = refusal.retry_after_ms
    return message


def status_details(refusal: Refusal) -> bytes:
    """Returns a refusal as a serialised `google.rpc.Status`: see errors.proto for the details that it has."""
    # Imported at the first refusal: a plain start must not pay for it.
    from google.protobuf.any_pb2 import Any as AnyMessage
    from google.rpc import error_details_pb2, status_pb2

    message = refusal_to(refusal)
    details: list[Message] = [_error_info(refusal), message]
    if message.HasField("retry_after_ms"):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(message.retry_after_ms)
        details.append(retry)
    if refusal.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(**violation._asdict()) for violation in refusal.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    status = status_pb2.Status(code=STATUS_CODES[refusal.reason.category].value[0], message=str(refusal))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    serialized: bytes = status.SerializeToString()
    return serialized


def _error_info(refusal: Refusal) -> Message:
    from google.rpc import error_details_pb2

    metadata = {
        "requirement": refusal.requirement,
        "advice": refusal.advice,
        "recovery": refusal.reason.recovery.name,
        "code": str(refusal.code),
        "request_id": refusal.request_id,
    }
    info: Message = error_details_pb2.ErrorInfo(reason=refusal.reason.name, domain=DOMAIN, metadata=metadata)
    return info


async def abort(context: Context, refusal: Refusal) -> NoReturn:
    """Ends a call with the status and details of a refusal."""
    details = status_details(refusal)
    await context.abort(STATUS_CODES[refusal.reason.category], str(refusal), ((DETAILS_METADATA, details),))
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
