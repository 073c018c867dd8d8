"""The documented HTTP surface: enlistment, downloads, the simulator's key set; knows no rule behind them."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from interop_server.core.enlistment.client_ip import rate_limit_key
from interop_server.core.enlistment.enlistment import EnlistmentForm
from interop_server.core.errors import Reason, Refusal
from interop_server.core.journal import Journal
from interop_server.core.media.media import is_proxied
from interop_server.core.seats import Seats, proxied_from, transfer_from
from interop_server.fault_gate import FaultGate, Severed
from interop_server.faulty_media import MediaAccess
from interop_server.http.connections import IDLE_SECONDS, BoundedConnections, note_request
from interop_server.http.downloads import respond_with_blob
from interop_server.http.faulty_requests import media_for, perform
from interop_server.http.forms import MAX_FORM_BYTES, failure, read_form, success
from interop_server.http.listener import BACKLOG
from interop_server.http.outbound import PROXIED
from interop_server.http.refusals import JOURNAL, name_response, record_acceptance, record_refusal, refusal_response

SERVER_NAME = "interopsim"
MAX_LINE_BYTES = 8 << 10
"""Longest request line, and longest header; policy."""
_SHUTDOWN_SECONDS = 1.0
_HUNG_UP = (ConnectionError, web.RequestPayloadError)
"""What reading a request or writing an answer raises when the client is gone. What goes wrong between the server and
others is a refusal by the time that it comes here."""
_UNHEARD = 400
"""The status of an answer that nobody gets."""
_log = logging.getLogger(__name__)


def build_application(
    enlist: Callable[[EnlistmentForm, str], Awaitable[str]],
    media: MediaAccess,
    jwks: Callable[[], Awaitable[Mapping[str, object]]],
    journal: Journal,
    seats: Seats,
    gate: FaultGate,
) -> web.Application:
    """Builds the HTTP surface. Source: ENL-11, MED-02, MED-04, LIF-01.

    Args:
        enlist: Takes the form and the client's address, enlists and returns the internal identifier; raises Refusal.
        media: Opens blobs.
        jwks: Returns the key set with which partners verify pushes.
        journal: Records the outcome of each request.
        seats: Bounds how many blobs are sent at once.
        gate: The faults that requests meet.
    """

    async def enlist_from(request: web.Request) -> str:
        return await enlist(await read_form(request), request.remote or "")

    async def post_enlistment(request: web.Request) -> web.StreamResponse:
        try:
            login = await perform(request, gate, partial(enlist_from, request))
        except Refusal as refusal:
            return failure(refusal, record_refusal(request, refusal))
        return success(login, record_acceptance(request, login))

    async def get_blob(request: web.Request) -> web.StreamResponse:
        # The path as it came: an escaped slash or dot segment must reach the rules as written, and be refused there.
        address, path = rate_limit_key(request.remote or ""), request.rel_url.raw_path
        with seats.taken(transfer_from(address) + (proxied_from(address) if is_proxied(path) else ())):
            return await perform(request, gate, partial(respond, request))

    async def respond(request: web.Request) -> web.StreamResponse:
        access = media_for(request, media, gate)
        if isinstance(access, int):
            return web.Response(status=access)
        return await respond_with_blob(request, access, request.rel_url.raw_path)

    async def get_jwks(request: web.Request) -> web.StreamResponse:
        return web.json_response(dict(await perform(request, gate, jwks)))

    application = web.Application(middlewares=[_answer_in_json, _refuse_loops], client_max_size=MAX_FORM_BYTES)
    application[JOURNAL] = journal
    application.router.add_post("/3p/interop_reg", post_enlistment, name="interop_reg")
    application.router.add_get("/v/t{rest:.*}", get_blob, name="upload")
    application.router.add_get("/interop/whatsapp/download/{rest:.*}", get_blob, name="partner_media")
    application.router.add_get("/.well-known/jwks", get_jwks, name="jwks")
    application.on_response_prepare.append(_name_server)
    application.on_response_prepare.append(name_response)
    return application


class HttpServer:
    """A running HTTP server; made by `serve`."""

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server) -> None:
        self._runner = runner
        self._listener = listener

    async def stop(self) -> None:
        """Stops listening, gives running requests a second to end, then aborts them."""
        self._listener.close()
        await self._runner.cleanup()


async def serve(
    application: web.Application,
    sock: socket.socket,
    most_connections: int,
    silent_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> HttpServer:
    """Serves an application.

    Args:
        application: From `build_application`.
        sock: Listens; closed when the server is stopped.
        most_connections: How many there may be at once.
        silent_seconds: How long a new one may say nothing.
        tls: With its certificate and key; None for no TLS.
    """
    application.middlewares.insert(0, note_request)
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_protocol_log(),
        auto_decompress=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    assert runner.server is not None
    connections = BoundedConnections(runner.server, most_connections, silent_seconds, tls)
    try:
        listener = await asyncio.get_running_loop().create_server(connections, sock=sock, backlog=BACKLOG)
    except BaseException:
        await runner.cleanup()
        raise
    return HttpServer(runner, listener)


class _WithoutRequest(logging.Filter):
    """Keeps out of the log what aiohttp quotes from a request that is not HTTP, which may include tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leaves only the kind of error in the record, and nothing that the client sent."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        record.msg, record.args = "a request was not HTTP: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        return _log.isEnabledFor(logging.INFO)


def _protocol_log() -> logging.Logger:
    log = logging.getLogger(f"{__name__}.protocol")
    if not log.filters:
        log.addFilter(_WithoutRequest())
    return log


@web.middleware
async def _refuse_loops(request: web.Request, handler: Handler) -> web.StreamResponse:
    if PROXIED in request.headers:
        raise Refusal(
            Reason.PARTNER_MEDIA_UNAVAILABLE, "the request comes from a simulator, so it would go in a circle"
        )
    return await handler(request)


@web.middleware
async def _answer_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal_response(request, refusal)
    except web.HTTPException as error:
        # aiohttp keeps the error with the request, which its trace holds: both would wait for the garbage collector.
        return _routing_refusal(request, error.with_traceback(None))
    except Severed:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=_UNHEARD)
    except _HUNG_UP as error:
        _log.info("a client hung up before its request was answered: %s", type(error).__name__)
        return web.Response(status=_UNHEARD)
    except Exception:  # noqa: BLE001 - the edge: every unexpected error gives the client the same opaque answer
        _log.exception("an HTTP request failed unexpectedly")
        return refusal_response(request, Refusal(Reason.SERVER_FAULT))


def _routing_refusal(request: web.Request, error: web.HTTPException) -> web.Response:
    """Answers an unknown path or method."""
    response = refusal_response(
        request, Refusal(Reason.REQUEST_MALFORMED, error.reason, requirement="SIM-01"), status=error.status
    )
    if hdrs.ALLOW in error.headers:
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response


async def _name_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER_NAME
