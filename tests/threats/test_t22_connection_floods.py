"""T22: sockets that are opened and say nothing, with few files to open; and what they would have logged."""

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from interop_demo.processes import Child
from interop_protocol.endpoint import Endpoint
from interop_server.runtime.files import raise_file_limit
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.evidence import new_journal
from tests.raw_http2 import CONNECT, END_HEADERS, HEADERS, connection, frame
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T22"), pytest.mark.requirement("SIM-06")]

FILES = 400
SOCKETS = 450
"""On each port: more than the server may have files open at all."""
MOST_LINES = 40
SILENT_SECONDS = 2
"""Instead of 20, so that the test ends sooner."""
WAIT_SECONDS = 40.0
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2); "
    "os.execv(sys.executable, [sys.executable, '-m', 'interop_server', *sys.argv[2:]])"
)
"""Starts a server that may have so many files open, and can never have more."""


def limited_simulator(log: Path) -> Child:
    """Describes a simulator with few files to open."""
    surfaces = [part for name in ("grpc", "admin", "http", "metrics") for part in (f"--{name}", "127.0.0.1:0")]
    settings = ("--limit", f"silent_connection_seconds={SILENT_SECONDS}", "--journal", str(new_journal()))
    return Child("the simulator", ["-c", LIMITED, str(FILES), "up", *surfaces, *settings], log)


def open_silent(address: str, stack: ExitStack) -> Iterator[socket.socket]:
    """Opens sockets that say nothing, on one address."""
    host, _, port = address.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    for _ in range(SOCKETS):
        with suppress(OSError):  # it was closed while it was opened
            yield stack.enter_context(socket.create_connection((host, int(port))))


def wait_until_closed(sockets: Sequence[socket.socket]) -> None:
    """Returns once the server has closed each of them."""
    for each in sockets:
        each.settimeout(WAIT_SECONDS)
        with suppress(ConnectionError):
            while each.recv(1 << 12):
                pass


async def check_answers(endpoint: Endpoint) -> None:
    """Asserts that every port answers to somebody new."""
    for address in (endpoint.grpc, endpoint.admin):
        async with grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
            )
            answer = await check(b"", timeout=WAIT_SECONDS, wait_for_ready=True)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    for url in (f"{endpoint.http}/.well-known/jwks", endpoint.metrics):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


async def test_silent_sockets_keep_nobody_out(signing_keys: SigningKeys, tmp_path: Path, attack: Attack) -> None:
    """Those who are connected go on meanwhile; after the deadline every port answers to all, with its files free."""
    attack.tries(f"{SOCKETS} silent sockets on each port of a server that may have {FILES} files open in all")
    raise_file_limit()
    log = tmp_path / "simulator.log"
    async with limited_simulator(log) as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        async with open_world(endpoint, signing_keys, tmp_path / "partner") as world:
            await check_answers(endpoint)
            before = open_files(child.pid)
            with ExitStack() as stack:
                async with bystanders(world, child.pid, attack):
                    sockets: list[socket.socket] = []
                    for address in (endpoint.http, endpoint.grpc, endpoint.admin, endpoint.metrics):
                        sockets += await asyncio.to_thread(lambda at=address: list(open_silent(at, stack)))
                    most = open_files(child.pid)
                assert most <= FILES
                await asyncio.to_thread(wait_until_closed, sockets)
            await check_answers(endpoint)
            after = open_files(child.pid)
        lines = len((await asyncio.to_thread(log.read_text)).splitlines())
    attack.measures(
        f"{len(sockets)} sockets; {before} files open before, {most} meanwhile, {after} after; {lines} lines"
    )
    assert after <= before + 10, "two bystanders, and what the check itself has open"
    assert lines <= MOST_LINES
    attack.holds("Those who are connected go on; silent sockets are closed, their files free, and the log stays short")


async def test_settings_that_are_never_acknowledged_end_their_connection(tmp_path: Path, attack: Attack) -> None:
    """Also while a call is open on it: until then gRPC does not hold the client to what the settings say."""
    attack.tries("A connection that opens a call and never acknowledges the settings, and one that acknowledges them")
    async with limited_simulator(tmp_path / "simulator.log") as child, AsyncExitStack() as stack:
        early, right = [
            await stack.enter_async_context(connection(child.ready["grpc"], acknowledges=acknowledges))
            for acknowledges in (False, True)
        ]
        for each in (early, right):
            await each.send(frame(HEADERS, END_HEADERS, 1, CONNECT))
        assert await early.is_closed_within(WAIT_SECONDS)
        assert not await right.is_closed_within(0)
    attack.holds("The connection is closed after the deadline of silent ones")
