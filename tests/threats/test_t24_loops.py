"""T24: a messenger's addresses that lead to the server itself: one request becomes many."""

import aiohttp
import pytest

from interop_demo.processes import Child
from tests.e2e.conftest import World
from tests.e2e.media.test_refusals_downloads import check_http, download
from tests.e2e.raw import QUIET, refused
from tests.threats.bystanders import bystanders
from tests.threats.report import Attack

pytestmark = [pytest.mark.threat("T24"), pytest.mark.requirement("SIM-06", "MED-03")]

HOSTS = ("127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]")


async def test_the_server_does_not_ask_itself(world: World, simulator_process: Child, attack: Attack) -> None:
    """By any spelling of its address, on any of its ports."""
    alice = await world.whatsapp(options=QUIET)
    here = f"/interop/whatsapp/download/{world.integrator}"
    addresses = (world.endpoint.http, world.endpoint.grpc, world.endpoint.admin)
    ports = [int(address.rpartition(":")[2]) for address in addresses]
    attack.tries("Media URLs that lead to the server's own ports, spelt in six ways")
    async with bystanders(world, simulator_process.pid, attack):
        for host in HOSTS:
            for port in ports:
                await world.register(media_url=f"http://{host}:{port}{here}")
                with refused("PARTNER_MEDIA_UNAVAILABLE", (host, port)):
                    await download(alice, f"{here}/a/")
                await check_http(world, f"{here}/a/", "PARTNER_MEDIA_UNAVAILABLE", 502)
    attack.holds("PARTNER_MEDIA_UNAVAILABLE before a connection is made: no request reaches the server")


async def test_what_a_simulator_asks_no_simulator_serves(world: World, attack: Attack) -> None:
    """So a loop through another server, a forwarder or another name ends at its first round."""
    attack.tries("A proxied request that comes back through somebody else")
    for path in (f"/interop/whatsapp/download/{world.integrator}/a/", "/v/tAAAA", "/.well-known/jwks"):
        url, headers = world.endpoint.http + path, {"Interopsim-Proxied": "1"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            outcome = await answer.json()
        assert (answer.status, outcome["reason"]) == (502, "partner_media_unavailable")
    attack.holds("PARTNER_MEDIA_UNAVAILABLE: the request says that a simulator made it")
