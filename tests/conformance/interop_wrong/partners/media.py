"""Defects of media servers."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from interop_wrong.register import wrong_partner
from partner_server import media
from partner_server.media import MediaFolder, MediaRoutes

_SERVED = "MED-02.media-is-served"
_Get = Callable[[MediaRoutes, web.Request], Coroutine[Any, Any, web.StreamResponse]]


def _change(get: _Get) -> None:
    MediaRoutes._get = get  # type: ignore[method-assign, assignment]


@wrong_partner("MED-02.media-of-any-size")
def cuts_long_files() -> None:
    """Hands out the first 65,536 bytes of a file."""
    get = MediaRoutes._get

    async def cut(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        path = self._folder.path_of(request.match_info["reference"])
        if not path.is_file() or path.stat().st_size <= 65_536:
            return await get(self, request)
        return web.Response(body=path.read_bytes()[:65_536])

    _change(cut)


@wrong_partner("MED-02.media-answers-ranges")
def ignores_ranges() -> None:
    """Hands out the whole file, whatever part was asked for."""
    get = MediaRoutes._get

    async def whole(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        path = self._folder.path_of(request.match_info["reference"])
        if request.method != "GET" or not path.is_file():
            return await get(self, request)
        return web.Response(body=path.read_bytes())

    _change(whole)


@wrong_partner(_SERVED)
def sends_clients_elsewhere() -> None:
    """Answers with a redirect to the server that has the files."""

    async def redirect(_: MediaRoutes, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"/files/{request.match_info['reference']}")

    _change(redirect)


@wrong_partner(_SERVED)
def changes_a_byte() -> None:
    """Hands out files with another last byte."""
    get = MediaRoutes._get

    async def changed(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        path = self._folder.path_of(request.match_info["reference"])
        if not path.is_file():
            return await get(self, request)
        content = path.read_bytes()
        return web.Response(body=content[:-1] + bytes((content[-1] ^ 1,)))

    _change(changed)


@wrong_partner("MED-02.media-says-its-length")
def streams_files() -> None:
    """Hands out files in chunks, without saying how long they are."""
    get = MediaRoutes._get

    async def stream(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        path = self._folder.path_of(request.match_info["reference"])
        if "Range" in request.headers or not path.is_file():
            return await get(self, request)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(path.read_bytes())
        return response

    _change(stream)


@wrong_partner("MED-02.media-unknown-is-not-there")
def has_something_for_everybody() -> None:
    """Hands out an empty picture for a file that it does not have."""
    get = MediaRoutes._get

    async def placeholder(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        try:
            return await get(self, request)
        except web.HTTPNotFound:
            return web.Response(body=b"GIF89a", content_type="image/gif")

    _change(placeholder)


@wrong_partner(
    "MED-03.media-traversal-is-refused",
    also=(
        "MED-03.media-reference-is-one-segment",
        "MED-03.media-odd-references-are-refused",
        "MED-03.media-long-reference-is-refused",
    ),
)
def takes_references_for_paths() -> None:
    """Takes a reference for the path of a file, and looks at neither."""

    def path_of(self: MediaFolder, reference: str) -> Path:
        return self._folder / reference

    MediaFolder.path_of = path_of  # type: ignore[method-assign]
    media._reference_of = lambda request: request.match_info["reference"]


@wrong_partner("MED-03.media-needs-no-cookie")
def sets_a_cookie_with_files() -> None:
    """Begins a session for whoever fetches a file."""
    get = MediaRoutes._get

    async def with_cookie(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        answer = await get(self, request)
        answer.headers["Set-Cookie"] = "session=1; Path=/"
        return answer

    _change(with_cookie)


@wrong_partner("MED-02.media-is-no-page")
def serves_files_as_pages() -> None:
    """Hands out files as HTML."""
    get = MediaRoutes._get

    async def as_page(self: MediaRoutes, request: web.Request) -> web.StreamResponse:
        answer = await get(self, request)
        answer.headers["Content-Type"] = "text/html"
        return answer

    _change(as_page)


@wrong_partner("MED-03.media-cannot-be-listed")
def lists_its_files() -> None:
    """Shows at the folder's address which files there are."""
    put, routes = MediaRoutes._put, MediaRoutes.routes
    references: list[str] = []

    async def note(self: MediaRoutes, request: web.Request) -> web.Response:
        references.append(request.match_info["reference"])
        return await put(self, request)

    async def show(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(list, references))

    def more(self: MediaRoutes) -> list[web.RouteDef]:
        return [*routes(self), web.get("/media", show)]

    MediaRoutes._put = note  # type: ignore[method-assign]
    MediaRoutes.routes = more  # type: ignore[method-assign]
