"""TLS on all three surfaces, and a token for admin calls where other machines reach them."""

import json
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from interop_admin.client import AdminClient
from interop_client.connection.http import http_request
from interop_client.errors import ServerRefusal
from interop_client.messaging.events import TextReceived
from interop_protocol.endpoint import Endpoint
from interop_server import tls
from interop_server.runtime.clock import machine_ms
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.conftest import World
from tests.e2e.program import ANY_PORTS, TELLS_IMPORTS, run, running
from tests.registration import registration

WRONG_USE, FAILED = 2, 1
UP = ("up", *ANY_PORTS)


async def talk(ready: dict[str, Any], keys: SigningKeys, folder: Path) -> None:
    """A messenger and two people use every surface: gRPC, HTTP and admin."""
    endpoint = Endpoint.from_ready_line(json.dumps(ready))
    settings = PartnerSettings(folder, issuer="https://messenger.example", endpoint=endpoint)
    async with AsyncExitStack() as stack:
        partner = await stack.enter_async_context(PartnerServer(settings, keys=keys))
        admin = await stack.enter_async_context(AdminClient(endpoint))
        await admin.put_partner(registration(partner, 201, "Messenger"))
        world = World(201, endpoint, partner, admin, stack)
        alice, bob = await world.whatsapp(), world.device("bob")
        await bob.enlist_over_http(endpoint.http, partner.issue_token("bob"))
        await bob.connect()
        await bob.publish_prekeys(20)
        await bob.send_text(alice.jid, "Hello")
        assert (await alice.wait_for(TextReceived)).text == "Hello"


def written(folder: Path) -> tuple[str, str]:
    """A certificate and its key in files."""
    made = tls.make(["127.0.0.1"], machine_ms())
    (folder / "cert.pem").write_bytes(made.chain)
    (folder / "key.pem").write_bytes(made.key)
    return "cert.pem", "key.pem"


@pytest.mark.parametrize("kind", ["auto", "files"])
async def test_everything_goes_over_tls(tmp_path: Path, signing_keys: SigningKeys, kind: str) -> None:
    """Clients trust what the ready line has; commands find it by themselves, and who speaks no TLS gets no answer."""
    chosen = ("auto",) if kind == "auto" else written(tmp_path)
    async with running(tmp_path, *UP, "--tls", *chosen, "--metrics", "https://127.0.0.1:0") as program:
        ready = await program.ready_line()
        async with http_request("GET", ready["metrics"], ca=ready["ca"]) as response:
            assert b"interopsim_info" in await response.read()
        assert ready["http"].startswith("https://") and "BEGIN CERTIFICATE" in ready["ca"]
        await talk(ready, signing_keys, tmp_path / "partner")
        for command in (("clock", "show"), ("check",), ("status",), ("wait", "--timeout", "20"), ("reset",)):
            assert (await run(tmp_path, *command)).code == 0, command
        assert (await run(tmp_path, "clock", "show", "--admin", ready["admin"])).code == 0
        assert (await run(tmp_path, "ca")).stdout == ready["ca"]
        assert (await run(tmp_path, "ca", "--output", "ca.pem")).stdout == ""
        assert (tmp_path / "ca.pem").read_text() == ready["ca"]
        async with AdminClient(ready["admin"]) as plain:
            with pytest.raises(ServerRefusal):
                await plain.check(1.0)


async def test_what_cannot_serve_for_tls_is_told(tmp_path: Path) -> None:
    """Files that are none, or do not belong together; and there is no certificate without TLS."""
    certificate, key = written(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    written(other)
    for files in (("gone.pem", key), (key, key), (certificate, certificate), (certificate, "other/key.pem")):
        ended = await run(tmp_path, *UP, "--tls", *files)
        assert (ended.code, ended.stdout) == (FAILED, ""), files
        assert "Error: " in ended.stderr and "Traceback" not in ended.stderr
    assert (await run(tmp_path, *UP, "--tls", "auto", "extra")).code == WRONG_USE
    async with running(tmp_path, *UP) as program:
        assert "ca" not in await program.ready_line()
        ended = await run(tmp_path, "ca")
        assert ended.code == FAILED and "--tls auto" in ended.stderr


@pytest.mark.parametrize("flag", ["--grpc", "--admin", "--http"])
async def test_other_machines_are_let_in_only_if_that_is_meant(tmp_path: Path, flag: str) -> None:
    """Every address that is none of loopback counts."""
    for host in ("0.0.0.0", "[::]", "192.0.2.1", "some.host"):
        ended = await run(tmp_path, *UP, flag, f"{host}:0")
        assert (ended.code, ended.stdout) == (WRONG_USE, "")
        assert f"{host}:0" in ended.stderr and "--allow-remote" in ended.stderr


async def test_admin_calls_then_need_the_token(tmp_path: Path, signing_keys: SigningKeys) -> None:
    """The commands have it from where the simulator left it; health is for everybody."""
    async with running(tmp_path, *UP, "--allow-remote", "--admin", "0.0.0.0:0") as program:
        ready = await program.ready_line()
        port = ready["admin"].rpartition(":")[2]
        assert len(bytes.fromhex(ready["admin_token"])) == 32
        await talk(ready, signing_keys, tmp_path / "partner")
        assert (await run(tmp_path, "clock", "show")).code == 0
        assert ready["admin_token"] not in (await run(tmp_path, "status", "--json")).stdout
        for token in ("", "0" * 64, ready["admin_token"].upper()):
            async with AdminClient(Endpoint("", b"", admin=f"127.0.0.1:{port}", admin_token=token)) as stranger:
                assert await stranger.check()
                with pytest.raises(ServerRefusal) as refused:
                    await stranger.list_partners()
                assert refused.value.reason == "UNAUTHENTICATED"
                with pytest.raises(ServerRefusal):
                    [entry async for entry in stranger.read_journal()]
        refused_command = await run(tmp_path, "clock", "show", "--admin", f"localhost:{port}")
        assert refused_command.code == FAILED and "admin_token" in refused_command.stderr
        program.signal(15)
        ended = await program.end()
    assert "Other machines reach 0.0.0.0:0" in ended.stderr and "no --tls" in ended.stderr
    assert ready["admin_token"] not in ended.stderr


async def test_a_plain_start_loads_nothing_for_tls(tmp_path: Path) -> None:
    """Nor for anything else that a plain server does not need."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await run(tmp_path, *UP, "--grpc", address, python=TELLS_IMPORTS)
    assert "interop_server.app" in ended.imported
    assert not ended.imported & {"interop_server.tls", "cryptography.x509"}
