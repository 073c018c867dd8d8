"""Spans of HTTP requests; knows no exporter. Loaded only when spans are wanted."""

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from interop_server.http.refusals import REQUEST_ID_HEADER

_OTHER_METHOD = "_OTHER"
"""What the semantic conventions call a method that HTTP does not have."""
_SERVER_FAULT = 500
_propagator = TraceContextTextMapPropagator()


def request_spans(tracer: Tracer) -> Middleware:
    """Returns a middleware that makes a span for each request, in the trace of its caller (W3C Trace Context).

    It has the route and not the path, which can be the key to what lies there.
    """

    @web.middleware
    async def in_span(request: web.Request, handler: Handler) -> web.StreamResponse:
        method = request.method if request.method in hdrs.METH_ALL else _OTHER_METHOD
        resource = request.match_info.route.resource
        attributes = {"http.request.method": method, "url.scheme": request.scheme}
        if resource is not None:
            attributes["http.route"] = resource.canonical
        with tracer.start_as_current_span(
            f"{method} {attributes.get('http.route', '')}".rstrip(),
            context=_propagator.extract(request.headers),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            if (request_id := response.headers.get(REQUEST_ID_HEADER)) is not None:
                span.set_attribute("interopsim.request_id", request_id)
            if response.status >= _SERVER_FAULT:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", str(response.status))
            return response

    return in_span
