"""Which server a client lets itself in with: the one that the root it was given certifies, and nobody else."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from interop_admin.client import AdminClient
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from interop_demo.processes import simulator
from interop_protocol.certificates import CertificateError
from interop_protocol.endpoint import Endpoint
from tests.e2e.conftest import World

pytestmark = pytest.mark.requirement("CHN-04")


async def test_a_server_under_another_root_is_refused(world: World) -> None:
    """The client ends the handshake before it says who it is: nobody is logged in."""
    alice = await world.whatsapp_device()
    elsewhere = replace(world.endpoint, root_public_key=os.urandom(32))
    with pytest.raises(CertificateError) as caught:
        async with WhatsAppClient.direct(elsewhere, alice.state):
            pass
    assert caught.value.reason == "WRONG_ROOT"
    assert alice.jid not in [connection.jid for connection in await world.admin.list_connections()]
    await alice.connect()
    await alice.ping()


async def connect_to(folder: Path, *arguments: str) -> None:
    """Starts a simulator, and lets a WhatsApp user connect to it and say a word."""
    async with simulator(folder / "simulator.log", folder / "simulator.db", arguments) as child:
        endpoint = Endpoint.from_ready_line(json.dumps(dict(child.ready)))
        state = ClientState.generate()
        async with AdminClient(endpoint.admin) as admin:
            state.jid = await admin.put_whatsapp_user("+491511234567", state.auth_public_key)
        async with WhatsAppClient.direct(endpoint, state) as alice:
            await alice.ping()


async def test_expired_certificates_are_refused(tmp_path: Path) -> None:
    """A simulator can be told to have them, so that a client's author sees whether the client notices."""
    with pytest.raises(CertificateError) as caught:
        await connect_to(tmp_path, "--limit", "certificate_days=0")
    assert caught.value.reason == "EXPIRED"


async def test_whatever_the_simulators_clock_says_clients_get_in(tmp_path: Path) -> None:
    """Clients judge certificates by the machine's clock; the simulator's may stand years before or after it.

    The same database under three clocks, one after the other: what the one before has stored is in nobody's way.
    """
    for at in ("2001-01-01T00:00:00Z", "2031-01-01T00:00:00Z"):
        await connect_to(tmp_path, "--freeze-at", at)
