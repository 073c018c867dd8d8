"""Tests of a messenger's server as a whole: how it stops."""

import asyncio
import socket
from pathlib import Path

import pytest

from partner_server import PartnerServer, PartnerSettings, SigningKeys


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
