"""Who may ask the workbench for what: nothing that a page of another site can have a browser do; knows no route.

What is read needs a Host header that names this machine, against sites that rebind their name to it. What changes
anything needs the key too, which no other site can read.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from interop_protocol.content_types import read_content_type
from partner_server.local import is_for_this_machine

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Unwanted(Exception):
    """A request is refused.

    Args:
        status: HTTP status.
        sentence: Why, and what to do.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def guard(key: str) -> Middleware:
    """Returns the middleware that lets nobody else in, and answers what is refused with a sentence.

    Args:
        key: What whoever changes something must have.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check(request, key)
            response = await handler(request)
        except Unwanted as unwanted:
            response = web.json_response({"error": str(unwanted)}, status=unwanted.status)
        except web.HTTPException as refused:
            response = web.json_response({"error": f"{refused.reason}: there is nothing here."}, status=refused.status)
        except Exception:  # the one place that catches everything: whoever asks is told in JSON
            if request.writer.output_size:  # an answer has begun: all that is left is to close the connection
                raise
            _log.exception("a request failed")
            response = web.json_response({"error": "The workbench failed: its log says how."}, status=500)
        if not response.prepared:
            protect(response)
        return response

    return middleware


def protect(response: web.StreamResponse) -> None:
    """Sets the headers by which a browser keeps other sites, and what people send, away from the page."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")


def _check(request: web.Request, key: str) -> None:
    if not is_for_this_machine(request):
        raise Unwanted(421, "Ask for this under 127.0.0.1 or localhost.")
    if request.method in ("GET", "HEAD"):
        return
    kind = read_content_type(request.headers.get("Content-Type", ""))
    if kind.name != "application/json" or not kind.is_utf_8:
        raise Unwanted(415, "Send JSON.")
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {key}".encode()):
        raise Unwanted(403, "Send the key of the ready line: Authorization: Bearer KEY.")
