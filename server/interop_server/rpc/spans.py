"""Spans of calls and of what happens within a chat channel; knows no exporter. Loaded only when spans are wanted.

OpenTelemetry's own instrumentation of gRPC takes handlers that stream for asynchronous generators. Here they are
coroutines, which write.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from interop_server.core.errors import Refusal
from interop_server.rpc.calls import REQUEST_ID_METADATA, Context

P = ParamSpec("P")
T = TypeVar("T")

_UNKNOWN_METHOD = "_OTHER"
"""What the semantic conventions call a method that the server does not have."""
_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)  # fmt: skip
"""Statuses that are errors of a server, by the semantic conventions; the others are the caller's."""
_STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether the request and the response are streams."""
_propagator = TraceContextTextMapPropagator()


class CallSpans(grpc.aio.ServerInterceptor):
    """Makes a span for each call, in the trace of its caller (W3C Trace Context). It goes before other interceptors.

    Args:
        tracer: Makes spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handler of one call, which is a coroutine function, as the other interceptor makes all of them."""
        handler = await continuation(handler_call_details)
        kinds = (handler.stream_stream, handler.stream_unary, handler.unary_stream, handler.unary_unary)
        [behavior] = (each for each in kinds if each is not None)

        async def traced(request: Any, context: Context) -> Any:
            with self._call(handler_call_details, context):
                return await behavior(request, context)

        return _MAKERS[handler.request_streaming, handler.response_streaming](
            traced, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )

    @contextmanager
    def _call(self, details: grpc.HandlerCallDetails, context: Context) -> Iterator[None]:
        method = _known(details.method.removeprefix("/"))
        carrier = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        with self._tracer.start_as_current_span(
            method,
            context=_propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": method,
                # By their names of before, which many backends look for.
                "rpc.system": "grpc",
                "rpc.service": method.partition("/")[0],
            },
            record_exception=False,  # none may show what a client has sent
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except asyncio.CancelledError:
                _end(span, grpc.StatusCode.CANCELLED.value[0], context)
                raise
            except BaseException:
                _end(span, _code_of(context) or grpc.StatusCode.UNKNOWN.value[0], context)
                raise
            _end(span, _code_of(context), context)

    def around(self, name: str, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Returns work that is done in a span of this name, within the span that is there then."""

        async def traced(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._tracer.start_as_current_span(
                name, record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    return await work(*args, **kwargs)
                except Refusal as refusal:
                    span.set_attribute("error.type", refusal.reason.name)
                    raise

        return traced


def _known(method: str) -> str:
    service, _, name = method.partition("/")
    try:
        descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
    except KeyError:
        return _UNKNOWN_METHOD
    return method


def _code_of(context: Context) -> int:
    code = context.code()
    return code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)


def _end(span: Span, code: int, context: Context) -> None:
    name = _STATUS_NAMES.get(code, str(code))
    span.set_attributes({"rpc.response.status_code": name, "rpc.grpc.status_code": code})
    for key, value in context.trailing_metadata() or ():
        if key == REQUEST_ID_METADATA and isinstance(value, str):
            span.set_attribute("interopsim.request_id", value)
    if code:
        span.set_attribute("error.type", name)
    if name in _FAULTS:
        span.set_status(Status(StatusCode.ERROR))
