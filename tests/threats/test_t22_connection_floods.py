"""T22: sockets that are opened and say nothing, with few files to open; and what they would have logged."""

import asyncio
import resource
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import aiohttp
import pytest

from interop_admin.endpoint import Endpoint
from interop_demo.processes import Child
from partner_server import SigningKeys
from tests.e2e.conftest import open_world, recorded_simulator
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T22"), pytest.mark.requirement("SIM-06")]

FILES = 1_024
SOCKETS = 1_500


def open_silent(address: str, stack: ExitStack) -> int:
    """Opens sockets that say nothing, on one address; returns how many were accepted by the system."""
    host, _, port = address.rpartition(":")
    opened = 0
    for _ in range(SOCKETS):
        with suppress(OSError):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=0.2))
            opened += 1
    return opened


async def test_silent_sockets_keep_nobody_out(signing_keys: SigningKeys, tmp_path: Path, attack: Attack) -> None:
    """More than the server may have files open: HTTP and gRPC go on answering, and the log stays short."""
    attack.tries(f"{SOCKETS} silent sockets each on the gRPC and the HTTP port of a server with {FILES} files to open")
    log = tmp_path / "simulator.log"
    async with recorded_simulator(log) as child:
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        await _attack(child, log, signing_keys, tmp_path, attack)


async def _attack(child: Child, log: Path, keys: SigningKeys, tmp_path: Path, attack: Attack) -> None:
    endpoint = Endpoint.from_ready(child.ready)
    with ExitStack() as stack:
        async with open_world(endpoint, keys, tmp_path / "partner") as world, bystanders(world, child.pid, attack):
            await asyncio.to_thread(open_silent, endpoint.http.removeprefix("http://"), stack)
            await asyncio.to_thread(open_silent, endpoint.grpc, stack)
    async with aiohttp.ClientSession() as session, session.get(f"{endpoint.http}/.well-known/jwks") as answer:
        assert answer.status == 200
    size = await asyncio.to_thread(lambda: log.stat().st_size)
    attack.measures(f"{size // 1_024} KiB of log")
    assert size < 1 << 20
    attack.holds("Those who are connected go on; the log says once what is wrong; silent sockets are closed")
