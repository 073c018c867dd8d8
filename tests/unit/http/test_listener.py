"""HTTP listens before what answers is loaded, and answers in the end, also when that could not be loaded at first."""

import asyncio
import errno
import importlib
import os
import socket
from types import ModuleType
from typing import Any

import pytest
from aiohttp import ClientSession, web

from interop_server.core.troubles import Troubles
from interop_server.http import listener
from interop_server.http.listener import listen
from interop_server.http.surface import HttpServer, serve


@pytest.mark.parametrize("part", ["code", "start"])
async def test_what_could_not_be_loaded_or_started_is_tried_later(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """As when descriptors are gone just then: no failure is the end of HTTP, and health says so meanwhile."""
    failures = [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        ImportError("cannot open shared object file"),
        RuntimeError("can't start new thread"),
    ]
    said, ports = list[str](), list[int]()
    troubles = Troubles()
    troubles.watch(lambda name, sentence: said.append(f"{name}: {sentence}"))

    def fail_at(here: str) -> None:
        if here == part and failures:
            raise failures.pop(0)

    def load(name: str) -> ModuleType:
        fail_at("code")
        return importlib.__import__(name)

    async def start(sock: socket.socket) -> HttpServer:
        ports.append(sock.getsockname()[1])
        fail_at("start")
        return await serve(web.Application(), sock, 10, 20)

    monkeypatch.setattr(listener, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(importlib, "import_module", load)
    http = listen("127.0.0.1", 0)
    await http.serve(start, troubles)
    assert (failures, ports) == ([], [http.port] * (4 if part == "start" else 1))
    assert [line.partition(" (")[0] for line in said] == ["http: HTTP is not answered yet", "http: "]
    assert "Too many open files" in said[0]
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{http.port}/") as response:
        assert response.status == 404
    await http.stop()


async def test_a_start_that_fails_leaves_the_socket_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt gets as far as the event loop, which then cannot wait for the socket."""
    loop, failures = asyncio.get_running_loop(), [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))]
    create = loop.create_server

    async def refuse(*arguments: Any, **named: Any) -> asyncio.Server:
        if failures:
            raise failures.pop()
        return await create(*arguments, **named)

    monkeypatch.setattr(listener, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(loop, "create_server", refuse)
    http = listen("127.0.0.1", 0)
    await http.serve(lambda sock: serve(web.Application(), sock, 10, 20))
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{http.port}/") as response:
        assert response.status == 404
    await http.stop()
