"""Tests of a messenger's server as a whole: how it stops, and what it takes from whoever connects."""

import asyncio
import json
import logging
import resource
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from partner_server import PartnerServer, PartnerSettings, SigningKeys, serving


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with PartnerServer(PartnerSettings(tmp_path), keys=SigningKeys()) as server:
        yield int(server.base_url.rpartition(":")[2])


async def answer(port: int, request: bytes) -> bytes:
    """What comes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_a_connection_that_says_nothing_is_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that begins a request; one that has asked stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"GET /pushes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await reader.readuntil(b"]}")).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(serving, "SILENT_SECONDS", 0.05)
        assert await answer(port, b"") == await answer(port, b"GET /pushes HT") == b""
    writer.close()


async def test_connections_leave_files_for_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed; those before it are answered."""
    monkeypatch.setattr(serving, "most_connections", lambda: 2)
    async with PartnerServer(PartnerSettings(tmp_path), keys=SigningKeys()) as server:
        port = int(server.base_url.rpartition(":")[2])
        first = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in first:
            writer.write(b"GET /pushes HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionError):
            assert not await asyncio.wait_for(reader.read(), 10)
            raise ConnectionResetError
        for _, each in (*first, (reader, writer)):
            each.close()


async def test_blobs_that_nobody_takes_leave_files_for_the_others(tmp_path: Path) -> None:
    """Each has a connection and a file. Without a file, no connection was accepted, and each attempt was in the log."""
    files = 96
    arguments = (sys.executable, "-m", "partner_server", "--data", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files // 2, files)),
    )
    assert process.stdout is not None
    port = int(json.loads(await process.stdout.readline())["base_url"].rpartition(":")[2])
    blob = bytes(16 << 20)  # more than the two ends of a connection take
    head = b"PUT /media/r HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(blob)
    assert b" 201 " in await answer(port, head + blob)
    begun = [await _begun(port, b"GET /media/r HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") for _ in range(files)]
    heads = [head for head, _ in begun]
    assert set(heads) == {b"HTTP/1.1 200 OK\r\n", b""}
    assert heads.count(b"HTTP/1.1 200 OK\r\n") == (files - serving._OWN_FILES) // 4
    for _, writer in begun:
        writer.close()
    process.terminate()
    _, said = await process.communicate()
    assert (process.returncode, said) == (0, b"")


async def _begun(port: int, request: bytes) -> tuple[bytes, asyncio.StreamWriter]:
    """The first line of an answer of which no more is read; empty when the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.readline(), 10), writer
    except ConnectionError:
        return b"", writer


async def test_what_is_no_http_stands_in_no_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """A header that cannot be may hold a token."""
    with caplog.at_level(logging.INFO):
        assert b" 400 " in await answer(
            port, b"POST /tokens HTTP/1.1\r\nAuthorization: Bearer SECRET\x01\r\nConnection: close\r\n\r\n"
        )
    assert "SECRET" not in caplog.text and "Traceback" not in caplog.text
    assert "a request was not HTTP: " in caplog.text


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_it_stops_is_ended(turns: int, tmp_path: Path) -> None:
    async with PartnerServer(PartnerSettings(tmp_path), keys=SigningKeys()) as server:
        late = socket.create_connection(("127.0.0.1", int(server.base_url.rpartition(":")[2])))
        for _ in range(turns):
            await asyncio.sleep(0)
    late.setblocking(False)
    with late:
        try:
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(late, 1), 5) == b""
        except ConnectionResetError:  # it was never accepted
            assert turns < 2
