"""HTTP listens before what answers is loaded, and answers in the end, also when that could not be loaded at first."""

import errno
import importlib
import logging
import os
import socket
from types import ModuleType

import pytest

from interop_server.http import listener
from interop_server.http.listener import listen
from interop_server.http.surface import HttpServer


async def test_what_could_not_be_loaded_is_loaded_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when descriptors are gone just then: each failure is a line in the log, and none is the end of HTTP."""
    failures = [OSError(errno.EMFILE, os.strerror(errno.EMFILE)), ImportError("cannot open shared object file")]
    started: list[socket.socket] = []

    def load(name: str) -> ModuleType:
        if failures:
            raise failures.pop(0)
        return importlib.__import__(name)

    async def start(sock: socket.socket) -> HttpServer:
        started.append(sock)
        raise LookupError("far enough")

    monkeypatch.setattr(listener, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(importlib, "import_module", load)
    http = listen("127.0.0.1", 0)
    with pytest.raises(LookupError), caplog.at_level(logging.ERROR):
        await http.serve(start)
    assert [sock.getsockname()[1] for sock in started] == [http.port]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "Too many open files" in caplog.records[0].getMessage()
    await http.stop()
