"""What a request may hold: a body as it is, and of the private routes a JSON object; knows no route."""

from aiohttp import web
from aiohttp.typedefs import Handler

from interop_protocol.json_text import read_sent_json


@web.middleware
async def plain_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses a body that says it is compressed: no client has a reason to, and a small one could be of any size."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise web.HTTPUnsupportedMediaType(text="send the body as it is, without Content-Encoding")
    return await handler(request)


async def read_object(request: web.Request) -> dict[str, object]:
    """Returns the fields of a JSON object.

    Raises:
        web.HTTPBadRequest: The body holds none.
    """
    try:
        fields = read_sent_json(await request.read())
    except ValueError as error:
        raise web.HTTPBadRequest(text="the body must be JSON") from error
    if not isinstance(fields, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return fields
